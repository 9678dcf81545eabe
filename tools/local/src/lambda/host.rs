//! All functions of the stack and their sandboxes.
//! It must start a function the same way whoever calls it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::binaries;
use crate::error::{Error, Result};
use crate::faults::Faults;
use crate::template::FunctionSpec;

use super::invocation::{Failure, Invoker, Pending};
use super::pool::Pool;
use super::sandbox::Sandbox;

/// An idle process is ended after this.
const IDLE_LIFETIME: Duration = Duration::from_secs(300);

/// Where functions run and what they are told.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The stack's state, named in every function's environment.
    pub state_dir: PathBuf,
    /// Where a build puts the binaries.
    pub built: PathBuf,
    /// Folder of the binaries that were set aside at start.
    pub binaries: PathBuf,
    /// Folder of the logs.
    pub logs: PathBuf,
    /// Port of the Runtime API.
    pub runtime_api_port: u16,
    /// Where functions reach SQS.
    pub sqs_endpoint: String,
}

/// Runs functions.
#[derive(Debug)]
pub struct Host {
    pools: BTreeMap<String, Arc<Pool>>,
    sandboxes: Arc<Sandboxes>,
    setup: Arc<Setup>,
    /// The last build; 0 is that of the start.
    build: Mutex<u64>,
}

/// Every live sandbox by id: whom a Runtime API call is from.
#[derive(Debug)]
pub struct Sandboxes {
    live: Mutex<HashMap<String, Arc<Sandbox>>>,
    ended: watch::Sender<bool>,
}

impl Sandboxes {
    fn live(&self) -> MutexGuard<'_, HashMap<String, Arc<Sandbox>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sandbox with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Sandbox>> {
        self.live().get(id).cloned()
    }

    /// Takes in a new one.
    pub fn add(&self, sandbox: &Arc<Sandbox>) {
        self.live().insert(sandbox.id.clone(), sandbox.clone());
    }

    /// Forgets one whose process has ended.
    pub fn remove(&self, id: &str) {
        self.live().remove(id);
    }

    /// Whether the host is shutting down: then no process is started any more.
    pub fn is_ended(&self) -> bool {
        *self.ended.borrow()
    }
}

impl Host {
    /// A host for these functions; starts nothing yet.
    pub fn new(functions: Vec<FunctionSpec>, setup: Setup, faults: &Arc<Faults>) -> Arc<Self> {
        let setup = Arc::new(setup);
        let sandboxes = Arc::new(Sandboxes { live: Mutex::default(), ended: watch::Sender::new(false) });
        let pools = functions.into_iter().map(|spec| {
            let folder = spec.folder.clone();
            (folder, Arc::new(Pool::new(spec, setup.clone(), faults.clone(), sandboxes.clone())))
        });
        let pools = pools.collect();
        Arc::new(Self { pools, sandboxes, setup, build: Mutex::default() })
    }

    /// Every function's folder.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pools.keys().map(String::as_str)
    }

    /// The folder of a function that is named by it, or as the template names it.
    pub fn folder_of(&self, name: &str) -> Option<String> {
        let found = self.pools.iter().find(|(folder, pool)| *folder == name || pool.spec.name == name);
        found.map(|(folder, _)| folder.clone())
    }

    /// New binaries for one function, or for all (`*`), from `folder` or from where builds put them: what begins from now
    /// on runs in them. What runs goes on in the old ones, as on AWS, or is killed with them (`kill`), as in a crash.
    pub fn swap(&self, name: &str, folder: Option<&Path>, kill: bool) -> Result<()> {
        let mut last = self.build.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen: Vec<&Arc<Pool>> = self
            .pools
            .iter()
            .filter(|(folder, _)| name == "*" || *folder == name)
            .map(|(_, pool)| pool)
            .collect();
        if chosen.is_empty() {
            return Err(Error::new(format!("there is no function {name}")));
        }
        let build = *last + 1;
        let names = chosen.iter().map(|pool| pool.spec.folder.as_str());
        let built = folder.unwrap_or(&self.setup.built);
        let aside = binaries::set_aside_again(built, &self.setup.state_dir, build, names)?;
        *last = build;
        chosen.iter().for_each(|pool| pool.swap(build, &aside));
        if kill {
            for sandbox in self.sandboxes.live().values().filter(|sandbox| sandbox.is_old()) {
                sandbox.kill(Failure::Crashed);
            }
        }
        Ok(())
    }

    /// Which build each function is of, and how many invocations ended in each.
    pub fn builds(&self) -> Value {
        let builds = self.pools.iter().map(|(name, pool)| (name.clone(), pool.builds()));
        Value::Object(builds.collect::<Map<_, _>>())
    }

    /// The sandbox with this id.
    pub fn sandbox(&self, id: &str) -> Option<Arc<Sandbox>> {
        self.sandboxes.get(id)
    }

    /// Every function's figures.
    pub fn figures(&self) -> Value {
        for sandbox in self.sandboxes.live().values() {
            sandbox.note_memory();
        }
        let figures = self.pools.iter().map(|(name, pool)| (name.clone(), pool.metrics.as_json()));
        Value::Object(figures.collect::<Map<_, _>>())
    }

    /// Ends processes that have been idle for long; runs until it is dropped.
    pub async fn reap(&self) {
        loop {
            tokio::time::sleep(IDLE_LIFETIME / 10).await;
            self.pools.values().for_each(|pool| pool.reap(IDLE_LIFETIME));
        }
    }

    /// Kills every process and waits until they are gone.
    pub async fn stop(&self) {
        self.sandboxes.ended.send_replace(true);
        for _ in 0..200 {
            let live: Vec<_> = self.sandboxes.live().values().cloned().collect();
            if live.is_empty() {
                return;
            }
            live.iter().for_each(|sandbox| sandbox.kill(Failure::Crashed));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Invoker for Host {
    fn invoke(&self, function: &str, event: Bytes) -> Pending {
        match self.pools.get(function) {
            Some(pool) => pool.invoke(event),
            None => {
                let (reply, pending) = Pending::new();
                // The receiver is right here: nobody else can have dropped it.
                let _ = reply.send(Err(Failure::NotStarted(format!("there is no function {function}"))));
                pending
            }
        }
    }
}
