//! The sandboxes of one function: warm ones are used again, the most recent first; a new one is
//! started when all are busy. It must never queue an invocation behind another one.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::faults::Faults;
use crate::template::FunctionSpec;

use super::environment;
use super::host::{Sandboxes, Setup};
use super::invocation::{Failure, Pending};
use super::log;
use super::metrics::Metrics;
use super::sandbox::{Job, Sandbox};

/// Longest a process may take to its first `next`, beside the function's own time-out: AWS gives the
/// init phase 10 s and then repeats it under that time-out.
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// One function and its processes.
#[derive(Debug)]
pub struct Pool {
    /// What the template says of it.
    pub spec: FunctionSpec,
    /// Its figures.
    pub metrics: Metrics,
    /// What is armed against it.
    pub faults: Arc<Faults>,
    setup: Arc<Setup>,
    sandboxes: Arc<Sandboxes>,
    idle: Mutex<Vec<(Instant, Arc<Sandbox>)>>,
}

impl Pool {
    /// A pool without a process.
    pub fn new(
        spec: FunctionSpec,
        setup: Arc<Setup>,
        faults: Arc<Faults>,
        sandboxes: Arc<Sandboxes>,
    ) -> Self {
        Self { spec, metrics: Metrics::default(), faults, setup, sandboxes, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Instant, Arc<Sandbox>)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an invocation in a warm sandbox or a new one.
    pub fn invoke(self: &Arc<Self>, event: Bytes) -> Pending {
        self.metrics.invoked();
        let (reply, pending) = Pending::new();
        self.dispatch(Job::new(event, reply));
        pending
    }

    /// Gives a job to a warm sandbox or a new one.
    pub fn dispatch(self: &Arc<Self>, mut job: Job) {
        loop {
            let Some((_, sandbox)) = self.idle().pop() else {
                break;
            };
            match sandbox.assign(job) {
                Ok(()) => return,
                // It died while idle; the next one.
                Err(back) => job = back,
            }
        }
        self.start(job);
    }

    /// A sandbox is free for its next event.
    pub fn is_idle(&self, sandbox: &Arc<Sandbox>) {
        self.idle().push((Instant::now(), sandbox.clone()));
    }

    /// Ends what has been idle for `lifetime`.
    pub fn reap(&self, lifetime: Duration) {
        let mut idle = self.idle();
        idle.retain(|(since, sandbox)| {
            let keep = since.elapsed() < lifetime;
            if !keep {
                sandbox.kill(Failure::Crashed);
            }
            keep
        });
    }

    fn start(self: &Arc<Self>, job: Job) {
        if self.sandboxes.is_ended() {
            return job.end(Err(Failure::NotStarted("the stack is stopping".into())));
        }
        self.metrics.cold_start();
        let (kill, killed) = mpsc::unbounded_channel();
        let sandbox = Sandbox::new(self, kill);
        self.sandboxes.add(&sandbox);
        match self.spawn(&sandbox.id) {
            Ok(child) => {
                sandbox.started(child.id());
                // A fresh sandbox takes whatever it is given: it waits for its first `next`.
                let _ = sandbox.assign(job);
                tokio::spawn(watch(self.clone(), sandbox, child, killed));
            }
            Err(error) => {
                self.sandboxes.remove(&sandbox.id);
                self.metrics.failed();
                job.end(Err(Failure::NotStarted(error.to_string())));
            }
        }
    }

    fn spawn(&self, sandbox: &str) -> crate::error::Result<Child> {
        use crate::error::Context;
        let (stdout, stderr) = log::outputs(&self.setup.logs, &self.spec.folder)?;
        Command::new(self.setup.binaries.join(&self.spec.folder))
            .env_clear()
            .envs(environment::of(&self.spec, &self.setup, sandbox))
            .current_dir(&self.setup.binaries)
            .stdin(std::process::Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            // Ctrl-C at the terminal is ours to handle, not theirs.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context(&self.spec.folder)
    }
}

/// Sees a process to its end.
async fn watch(
    pool: Arc<Pool>,
    sandbox: Arc<Sandbox>,
    mut child: Child,
    mut killed: mpsc::UnboundedReceiver<Failure>,
) {
    let mut reason = Failure::Crashed;
    let mut init_over = false;
    let init_limit = tokio::time::sleep(INIT_LIMIT + pool.spec.timeout);
    tokio::pin!(init_limit);
    loop {
        tokio::select! {
            _ended = wait(&mut child) => break,
            Some(why) = killed.recv() => {
                reason = why;
                sandbox.note_memory();
                // It fails only where the process has ended already, which `wait` sees next.
                let _ = child.start_kill();
            }
            // The limit may pass long after the first `next`: whether it has come is asked then.
            () = &mut init_limit, if !init_over => {
                init_over = true;
                if !sandbox.is_initialised() {
                    reason = Failure::TimedOut;
                    let _ = child.start_kill();
                }
            }
        }
    }
    pool.sandboxes.remove(&sandbox.id);
    pool.idle().retain(|(_, idle)| idle.id != sandbox.id);
    sandbox.died(reason);
}

async fn wait(child: &mut Child) -> Option<ExitStatus> {
    child.wait().await.ok()
}
