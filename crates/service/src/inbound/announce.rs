//! Announced: the person is shown that the agent is at work, before the work is queued (CHAT-05). Failing to show
//! it never loses the message.

use std::time::Duration;

use konstruct_protocol::ServerFrame;

use super::Normalised;
use super::admit::Admitted;
use crate::connections::Connections;

/// A device that hangs does not hold up the message.
const SHOWN_WITHIN: Duration = Duration::from_millis(500);

/// A message whose person was told.
#[derive(Debug)]
pub struct Announced(Normalised);

impl Announced {
    pub(super) const fn received(&self) -> &Normalised {
        &self.0
    }

    pub(super) fn into_received(self) -> Normalised {
        self.0
    }
}

pub(super) async fn announced(connections: &Connections, admitted: Admitted) -> Announced {
    let Admitted { received, announce } = admitted;
    if announce {
        let (tenant, thread) = (received.message.tenant_id, received.message.thread_id);
        let show = connections.send_to_conversation(tenant, thread, &ServerFrame::Typing);
        match tokio::time::timeout(SHOWN_WITHIN, show).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "typing could not be shown"),
            Err(_) => tracing::warn!("typing was not shown in time"),
        }
    }
    Announced(received)
}
