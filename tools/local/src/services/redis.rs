//! Redis: a private instance, or the one the environment names.
//! Its data must survive a restart: append-only file on.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::config::Config;
use crate::error::{Context, Error, Result};

use super::daemon::{Daemon, Plan};

const START_LIMIT: Duration = Duration::from_secs(30);

/// The Redis of the stack.
#[derive(Debug)]
pub struct Redis {
    url: String,
    private: Option<Private>,
    running: Mutex<Option<Daemon>>,
}

#[derive(Debug)]
struct Private {
    port: u16,
    folder: PathBuf,
    logs: PathBuf,
    state_dir: String,
}

impl Redis {
    /// What the configuration asks for; starts nothing yet.
    pub fn new(config: &Config) -> Self {
        let port = config.ports.redis();
        let private = Private {
            port,
            folder: config.state_dir.join("redis"),
            logs: config.logs(),
            state_dir: config.state_dir.display().to_string(),
        };
        match &config.redis_url {
            Some(url) => Self { url: url.clone(), private: None, running: Mutex::default() },
            None => Self {
                url: format!("redis://127.0.0.1:{port}"),
                private: Some(private),
                running: Mutex::default(),
            },
        }
    }

    /// Whether it is a server of somebody else.
    pub fn is_external(&self) -> bool {
        self.private.is_none()
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Starts it, where it is ours and down; returns once it takes commands.
    pub async fn start(&self) -> Result<()> {
        let Some(private) = &self.private else {
            return Ok(());
        };
        let mut running = self.running.lock().await;
        if running.is_none() {
            std::fs::create_dir_all(&private.folder).context(private.folder.display())?;
            let mut daemon = private.plan().start(&private.logs)?;
            daemon.until_ready(START_LIMIT, || async { self.command("PING").await.is_ok() }).await?;
            *running = Some(daemon);
        }
        Ok(())
    }

    /// Whether it ended though nobody stopped it; told once.
    pub async fn was_lost(&self) -> bool {
        let mut running = self.running.lock().await;
        let lost = running.as_mut().is_some_and(Daemon::has_ended);
        if lost {
            *running = None;
        }
        lost
    }

    /// Stops it.
    pub async fn stop(&self) -> Result<()> {
        if self.private.is_none() {
            return Err(Error::new("this Redis is not ours to stop"));
        }
        match self.running.lock().await.take() {
            Some(daemon) => daemon.stop().await,
            None => Ok(()),
        }
    }

    /// Deletes all its data.
    pub async fn flush(&self) -> Result<()> {
        self.command("FLUSHALL").await
    }

    async fn command(&self, command: &str) -> Result<()> {
        let address =
            self.url.strip_prefix("redis://").context("only redis:// can be talked to from here")?;
        let (login, address) = address.rsplit_once('@').unwrap_or(("", address));
        let address = address.split(['/', '?']).next().unwrap_or_default();
        let mut stream = TcpStream::connect(address).await.context("Redis")?;
        if let Some((user, password)) = login.split_once(':') {
            let words = [user, password].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>();
            exchange(&mut stream, &format!("AUTH {}", words.join(" "))).await?;
        }
        exchange(&mut stream, command).await
    }
}

async fn exchange(stream: &mut TcpStream, command: &str) -> Result<()> {
    let mut answer = [0; 64];
    stream.write_all(format!("{command}\r\n").as_bytes()).await.context("Redis")?;
    let count = stream.read(&mut answer).await.context("Redis")?;
    // An error, or `-LOADING`: it is not ready.
    if answer.first() == Some(&b'+') && count > 0 { Ok(()) } else { Err(Error::new("Redis refuses")) }
}

impl Private {
    fn plan(&self) -> Plan {
        let arguments = [
            ("--port", self.port.to_string()),
            ("--bind", "127.0.0.1".into()),
            ("--dir", self.folder.display().to_string()),
            ("--daemonize", "no".into()),
            ("--appendonly", "yes".into()),
            ("--appendfsync", "everysec".into()),
            ("--save", String::new()),
            ("--maxmemory-policy", "noeviction".into()),
        ];
        Plan {
            name: "redis",
            program: "redis-server".into(),
            arguments: arguments.into_iter().flat_map(|(name, value)| [name.to_string(), value]).collect(),
            environment: vec![("STATE_DIR", self.state_dir.clone())],
            folder: self.folder.clone(),
            identity: Vec::new(),
            stop_signal: Signal::TERM,
        }
    }
}
