//! What the environment says: folders, ports, servers, limits.
//! Nothing else of this program may read the environment, and no function inherits it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::channels::Channels;
use crate::error::{Context, Error, Result};

/// The stack's ports: `PORT_BASE` + n, all on 127.0.0.1 (10 to 19 are kept free for later).
///
/// | n | port of |
/// | --- | --- |
/// | 0 | front: HTTP API, WebSocket API and `/_local` |
/// | 1 | Management API |
/// | 2 | portal |
/// | 3 | `sqs_endpoint`, the pass-through to ministack |
/// | 4 | development model |
/// | 5 | recorder |
/// | 6 | Runtime API of the functions |
/// | 7 | ministack |
/// | 8 | Postgres |
/// | 9 | Redis |
#[derive(Debug, Clone, Copy)]
pub struct Ports(u16);

impl Ports {
    /// HTTP API, WebSocket API and `/_local`.
    pub fn front(self) -> u16 {
        self.0
    }
    /// Management API.
    pub fn management(self) -> u16 {
        self.0 + 1
    }
    /// Portal.
    pub fn portal(self) -> u16 {
        self.0 + 2
    }
    /// Pass-through to ministack.
    pub fn sqs(self) -> u16 {
        self.0 + 3
    }
    /// Development model.
    pub fn model(self) -> u16 {
        self.0 + 4
    }
    /// Recorder.
    pub fn recorder(self) -> u16 {
        self.0 + 5
    }
    /// Runtime API.
    pub fn runtime_api(self) -> u16 {
        self.0 + 6
    }
    /// ministack itself.
    pub fn ministack(self) -> u16 {
        self.0 + 7
    }
    /// Private Postgres.
    pub fn postgres(self) -> u16 {
        self.0 + 8
    }
    /// Private Redis.
    pub fn redis(self) -> u16 {
        self.0 + 9
    }
}

/// AWS's limits, adjustable for tests.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A connection without messages is closed after this.
    pub idle: Duration,
    /// No connection lives longer.
    pub max_connection: Duration,
    /// How long a gateway waits for a function.
    pub integration: Duration,
}

/// The model the agent is told to use.
#[derive(Debug, Clone)]
pub struct ModelChoice {
    /// An OpenAI-compatible base URL with its `/v1`; none: the development model.
    pub base_url: Option<String>,
    /// Its key.
    pub api_key: String,
    /// A base URL that speaks as Anthropic's does, without `/v1`; none: the development model.
    pub anthropic_base_url: Option<String>,
    /// Its key.
    pub anthropic_api_key: String,
    /// Its name.
    pub name: String,
}

/// Everything the environment decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// The checkout this was started in.
    pub checkout: PathBuf,
    /// Data, logs and `stack.json`.
    pub state_dir: PathBuf,
    /// Where the build put the functions' binaries.
    pub binaries: PathBuf,
    /// The stack's ports.
    pub ports: Ports,
    /// An administrator's URL of a database to use instead of a private Postgres.
    pub database_url: Option<String>,
    /// A Redis to use instead of a private one.
    pub redis_url: Option<String>,
    /// The model the agent uses.
    pub model: ModelChoice,
    /// Lease of a turn in milliseconds.
    pub turn_lease_ms: u64,
    /// AWS's limits.
    pub limits: Limits,
    /// The channels' APIs and secrets.
    pub channels: Channels,
}

impl Config {
    /// Reads the environment and the place this was started in.
    pub fn from_env() -> Result<Self> {
        let checkout = std::env::current_dir().context("the current folder")?;
        let binary = std::env::current_exe().context("the path of this program")?;
        let state_dir = variable("STATE_DIR").unwrap_or_else(|| ".local".into());
        Ok(Self {
            state_dir: std::path::absolute(&state_dir).context("STATE_DIR")?,
            binaries: binary.parent().map(Path::to_path_buf).context("the folder of this program")?,
            checkout,
            ports: port_base(number("PORT_BASE", 8700)?)?,
            database_url: variable("DATABASE_URL"),
            redis_url: variable("REDIS_URL"),
            model: ModelChoice {
                base_url: variable("OPENAI_BASE_URL"),
                api_key: variable("OPENAI_API_KEY").unwrap_or_default(),
                anthropic_base_url: variable("ANTHROPIC_BASE_URL"),
                anthropic_api_key: variable("ANTHROPIC_API_KEY").unwrap_or_default(),
                name: variable("LLM_MODEL").unwrap_or_else(|| "development".into()),
            },
            turn_lease_ms: number("TURN_LEASE_MS", 30_000)?,
            limits: Limits {
                idle: millis("WS_IDLE_TIMEOUT_MS", 600_000)?,
                max_connection: millis("WS_MAX_CONNECTION_MS", 7_200_000)?,
                integration: millis("INTEGRATION_TIMEOUT_MS", 29_000)?,
            },
            channels: Channels::read(variable),
        })
    }

    /// Python with the pinned tools; one environment per checkout, whatever `STATE_DIR` says.
    pub fn python(&self) -> PathBuf {
        self.checkout.join(".local/venv/bin/python")
    }

    /// Where logs go.
    pub fn logs(&self) -> PathBuf {
        self.state_dir.join("logs")
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str, default: u64) -> Result<u64> {
    match variable(name) {
        None => Ok(default),
        Some(text) => text.parse().context(format_args!("{name}={text} is no number")),
    }
}

fn millis(name: &str, default: u64) -> Result<Duration> {
    number(name, default).map(Duration::from_millis)
}

fn port_base(base: u64) -> Result<Ports> {
    match u16::try_from(base) {
        Ok(base) if (1024..=65_516).contains(&base) => Ok(Ports(base)),
        _ => Err(Error::new(format!("PORT_BASE={base} must be from 1024 to 65516"))),
    }
}
