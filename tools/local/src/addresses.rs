//! The stack's addresses, as `stack.json` and the template's parameters name them.
//! None ends in a slash.

use crate::config::{Config, Ports};

/// The stage of the WebSocket API.
pub const STAGE: &str = "ws";

/// Roots of the stack's servers.
#[derive(Debug, Clone)]
pub struct Addresses {
    ports: Ports,
}

impl Addresses {
    /// The addresses for a configuration.
    pub fn of(config: &Config) -> Self {
        Self { ports: config.ports }
    }

    /// HTTP API and `/_local`.
    pub fn http(&self) -> String {
        root(self.ports.front())
    }

    /// WebSocket API with its stage.
    pub fn websocket(&self) -> String {
        format!("ws://127.0.0.1:{}/{STAGE}", self.ports.front())
    }

    /// Management API with its stage.
    pub fn management(&self) -> String {
        format!("{}/{STAGE}", root(self.ports.management()))
    }

    /// The portal.
    pub fn portal(&self) -> String {
        root(self.ports.portal())
    }

    /// The origins a browser may come from, by both names of this machine.
    pub fn origins(&self) -> String {
        format!("{},http://localhost:{}", self.portal(), self.ports.portal())
    }

    /// SQS.
    pub fn sqs(&self) -> String {
        root(self.ports.sqs())
    }

    /// The development model.
    pub fn model(&self) -> String {
        root(self.ports.model())
    }

    /// The recorder.
    pub fn recorder(&self) -> String {
        root(self.ports.recorder())
    }

    /// The demo's server of tools.
    pub fn tickets(&self) -> String {
        format!("{}/tickets/mcp", self.recorder())
    }

    /// What the functions may call though it is not public: host and port of that server.
    pub fn outbound_exceptions(&self) -> String {
        format!("127.0.0.1:{}", self.ports.recorder())
    }
}

fn root(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
