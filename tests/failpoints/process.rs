//! A process that dies at a named point: what it does runs on a runtime and a thread of its own, and with them ends
//! everything it had under way.

use std::collections::BTreeMap;
use std::thread;

use konstruct_service::failpoint::{arm, disarm};
use tokio::runtime::Builder;

/// Where a process dies: at which reaching of which point.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    pub point: &'static str,
    pub time: usize,
}

/// What became of a process.
#[derive(Debug)]
pub struct Run<T> {
    /// What it did; `None`: it died.
    pub done: Option<T>,
    pub reached: BTreeMap<&'static str, usize>,
}

/// Runs a process until it is done, or dead.
pub fn run<T: Send>(death: Option<Death>, work: impl AsyncFnOnce() -> T + Send) -> Run<T> {
    thread::scope(|scope| {
        let process = scope.spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let mut died = arm(death.map(|death| (death.point, death.time)));
            let done = runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = died.wait_for(|dead| *dead) => None,
                    done = work() => Some(done),
                }
            });
            runtime.shutdown_background();
            Run { done, reached: disarm() }
        });
        process.join().expect("a process dies where it is told to, and panics nowhere")
    })
}
