//! How a person's message is accepted, on every channel: `Received → Normalised → Tenanted → Admitted →
//! Announced → Stored → Enqueued` (CHAN-01). Each stage's type can only be had from the one before, so none is
//! skipped or reordered. Every stage can be repeated; what a copy meets is said at each.

mod admit;
mod announce;
mod arrival;

use std::sync::Arc;
use std::time::Duration;

use konstruct_domain::{InboundMessage, UserId};
use konstruct_ports::{Clock, NewRecord, TaskQueue};
use konstruct_postgres::TenantPool;
use konstruct_postgres::channel_messages::NewChannelMessage;
use konstruct_postgres::messages::{NewMessage, Stored as StoredRow, StoredMessage};
use konstruct_protocol::{ErrorCode, Task, TaskKind, TraceParent};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::confirm::{self, Outcome, Yes, bare_answer};
use crate::connections::{Connections, Writer};
use crate::error::{Error, Refusal};
use crate::failpoint::reach;
use crate::patience::Patience;
use crate::telemetry::name_message;
use crate::wake::Wake;

pub(crate) use admit::not_a_member;
pub use admit::{Admitted, Tenanted};
pub use announce::Announced;
pub use arrival::Arrival;

/// Accepts messages.
#[derive(Clone)]
pub struct Inbound {
    /// Stores them.
    pub db: TenantPool,
    /// Admits and announces them.
    pub connections: Connections,
    /// Wakes the agent.
    pub queue: Arc<dyn TaskQueue>,
    /// When.
    pub clock: Arc<dyn Clock>,
    /// How long to try while something is away.
    pub patience: Duration,
}

/// A message in its one shape, of a person whose identity is verified.
#[derive(Debug, Clone)]
pub struct Normalised {
    /// The message.
    pub message: InboundMessage,
    /// Who wrote it.
    pub author: Author,
    /// The trace it came in.
    pub trace: TraceParent,
}

/// Who wrote a message.
#[derive(Debug, Clone)]
pub enum Author {
    /// A portal user, in a conversation of his; and the connection he wrote on, if it was one.
    Member(UserId, Option<Writer>),
    /// Somebody on another channel: whom it lets write is a matter of that channel.
    Guest(Arrival),
}

/// A message that is stored.
#[derive(Debug)]
pub struct Stored {
    announced: Announced,
    row: StoredMessage,
}

/// A message that is stored and queued: it will be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// It had been accepted before.
    pub duplicate: bool,
}

impl Inbound {
    /// Accepts a message: when this returns, it is stored and queued.
    ///
    /// # Errors
    /// A refusal, or `Away` when patience ended: then a resend completes it.
    pub async fn accept(&self, received: Normalised) -> Result<Accepted, Error> {
        let message = &received.message;
        // Of a copy, the message's own trace is known only when its row was found.
        let span = tracing::info_span!(
            "accept",
            tenant_id = %message.tenant_id,
            conversation_id = %message.thread_id,
            channel = message.channel.as_str(),
            message_id = Empty,
            trace_id = Empty,
        );
        self.accept_in_order(received).instrument(span).await
    }

    async fn accept_in_order(&self, received: Normalised) -> Result<Accepted, Error> {
        let patience = Patience::of(self.patience);
        let tenanted = admit::tenanted(&self.db, received, patience).await?;
        let admitted = admit::admitted(&self.connections, tenanted, patience).await?;
        reach("inbound.admitted").await;
        if let Some(accepted) = self.decided(&admitted, patience).await? {
            return Ok(accepted);
        }
        let announced = announce::announced(&self.connections, admitted).await;
        reach("inbound.announced").await;
        let unannounce = announced.undo();
        let stored = self.stored(announced, patience).await;
        reach("inbound.stored").await;
        // A human took the conversation over meanwhile: nobody answers this one.
        let silent = stored.as_ref().is_ok_and(|stored| stored.row.ended && !stored.row.duplicate);
        let accepted = match stored {
            Ok(stored) => self.enqueued(stored, patience).await,
            Err(error) => Err(error),
        };
        reach("inbound.enqueued").await;
        if (silent || accepted.is_err())
            && let Some(unannounce) = unannounce
        {
            unannounce.run(&self.db, &self.connections).await;
        }
        accepted
    }

