//! The ports of our own servers, taken before anything is started.
//! A port that is in use must be told before a database has been started for nothing.

use tokio::net::TcpListener;

use crate::config::Config;
use crate::error::Result;
use crate::server::listen;

/// Listening sockets, one for each of our servers.
#[derive(Debug)]
pub struct Listeners {
    /// HTTP API, WebSocket API and `/_local`.
    pub front: TcpListener,
    /// Management API.
    pub management: TcpListener,
    /// Portal.
    pub portal: TcpListener,
    /// Pass-through to ministack.
    pub sqs: TcpListener,
    /// Recorder.
    pub recorder: TcpListener,
}

impl Listeners {
    /// Takes our ports, that of the Runtime API apart, and sees that those of the servers we start are free.
    pub fn take(config: &Config) -> Result<(Self, TcpListener)> {
        let ports = config.ports;
        drop(listen(ports.model(), "development model")?);
        drop(listen(ports.ministack(), "ministack")?);
        if config.database_url.is_none() {
            drop(listen(ports.postgres(), "Postgres")?);
        }
        if config.redis_url.is_none() {
            drop(listen(ports.redis(), "Redis")?);
        }
        let runtime_api = listen(ports.runtime_api(), "Runtime API")?;
        let others = Self {
            front: listen(ports.front(), "HTTP and WebSocket API")?,
            management: listen(ports.management(), "Management API")?,
            portal: listen(ports.portal(), "portal")?,
            sqs: listen(ports.sqs(), "SQS")?,
            recorder: listen(ports.recorder(), "recorder")?,
        };
        Ok((others, runtime_api))
    }
}
