//! What the functions of those share who step into a conversation: the journal, the log, and waking the agent.

use std::sync::Arc;

use konstruct_service::Connections;
use konstruct_service::hand_over::OnBehalf;
use konstruct_service::wake::Wake;

use crate::parts;
use crate::start::StartError;
use crate::system::{SystemClock, SystemIds};

/// Steps into conversations.
pub(crate) struct Operator {
    pub(crate) wake: Wake,
    connections: Connections,
}

impl Operator {
    pub(crate) fn new() -> Result<Self, StartError> {
        let sdk = parts::sdk()?;
        let wake = Wake {
            db: parts::db(1)?,
            queue: Arc::new(parts::queue(&sdk, "QUEUE_URL")?),
            clock: Arc::new(SystemClock),
        };
        Ok(Self { wake, connections: parts::connections(&sdk)? })
    }

    pub(crate) fn on_behalf(&self) -> OnBehalf<'_> {
        OnBehalf {
            db: self.wake.db.clone(),
            connections: self.connections.clone(),
            ids: &SystemIds,
            clock: &SystemClock,
            wake: Some(self.wake.clone()),
        }
    }
}
