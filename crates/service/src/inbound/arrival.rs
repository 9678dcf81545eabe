//! A message of a channel other than the web, as its function hands it on: with what it takes to answer it there.

use std::fmt;
use std::sync::Arc;

use konstruct_domain::InboundMessage;
use konstruct_ports::{Addressee, Channel, ChannelToken};

/// A person's way into a channel's thread.
#[derive(Clone)]
pub struct Arrival {
    /// The channel's outgoing side.
    pub channel: Arc<dyn Channel>,
    /// The installation's token.
    pub token: ChannelToken,
    /// The thread's native key.
    pub session_id: String,
}

impl Arrival {
    /// The message as the channel is told of it.
    #[must_use]
    pub fn addressee(&self, message: &InboundMessage) -> Addressee {
        Addressee {
            metadata: message.channel_metadata.clone(),
            token: self.token.clone(),
            message_id: message.id.0,
        }
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").field("session_id", &self.session_id).finish_non_exhaustive()
    }
}
