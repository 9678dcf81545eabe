//! One process of a function and the invocation it works on.
//! It must answer every invocation exactly once, however the process ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::now_ms;
use crate::ids;

use super::invocation::{Failure, Outcome};
use super::pool::Pool;

/// An invocation on its way to a process.
#[derive(Debug)]
pub struct Job {
    /// Its request id.
    pub request_id: String,
    event: Bytes,
    reply: oneshot::Sender<Outcome>,
}

impl Job {
    /// A new invocation.
    pub fn new(event: Bytes, reply: oneshot::Sender<Outcome>) -> Self {
        Self { request_id: ids::uuid().to_string(), event, reply }
    }

    /// Ends it.
    pub fn end(self, outcome: Outcome) {
        // Whoever asked may have gone; the invocation counts all the same.
        let _ = self.reply.send(outcome);
    }
}

/// What `next` hands to a process.
#[derive(Debug)]
pub struct Event {
    /// The invocation's request id.
    pub request_id: String,
    /// When it must have ended.
    pub deadline_ms: u64,
    /// Its X-Ray trace header.
    pub trace_id: String,
    /// The function's ARN.
    pub arn: String,
    /// The event itself.
    pub body: Bytes,
}

#[derive(Debug)]
struct Running {
    request_id: String,
    reply: oneshot::Sender<Outcome>,
    since: Instant,
    timers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    pid: Option<u32>,
    initialised: bool,
    dead: bool,
    queued: Option<Job>,
    waiting: Option<oneshot::Sender<Event>>,
    running: Option<Running>,
}

/// One process.
#[derive(Debug)]
pub struct Sandbox {
    /// Its id, the prefix of its Runtime API paths.
    pub id: String,
    pool: Arc<Pool>,
    /// Of which build its process is.
    build: u64,
    born: Instant,
    kill: mpsc::UnboundedSender<Failure>,
    state: Mutex<State>,
}

impl Sandbox {
    /// A sandbox whose process is about to be started.
    pub fn new(pool: &Arc<Pool>, build: u64, kill: mpsc::UnboundedSender<Failure>) -> Arc<Self> {
        let id = ids::uuid().simple().to_string();
        Arc::new(Self { id, pool: pool.clone(), build, born: Instant::now(), kill, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its process runs.
    pub fn started(&self, pid: Option<u32>) {
        self.state().pid = pid;
    }

    /// Whether it has asked for an event yet.
    pub fn is_initialised(&self) -> bool {
        self.state().initialised
    }

    /// Whether its process is of an older build than new ones are.
    pub fn is_old(&self) -> bool {
        self.build != self.pool.build_number()
    }

    /// Gives it an invocation; gives it back where the process is gone.
    pub fn assign(self: &Arc<Self>, job: Job) -> Result<(), Job> {
        let mut state = self.state();
        if state.dead {
            return Err(job);
        }
        match state.waiting.take() {
            Some(waiting) => {
                let event = self.begin(&mut state, job);
                // A receiver that is gone means a dead process, whose end ends the invocation.
                let _ = waiting.send(event);
            }
            None => state.queued = Some(job),
        }
        Ok(())
    }

    /// `GET next`: the event at once, or what will be it.
    pub fn next(self: &Arc<Self>) -> Result<Event, oneshot::Receiver<Event>> {
        let mut state = self.state();
        if !state.initialised {
            state.initialised = true;
            self.pool.metrics.initialised(self.born.elapsed());
        }
        if let Some(unanswered) = state.running.take() {
            self.finish(unanswered, Err(Failure::Unhandled("no answer was given".into())));
        }
        if let Some(job) = state.queued.take() {
            return Ok(self.begin(&mut state, job));
        }
        if self.is_old() {
            self.kill(Failure::Crashed);
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting = Some(sender);
        Err(receiver)
    }

    fn begin(self: &Arc<Self>, state: &mut State, job: Job) -> Event {
        let timeout = self.pool.spec.timeout;
        let request_id = job.request_id.clone();
        let mut timers = vec![self.kill_after(timeout, &request_id, Failure::TimedOut)];
        if let Some(after) = self.pool.faults.take_kill(&self.pool.spec.folder) {
            timers.push(self.kill_after(after, &request_id, Failure::Crashed));
        }
        state.running = Some(Running { request_id, reply: job.reply, since: Instant::now(), timers });
        Event {
            request_id: job.request_id,
            deadline_ms: now_ms() + u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX / 2),
            trace_id: ids::lambda_trace(),
            arn: self.pool.spec.arn.clone(),
            body: job.event,
        }
    }

    fn kill_after(self: &Arc<Self>, after: Duration, request_id: &str, why: Failure) -> JoinHandle<()> {
        let (sandbox, request_id) = (self.clone(), request_id.to_string());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // An answer may have come in the same instant: the next invocation is not to blame.
            let running = sandbox.state().running.as_ref().map(|running| running.request_id.clone());
            if running.as_deref() == Some(&request_id) {
                sandbox.kill(why);
            }
        })
    }

    /// `POST response` or `error`; false where that request is not under way.
    pub fn answer(self: &Arc<Self>, request_id: &str, outcome: Outcome) -> bool {
        let running = {
            let mut state = self.state();
            match &state.running {
                Some(running) if running.request_id == request_id => state.running.take(),
                _ => None,
            }
        };
        let found = running.is_some();
        if let Some(running) = running {
            // Free from here on, and not only at its `next`, which follows at once: else a caller that
            // waits for each answer would be given one new process after the other.
            self.pool.is_idle(self);
            self.finish(running, outcome);
        }
        found
    }

    fn finish(&self, running: Running, outcome: Outcome) {
        running.timers.iter().for_each(JoinHandle::abort);
        self.pool.ended(self.build);
        self.pool.metrics.answered(running.since.elapsed());
        if outcome.is_err() {
            self.pool.metrics.failed();
        }
        let _ = running.reply.send(outcome);
    }

    /// The process has ended.
    pub fn died(&self, why: Failure) {
        let (running, queued, initialised) = {
            let mut state = self.state();
            state.dead = true;
            state.waiting = None;
            (state.running.take(), state.queued.take(), state.initialised)
        };
        if let Some(running) = running {
            self.finish(running, Err(why.clone()));
        }
        match queued {
            // It never saw this one: it died between two invocations.
            Some(job) if initialised => self.pool.dispatch(job),
            Some(job) => {
                self.pool.metrics.failed();
                job.end(Err(why));
            }
            None => {}
        }
    }

    /// Has the process killed.
    pub fn kill(&self, why: Failure) {
        let _ = self.kill.send(why);
    }

    /// Reads how much memory the process has used at most.
    pub fn note_memory(&self) {
        let Some(pid) = self.state().pid else { return };
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
            return;
        };
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        if let Some(kilobytes) = kilobytes {
            self.pool.metrics.memory(kilobytes * 1024);
        }
    }
}
