//! Announced: the person is shown that the agent is at work, before the work is queued (CHAT-05, SLACK-04). Failing to
//! show it never loses the message.

use std::time::Duration;

use konstruct_domain::InboundMessage;
use konstruct_ports::Addressee;
use konstruct_postgres::TenantPool;
use konstruct_protocol::ServerFrame;
use tokio::time::{Instant, sleep};

use super::admit::Admitted;
use super::{Arrival, Author, Normalised};
use crate::connections::{Connections, Writer};

/// A device, or a channel, that hangs does not hold up the message.
const SHOWN_WITHIN: Duration = Duration::from_millis(500);
/// As above, for a channel: another service, over the internet.
const POSTED_WITHIN: Duration = Duration::from_millis(1_200);

/// How often a copy looks for the first one's placeholder.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// A message whose person was told.
#[derive(Debug)]
pub struct Announced {
    received: Normalised,
    /// The placeholder, as the channel's journal has it.
    posts: Option<String>,
    /// Whether this copy posted it.
    first: bool,
}

/// Takes an announcement back: nobody is at work after all.
pub(super) struct Undo {
    arrival: Arrival,
    message: InboundMessage,
    posts: String,
}

impl Announced {
    pub(super) const fn received(&self) -> &Normalised {
        &self.received
    }

    pub(super) fn posts(&self) -> Option<&str> {
        self.posts.as_deref()
    }

    pub(super) fn into_received(self) -> Normalised {
        self.received
    }

    /// What takes this back; `None`: there is nothing that stays.
    pub(super) fn undo(&self) -> Option<Undo> {
        let Author::Guest(arrival) = &self.received.author else { return None };
        let posts = self.posts.clone().filter(|_| self.first)?;
        Some(Undo { arrival: arrival.clone(), message: self.received.message.clone(), posts })
    }
}

impl Undo {
    pub(super) async fn run(self, db: &TenantPool, connections: &Connections) {
        let Self { arrival, message, posts } = self;
        let to = arrival.addressee(&message);
        let (tenant, id, thread) = (message.tenant_id, message.id, message.thread_id);
        // Another copy may have queued it, or the send that failed was taken all the same: then an agent may be at
        // work, and its answer may stand in the placeholder's place.
        let withdraw = async { db.begin(tenant).await?.withdraw_placeholder(thread, id).await };
        match withdraw.await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "a placeholder stays: it is not known whether an agent is at work");
                return;
            }
        }
        match arrival.channel.retract(&to, &posts, POSTED_WITHIN).await {
            // A copy that comes next is not announced, and its answer is posted anew.
            Ok(()) => {
                if let Err(error) = connections.redis.forget_placeholder(tenant, id).await {
                    tracing::warn!(%error, "a placeholder that is gone could not be forgotten");
                }
            }
            // The key still tells the next copy of it, and the answer takes its place.
            Err(error) => tracing::warn!(%error, "a placeholder could not be taken back"),
        }
    }
}

pub(super) async fn announced(connections: &Connections, admitted: Admitted) -> Announced {
    let Admitted { received, announce } = admitted;
    match &received.author {
        Author::Member(_, writer) => {
            if announce {
                show_typing(connections, &received.message, writer.as_ref()).await;
            }
            Announced { received, posts: None, first: false }
        }
        Author::Guest(arrival) => {
            let to = arrival.addressee(&received.message);
            let posts = if announce {
                Some(post_placeholder(connections, arrival, &to, &received.message).await)
            } else {
                noted(connections, &received.message).await
            };
            Announced { received, posts, first: announce }
        }
    }
}

async fn show_typing(connections: &Connections, message: &InboundMessage, writer: Option<&Writer>) {
    let (tenant, thread) = (message.tenant_id, message.thread_id);
    let show = connections.send_to_conversation_of(tenant, thread, writer, &ServerFrame::Typing);
    match tokio::time::timeout(SHOWN_WITHIN, show).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "typing could not be shown"),
        Err(_) => tracing::warn!("typing was not shown in time"),
    }
}

/// The placeholder's id is noted at once, for a copy that comes after a crash before it is stored. Where not even that
/// was done, there is no journal, and the channel looks for one by itself.
async fn post_placeholder(
    connections: &Connections,
    arrival: &Arrival,
    to: &Addressee,
    message: &InboundMessage,
) -> String {
    let announced = arrival.channel.announce(to, POSTED_WITHIN).await;
    if let Err(error) = announced.outcome {
        tracing::warn!(%error, "a placeholder could not be posted");
    }
    let noted = connections.redis.note_placeholder(message.tenant_id, message.id, &announced.posts).await;
    if let Err(error) = noted {
        tracing::warn!(%error, "a placeholder could not be noted");
    }
    announced.posts
}

/// What an earlier copy posted. One mention comes as two events at once: the second waits for the first one's
/// placeholder, so that whichever is stored first knows of it. One that died leaves none; the channel looks for it then.
async fn noted(connections: &Connections, message: &InboundMessage) -> Option<String> {
    let until = Instant::now() + POSTED_WITHIN;
    loop {
        match connections.redis.placeholder(message.tenant_id, message.id).await {
            Ok(Some(posts)) => return Some(posts),
            Ok(None) if Instant::now() < until => sleep(LOOK_EVERY).await,
            Ok(None) => return None,
            Err(error) => {
                tracing::warn!(%error, "a placeholder could not be looked up");
                return None;
            }
        }
    }
}
