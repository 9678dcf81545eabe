//! A message in a room of a channel: whether it is for the agent, and if so, accepting it (SLACK-05). It knows no
//! channel's JSON.

use konstruct_domain::{Channel, InboundMessage, TenantId};
use konstruct_protocol::{ErrorCode, TraceParent};

use crate::error::{Error, Refusal};
use crate::inbound::{Accepted, Arrival, Author, Inbound, Normalised};
use crate::reset::sentence;

/// Longest time to tell a person that there were too many messages.
const TOLD_WITHIN: std::time::Duration = std::time::Duration::from_millis(1_200);

/// How a message came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressed {
    /// It names the agent, or is a direct message.
    ToUs,
    /// It is in a thread, and ours if we follow that.
    InThread,
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It will be answered.
    Accepted(Accepted),
    /// It was for somebody else.
    NotForUs,
    /// There were too many; the person was told, now or before.
    TooMany,
}

impl Inbound {
    /// Takes a message from a room: one that is for us is accepted, and its thread is followed from then on.
    ///
    /// # Errors
    /// `Away` when patience ended: the channel is to send it again.
    pub async fn receive(
        &self,
        message: InboundMessage,
        arrival: &Arrival,
        addressed: Addressed,
        trace: TraceParent,
    ) -> Result<Outcome, Error> {
        let (tenant, thread) = (message.tenant_id, message.thread_id);
        if addressed == Addressed::InThread && !self.follows(&message).await? {
            return Ok(Outcome::NotForUs);
        }
        let since = message.timestamp;
        let outcome = self.accept_or_tell(message, arrival, trace).await?;
        if addressed == Addressed::ToUs && matches!(outcome, Outcome::Accepted(_)) {
            let mut early: Vec<InboundMessage> = self
                .connections
                .redis
                .engage(tenant, thread)
                .await?
                .iter()
                .filter_map(|kept| serde_json::from_str(kept).ok())
                .filter(|reply: &InboundMessage| reply.timestamp > since)
                .collect();
            early.sort_by_key(|reply| reply.timestamp);
            let some = !early.is_empty();
            for reply in early {
                self.accept_or_tell(reply, arrival, trace).await?;
            }
            if some {
                self.connections.redis.early_accepted(tenant, thread).await?;
            }
        }
        Ok(outcome)
    }

    /// Whether a message is in a thread that is followed; one that is not is kept for some minutes, in case it
    /// overtook the mention it follows.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn follows(&self, message: &InboundMessage) -> Result<bool, Error> {
        let kept = serde_json::to_string(message).map_err(|error| Error::Bug(error.to_string()))?;
        Ok(self.connections.redis.follow(message.tenant_id, message.thread_id, &kept).await?)
    }

    async fn accept_or_tell(
        &self,
        message: InboundMessage,
        arrival: &Arrival,
        trace: TraceParent,
    ) -> Result<Outcome, Error> {
        let received = Normalised { message: message.clone(), author: Author::Guest(arrival.clone()), trace };
        match self.accept(received).await {
            Ok(accepted) => Ok(Outcome::Accepted(accepted)),
            Err(Error::Refused(Refusal { code: ErrorCode::RateLimited, retry_after, .. })) => {
                self.tell_of_limit(message.tenant_id, &message, arrival, retry_after.unwrap_or(1)).await;
                Ok(Outcome::TooMany)
            }
            Err(Error::Refused(refusal)) => {
                let (to, sentence) = (arrival.addressee(&message), sentence(ErrorCode::AgentUnavailable));
                if let Err(error) = arrival.channel.tell(&to, sentence, TOLD_WITHIN).await {
                    tracing::warn!(%error, "a person could not be told that nobody answers");
                }
                Err(Error::Refused(refusal))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether something is to be said to a person or about a message: once in so many seconds.
    pub async fn may_tell(&self, tenant: TenantId, channel: Channel, whom: &str, once_in_s: u64) -> bool {
        self.connections.redis.may_be_told(tenant, channel, whom, once_in_s).await.unwrap_or(false)
    }

    /// Once, until one message is free again; failing is no harm.
    async fn tell_of_limit(
        &self,
        tenant: TenantId,
        message: &InboundMessage,
        arrival: &Arrival,
        wait_s: u64,
    ) {
        let (channel, user) = (message.channel, &message.sender.user_id);
        if !self.may_tell(tenant, channel, user, wait_s).await {
            return;
        }
        let sentence = format!("Too many messages at the moment: please try again in {wait_s} s.");
        let told = arrival.channel.tell(&arrival.addressee(message), &sentence, TOLD_WITHIN).await;
        if let Err(error) = told {
            tracing::warn!(%error, "a person over the limit could not be told");
        }
    }
}
