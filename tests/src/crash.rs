//! An invocation that dies: it has a runtime of its own, and with that dies everything it had under way, its
//! background tasks too. What it had sent before may arrive or not, as in life.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::thread::JoinHandle;

use konstruct_protocol::Task;
use konstruct_service::turn::Disposition;

use crate::app::{World, record};
use crate::fakes::Signal;

/// Runs one invocation of the agent, dead after so many polls; `None`: it died.
#[must_use]
pub fn invoke(world: &World, task: &Task, polls_max: u64) -> Option<Disposition> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let worked = runtime.block_on(async {
        let agent = world.agent();
        let record = record();
        let mut work = pin!(agent.work(task, &record));
        let mut left = polls_max;
        poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            work.as_mut().poll(context).map(Some)
        })
        .await
    });
    runtime.shutdown_background();
    worked
}

/// Runs one invocation of the agent on a thread of its own; it dies when the signal is given.
#[must_use]
pub fn invoke_until(world: &World, task: &Task, dies: Signal) -> JoinHandle<Option<Disposition>> {
    let (world, task) = (world.clone(), task.clone());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let worked = runtime.block_on(async {
            let agent = world.agent();
            let record = record();
            tokio::select! {
                worked = agent.work(&task, &record) => Some(worked),
                () = dies.given() => None,
            }
        });
        runtime.shutdown_background();
        worked
    })
}
