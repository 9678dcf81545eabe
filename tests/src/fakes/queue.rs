//! SQS: records what was sent. It delivers nothing: a test hands a task to the agent itself.

use std::sync::Mutex;

use konstruct_ports::{BoxFuture, NewRecord, QueueError, TaskQueue};
use konstruct_protocol::Task;

/// A task that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub body: String,
    pub group_id: String,
    pub deduplication_id: String,
    pub traceparent: Option<String>,
}

impl Sent {
    #[must_use]
    pub fn task(&self) -> Task {
        Task::parse(&self.body).expect("a task")
    }
}

#[derive(Default)]
struct State {
    sent: Vec<Sent>,
    failing: usize,
    taken_all_the_same: bool,
    visibility: Vec<(String, i32)>,
}

/// The task queue.
#[derive(Default)]
pub struct FakeQueue(Mutex<State>);

impl FakeQueue {
    /// The next `n` sends fail.
    pub fn fail_next(&self, n: usize) {
        self.0.lock().unwrap().failing = n;
    }

    /// Sends that fail are taken all the same: only the answer is lost.
    pub fn take_what_fails(&self) {
        self.0.lock().unwrap().taken_all_the_same = true;
    }

    /// What was sent, in order.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.0.lock().unwrap().sent.clone()
    }

    /// The visibilities that were set: receipt handle and seconds.
    #[must_use]
    pub fn visibility(&self) -> Vec<(String, i32)> {
        self.0.lock().unwrap().visibility.clone()
    }
}

impl TaskQueue for FakeQueue {
    fn send<'a>(&'a self, record: NewRecord<'a>) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async move {
            let mut state = self.0.lock().unwrap();
            let fails = state.failing > 0;
            state.failing = state.failing.saturating_sub(1);
            if fails && !state.taken_all_the_same {
                return Err(QueueError("scripted failure".to_owned()));
            }
            state.sent.push(Sent {
                body: record.body.to_owned(),
                group_id: record.group_id.to_owned(),
                deduplication_id: record.deduplication_id.to_owned(),
                traceparent: record.traceparent.map(str::to_owned),
            });
            if fails { Err(QueueError("scripted failure".to_owned())) } else { Ok(()) }
        })
    }

    fn set_visibility<'a>(
        &'a self,
        receipt_handle: &'a str,
        seconds: i32,
    ) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async move {
            self.0.lock().unwrap().visibility.push((receipt_handle.to_owned(), seconds));
            Ok(())
        })
    }
}