    /// On a channel where people decide by writing, a bare yes or no decides the oldest call that waits for its author,
    /// and is no message then; nor is a copy of it.
    async fn decided(&self, admitted: &Admitted, patience: Patience) -> Result<Option<Accepted>, Error> {
        let Normalised { message, author, .. } = admitted.received();
        let (Author::Guest(_), Some(approve)) = (author, bare_answer(message.content.as_str())) else {
            return Ok(None);
        };
        let wake =
            Wake { db: self.db.clone(), queue: Arc::clone(&self.queue), clock: Arc::clone(&self.clock) };
        let (tenant, conversation, id) = (message.tenant_id, message.thread_id, message.id);
        let person = &message.sender.user_id;
        let yes = Yes { conversation, person, call_id: None, approve, message: Some(id) };
        Ok(match confirm::decide(&wake, tenant, yes, patience).await? {
            Outcome::Decided => Some(Accepted { duplicate: false }),
            Outcome::Copy => Some(Accepted { duplicate: true }),
            Outcome::Nothing => None,
        })
    }

    /// A copy finds its row and changes nothing.
    async fn stored(&self, announced: Announced, patience: Patience) -> Result<Stored, Error> {
        let Normalised { message, author, trace } = announced.received();
        let trace = trace.id;
        let store = || async {
            let tx = self.db.begin(message.tenant_id).await?;
            let (id, conversation, content) = (message.id, message.thread_id, &message.content);
            match author {
                Author::Member(user, _) => {
                    tx.store_message(NewMessage { id, conversation, user: *user, content, trace }).await
                }
                Author::Guest(arrival) => {
                    let new = NewChannelMessage {
                        id,
                        conversation,
                        channel: message.channel,
                        session_id: &arrival.session_id,
                        content,
                        metadata: &message.channel_metadata,
                        posts: announced.posts(),
                        trace,
                    };
                    tx.store_channel_message(new).await
                }
            }
        };
        match patience.retry(store).await? {
            StoredRow::Yes(row) => {
                name_message(&Span::current(), message.id, row.trace.unwrap_or(trace));
                tracing::info!(duplicate = row.duplicate, "accepted");
                Ok(Stored { announced, row })
            }
            StoredRow::NotAMember => Err(not_a_member()),
            StoredRow::NoConversation => Err(Error::not_found("conversation")),
            StoredRow::NotYours => Err(konstruct_domain::Denied::NotYours.into()),
            StoredRow::IdTaken => Err(Error::Refused(Refusal {
                field: Some("id"),
                ..Refusal::new(ErrorCode::InvalidMessage, "The field id belongs to another message already.")
            })),
        }
    }

    /// A copy is queued again unless its turn has ended: the first copy's send may have failed.
    async fn enqueued(&self, stored: Stored, patience: Patience) -> Result<Accepted, Error> {
        let StoredMessage { duplicate, epoch, ended, trace: first } = stored.row;
        if !ended {
            let Normalised { message, trace, .. } = stored.announced.into_received();
            let id = message.id.to_string();
            let traceparent = trace.in_trace(first.unwrap_or(trace.id)).to_string();
            let task = Task::new(TaskKind::Message, epoch, message);
            let (body, group_id) = (task.to_body(), task.group_id());
            let record = NewRecord {
                body: &body,
                group_id: &group_id,
                deduplication_id: &id,
                traceparent: Some(&traceparent),
            };
            patience.retry(|| self.queue.send(record)).await?;
            tracing::info!("enqueued");
        }
        Ok(Accepted { duplicate })
    }
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbound")
    }
}
