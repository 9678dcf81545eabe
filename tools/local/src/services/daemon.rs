//! A server process that is ours: started, watched, stopped.
//! It must not outlive us, however we end, and never get our terminal's signals.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::error::{Context, Error, Result};

/// How long a server may take to stop before it is killed.
const STOPPING: Duration = Duration::from_secs(15);

/// How to run a server.
#[derive(Debug)]
pub struct Plan {
    /// Its name, also that of its log.
    pub name: &'static str,
    /// Its program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment, beside `PATH`.
    pub environment: Vec<(&'static str, String)>,
    /// The folder it runs in.
    pub folder: PathBuf,
    /// Options of setpriv that say as whom it runs.
    pub identity: Vec<String>,
    /// The signal that stops it in an orderly way.
    pub stop_signal: Signal,
}

/// A running server.
#[derive(Debug)]
pub struct Daemon {
    name: &'static str,
    child: Child,
    stop_signal: Signal,
}

/// The folder a process is started in, by a name that also an account can use which may not walk the
/// path there (as root, a state folder is often below a folder of root's own).
pub const OWN_FOLDER: &str = "/proc/self/fd/9";

/// `setpriv`, with the current folder open as descriptor 9. A shell opens it: from here nothing can
/// be left open for a child without `unsafe`.
pub fn setpriv() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec 9<. && exec setpriv "$@""#, "setpriv"]);
    command
}

impl Plan {
    /// Starts it; its output goes to `STATE_DIR/logs/<name>.log`.
    pub fn start(self, logs: &Path) -> Result<Daemon> {
        let log = logs.join(format!("{}.log", self.name));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).context(log.display())?;
        let twin = file.try_clone().context(log.display())?;
        let signal = match self.stop_signal {
            Signal::INT => "INT",
            _ => "TERM",
        };
        let child = setpriv()
            .args(self.identity)
            // Sent when we die, even by SIGKILL.
            .args(["--pdeathsig", signal, "--"])
            .arg(self.program)
            .args(self.arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .envs(self.environment)
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(twin)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context(self.name)?;
        Ok(Daemon { name: self.name, child, stop_signal: self.stop_signal })
    }
}

impl Daemon {
    /// Waits until `ready` says so, at most `limit`; fails at once where the process ends.
    pub async fn until_ready<F: Future<Output = bool>>(
        &mut self,
        limit: Duration,
        ready: impl Fn() -> F,
    ) -> Result<()> {
        let name = self.name;
        let poll = async {
            while !ready().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            done = timeout(limit, poll) => done.context(format_args!("{name} does not answer; see logs/{name}.log")),
            ended = self.child.wait() => {
                let status = ended.map(|status| status.to_string()).unwrap_or_default();
                Err(Error::new(format!("{name} ended at start ({status}); see logs/{name}.log")))
            }
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Stops it and waits until it is gone.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            // It fails only where the process has ended already.
            let _ = kill_process(pid, self.stop_signal);
        }
        if timeout(STOPPING, self.child.wait()).await.is_err() {
            self.child.kill().await.context(self.name)?;
        }
        Ok(())
    }
}
