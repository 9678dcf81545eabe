//! The ports of our own servers, taken before anything is started.
//! A port that is in use must be told before a database has been started for nothing.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

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
    pub async fn take(config: &Config) -> Result<(Self, TcpListener)> {
        let ports = config.ports;
        drop(patiently(ports.model(), "development model").await?);
        drop(patiently(ports.ministack(), "ministack").await?);
        if config.database_url.is_none() {
            drop(patiently(ports.postgres(), "Postgres").await?);
        }
        if config.redis_url.is_none() {
            drop(patiently(ports.redis(), "Redis").await?);
        }
        let runtime_api = patiently(ports.runtime_api(), "Runtime API").await?;
        let others = Self {
            front: patiently(ports.front(), "HTTP and WebSocket API").await?,
            management: patiently(ports.management(), "Management API").await?,
            portal: patiently(ports.portal(), "portal").await?,
            sqs: patiently(ports.sqs(), "SQS").await?,
            recorder: patiently(ports.recorder(), "recorder").await?,
        };
        Ok((others, runtime_api))
    }
}

/// The servers of a stack that was killed a moment ago may still be stopping.
const PATIENCE: Duration = Duration::from_secs(4);

async fn patiently(port: u16, purpose: &str) -> Result<TcpListener> {
    let end = Instant::now() + PATIENCE;
    loop {
        match listen(port, purpose) {
            Err(_) if Instant::now() < end => sleep(Duration::from_millis(100)).await,
            result => return result,
        }
    }
}
