//! The sandboxes of one function: warm ones are used again, the most recent first; a new one is
//! started when all are busy. It must never queue an invocation behind another one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
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
    build: Mutex<Build>,
}

/// What new processes run.
#[derive(Debug)]
struct Build {
    number: u64,
    folder: PathBuf,
    /// How many invocations ended in processes of each build.
    ended: BTreeMap<u64, u64>,
}

impl Pool {
    /// A pool without a process.
    pub fn new(
        spec: FunctionSpec,
        setup: Arc<Setup>,
        faults: Arc<Faults>,
        sandboxes: Arc<Sandboxes>,
    ) -> Self {
        let build = Build { number: 0, folder: setup.binaries.clone(), ended: BTreeMap::new() };
        let (idle, build) = (Mutex::default(), Mutex::new(build));
        Self { spec, metrics: Metrics::default(), faults, setup, sandboxes, idle, build }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Instant, Arc<Sandbox>)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn build(&self) -> MutexGuard<'_, Build> {
        self.build.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The build that new processes are of.
    pub fn build_number(&self) -> u64 {
        self.build().number
    }

    /// From now on processes are of another build. Idle ones end, busy ones with their invocation.
    pub fn swap(&self, number: u64, folder: &Path) {
        let mut build = self.build();
        build.number = number;
        build.folder = folder.to_path_buf();
        drop(build);
        self.reap(Duration::ZERO);
    }

    /// An invocation ended in a process of this build.
    pub fn ended(&self, build: u64) {
        *self.build().ended.entry(build).or_default() += 1;
    }

    /// The build of new processes, and how many invocations ended in each.
    pub fn builds(&self) -> Value {
        let build = self.build();
        let ended = build.ended.iter().map(|(number, count)| (number.to_string(), json!(count)));
        json!({"build": build.number, "ended": ended.collect::<Map<_, _>>()})
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

    /// A sandbox is free for its next event; one of an older build gets none.
    pub fn is_idle(&self, sandbox: &Arc<Sandbox>) {
        let mut idle = self.idle();
        if !sandbox.is_old() {
            idle.push((Instant::now(), sandbox.clone()));
        }
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
        let (number, folder) = {
            let build = self.build();
            (build.number, build.folder.clone())
        };
        let sandbox = Sandbox::new(self, number, kill);
        self.sandboxes.add(&sandbox);
        match self.spawn(&sandbox.id, &folder) {
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

    fn spawn(&self, sandbox: &str, binaries: &Path) -> crate::error::Result<Child> {
        use crate::error::Context;
        let (stdout, stderr) = log::outputs(&self.setup.logs, &self.spec.folder)?;
        Command::new(binaries.join(&self.spec.folder))
            .env_clear()
            .envs(environment::of(&self.spec, &self.setup, sandbox, binaries))
            .current_dir(binaries)
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
