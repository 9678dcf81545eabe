//! Postgres: a private cluster, or the server the environment names.
//! Its log must hold no statement and no value: people's messages pass through it.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::secrets::Secrets;

use super::daemon::{Daemon, OWN_FOLDER, Plan};
use super::postgres_setup::Installation;

const START_LIMIT: Duration = Duration::from_secs(60);

/// Settings of the private cluster. `fsync=off`: what a process wrote survives the death of all
/// processes, though not a power cut; that is enough for a stack that `make dev-reset` makes anew.
const SETTINGS: [&str; 16] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=600",
    "shared_buffers=128MB",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "logging_collector=off",
    // An error's text may hold a value ("invalid input syntax for type uuid: …"): errors are not logged.
    "log_min_messages=log",
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
    "log_statement=none",
    "log_min_duration_statement=-1",
    "log_parameter_max_length=0",
    "log_parameter_max_length_on_error=0",
    "log_checkpoints=off",
];

/// The Postgres of the stack.
#[derive(Debug)]
pub struct Postgres {
    private: Option<Private>,
    external: Option<String>,
    secrets: Secrets,
    running: Mutex<Option<Daemon>>,
}

#[derive(Debug)]
struct Private {
    port: u16,
    installation: Installation,
    logs: PathBuf,
    state_dir: String,
}

impl Postgres {
    /// What the configuration asks for; starts nothing yet.
    pub fn new(config: &Config, secrets: &Secrets) -> Result<Self> {
        let private = match config.database_url {
            Some(_) => None,
            None => Some(Private {
                port: config.ports.postgres(),
                installation: Installation::find(&config.state_dir)?,
                logs: config.logs(),
                state_dir: config.state_dir.display().to_string(),
            }),
        };
        let external = config.database_url.clone();
        Ok(Self { private, external, secrets: secrets.clone(), running: Mutex::default() })
    }

    /// Whether the database is on a server of somebody else.
    pub fn is_external(&self) -> bool {
        self.external.is_some()
    }

    /// The password of one of our roles.
    pub fn password(&self, role: &str) -> String {
        self.secrets.password(role, self.external.as_deref())
    }

    /// An administrator's URL of the database `name` (of the given one on an external server).
    pub fn admin_url(&self, name: &str) -> String {
        match (&self.external, &self.private) {
            (Some(url), _) => url.clone(),
            (None, Some(private)) => private.url("postgres", &self.password("postgres"), name),
            (None, None) => String::new(),
        }
    }

    /// The URL of the service's database for one of our roles.
    pub fn url(&self, role: &str) -> Result<String> {
        match (&self.external, &self.private) {
            (Some(url), _) => with_login(url, role, &self.password(role)),
            (None, Some(private)) => Ok(private.url(role, &self.password(role), "konstruct")),
            (None, None) => Err(Error::new("there is no Postgres")),
        }
    }

    /// Starts it, where it is ours and down; returns once it takes connections.
    pub async fn start(&self) -> Result<()> {
        let Some(private) = &self.private else {
            return Ok(());
        };
        let mut running = self.running.lock().await;
        if running.is_none() {
            private.installation.prepare(&self.password("postgres")).await?;
            let mut daemon = private.plan().start(&private.logs)?;
            let port = private.port;
            daemon.until_ready(START_LIMIT, || takes_connections(port)).await?;
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

    /// Stops it: its connections are cut, what was committed stays.
    pub async fn stop(&self) -> Result<()> {
        if self.private.is_none() {
            return Err(Error::new("this Postgres is not ours to stop"));
        }
        match self.running.lock().await.take() {
            Some(daemon) => daemon.stop().await,
            None => Ok(()),
        }
    }
}

impl Private {
    fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    fn plan(&self) -> Plan {
        let mut arguments = vec!["-D".into(), OWN_FOLDER.into(), "-p".into(), self.port.to_string()];
        arguments.extend(SETTINGS.iter().flat_map(|setting| ["-c".to_string(), (*setting).to_string()]));
        Plan {
            name: "postgres",
            program: self.installation.program("postgres"),
            arguments,
            environment: vec![("STATE_DIR", self.state_dir.clone())],
            folder: self.installation.data.clone(),
            identity: self.installation.identity(),
            stop_signal: Signal::INT,
        }
    }
}

/// The same server and database under another login.
fn with_login(url: &str, role: &str, password: &str) -> Result<String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| Error::new("DATABASE_URL is no URL"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    Ok(format!("{scheme}://{role}:{password}@{host}{path}"))
}

/// Whether the server on `port` asks for a login: while it starts it sends an error instead.
async fn takes_connections(port: u16) -> bool {
    let mut hello = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0".to_vec();
    let length = u32::try_from(hello.len() + 4).unwrap_or_default();
    hello.splice(0..0, length.to_be_bytes());
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(&hello).await?;
        stream.read_u8().await
    };
    matches!(asked.await, Ok(b'R'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_put_into_a_url() {
        let cases = [
            ("postgres://a:b@db:5432/x?sslmode=require", "postgres://r:p@db:5432/x?sslmode=require"),
            ("postgresql://db/x", "postgresql://r:p@db/x"),
        ];
        for (url, expected) in cases {
            assert_eq!(with_login(url, "r", "p").unwrap(), expected);
        }
        assert!(with_login("db", "r", "p").is_err());
    }
}
