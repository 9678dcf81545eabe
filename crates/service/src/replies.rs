//! A human's reply in the agent's place (AGNT-06): stored first, then brought to the person, on the web by whoever took
//! it, elsewhere by the agent. Whoever dies in between, the janitor sees to it.

use konstruct_domain::access::{Access, in_tenant, manages};
use konstruct_domain::{Channel, Content, ConversationId, MessageId, Principal, TenantId};
use konstruct_postgres::replies::{ReplyStored, StoredReply};
use konstruct_postgres::turns::Ended;
use konstruct_protocol::{ErrorCode, TraceParent};
use tracing::Instrument as _;

use crate::conversations::tenant_of;
use crate::error::{Error, Refusal};
use crate::failpoint::reach;
use crate::hand_over::{KnownLog, OnBehalf};
use crate::telemetry::of_message;
use crate::wake::Due;

/// A conversation that the caller, an admin of its tenant, may take over and reply in; its tenant.
///
/// # Errors
/// `not_found`, `forbidden`, or Postgres is away.
pub async fn administered(
    on_behalf: &OnBehalf<'_>,
    caller: &Principal,
    conversation: ConversationId,
) -> Result<TenantId, Error> {
    let tenant = tenant_of(&on_behalf.db, caller, conversation).await?;
    let (membership, row) =
        on_behalf.db.begin(tenant).await?.conversation(conversation, caller.user_id).await?;
    in_tenant(caller, membership, Access::Read)?;
    row.ok_or_else(|| Error::not_found("conversation"))?;
    manages(membership)?;
    Ok(tenant)
}

/// Replies, and takes the conversation over if the AI has it. With an id that is known nothing is said twice.
///
/// # Errors
/// A refusal, or something is away: it may be sent again.
pub async fn reply(
    on_behalf: &OnBehalf<'_>,
    tenant: TenantId,
    conversation: ConversationId,
    id: MessageId,
    content: &Content,
    trace: TraceParent,
) -> Result<(), Error> {
    // Handed back in between: once more.
    for _ in 0..3 {
        let store = on_behalf.db.begin(tenant).await?.store_reply(conversation, id, content, trace.id);
        match store.await? {
            ReplyStored::Yes(stored) => {
                reach("reply.stored").await;
                let span = of_message(tenant, conversation, id, stored.trace);
                span.in_scope(|| tracing::info!("a reply was taken"));
                // Whoever took it over may have died before people were told.
                on_behalf.settle(tenant, conversation, None).await?;
                let deliver = deliver(on_behalf, tenant, conversation, id, content, stored);
                return deliver.instrument(span).await;
            }
            ReplyStored::NotWithAHuman => on_behalf.hand_over(tenant, conversation, true).await?,
            ReplyStored::IdTaken => {
                return Err(Error::Refused(Refusal {
                    field: Some("id"),
                    ..Refusal::new(
                        ErrorCode::InvalidMessage,
                        "The field id belongs to another message already.",
                    )
                }));
            }
            ReplyStored::NoConversation => return Err(Error::not_found("conversation")),
        }
    }
    Err(Error::Away("the conversation is handed back and forth".to_owned()))
}

async fn deliver(
    on_behalf: &OnBehalf<'_>,
    tenant: TenantId,
    conversation: ConversationId,
    id: MessageId,
    content: &Content,
    stored: StoredReply,
) -> Result<(), Error> {
    if !stored.due {
        return Ok(());
    }
    if stored.channel != Channel::Web {
        let due = Due { tenant, conversation, message: id, epoch: stored.epoch, trace: stored.trace };
        return match &on_behalf.wake {
            Some(wake) => wake.deliver(due).await,
            None => Ok(()),
        };
    }
    let ended = Ended::Reply { text: content.as_str().to_owned() };
    let log = KnownLog { generation: stored.generation, epoch: stored.epoch, last_seq: stored.last_seq };
    let shown = on_behalf.show_reply(tenant, conversation, log, id, &ended).await?;
    reach("reply.shown").await;
    // Handed back in between: the janitor has it brought under the epoch that holds.
    let Some(last) = shown else { return Ok(()) };
    on_behalf.db.begin(tenant).await?.delivered(conversation, id, last, None).await?;
    Ok(())
}
