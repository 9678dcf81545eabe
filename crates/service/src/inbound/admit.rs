//! Tenanted and admitted: whose message it is, and whether it is taken. Nothing is stored here.

use konstruct_domain::Denied;
use konstruct_domain::tenant::Tenant;
use konstruct_postgres::TenantPool;
use konstruct_protocol::ErrorCode;
use konstruct_redis::admission::Admission;

use super::{Author, Normalised};
use crate::connections::Connections;
use crate::error::{Error, Refusal};
use crate::patience::Patience;

/// A message of a member of a tenant, in a conversation of his.
#[derive(Debug)]
pub struct Tenanted {
    received: Normalised,
    tenant: Tenant,
    human: bool,
}

/// A message that is taken: charged, or a copy of one that was.
#[derive(Debug)]
pub struct Admitted {
    pub(super) received: Normalised,
    /// To be announced: the first copy, while the AI has the conversation.
    pub(super) announce: bool,
}

impl Admitted {
    pub(super) const fn received(&self) -> &Normalised {
        &self.received
    }
}

pub(crate) fn not_a_member() -> Error {
    Error::refused(ErrorCode::AuthFailed, "You are not a member of this tenant.")
}

pub(super) async fn tenanted(
    db: &TenantPool,
    received: Normalised,
    patience: Patience,
) -> Result<Tenanted, Error> {
    let (tenant, thread) = (received.message.tenant_id, received.message.thread_id);
    let user = match received.author {
        Author::Member(user, _) => user,
        Author::Guest(_) => return guest(db, received, patience).await,
    };
    let facts = patience.retry(|| async { db.begin(tenant).await?.admission(user, thread).await }).await?;
    let Some(facts) = facts.filter(|facts| facts.membership.is_some()) else {
        return Err(not_a_member());
    };
    match facts.owner {
        None => Err(Error::not_found("conversation")),
        Some(owner) if owner != user => Err(Denied::NotYours.into()),
        Some(_) => Ok(Tenanted { received, tenant: facts.tenant, human: facts.human }),
    }
}

async fn guest(db: &TenantPool, received: Normalised, patience: Patience) -> Result<Tenanted, Error> {
    let (tenant, thread) = (received.message.tenant_id, received.message.thread_id);
    let facts = patience.retry(|| async { db.begin(tenant).await?.thread_admission(thread).await }).await?;
    let facts = facts.ok_or_else(|| Error::not_found("tenant"))?;
    Ok(Tenanted { received, tenant: facts.tenant, human: facts.human })
}

pub(super) async fn admitted(
    connections: &Connections,
    tenanted: Tenanted,
    patience: Patience,
) -> Result<Admitted, Error> {
    let Tenanted { received, tenant, human } = tenanted;
    let (channel, id) = (received.message.channel, received.message.id);
    let admit = || connections.redis.admit(tenant.id, channel, id, tenant.messages_per_minute);
    match patience.retry(admit).await? {
        Admission::First => Ok(Admitted { received, announce: !human }),
        Admission::Copy => Ok(Admitted { received, announce: false }),
        Admission::Limited { retry_after_ms } => Err(Error::Refused(Refusal {
            retry_after: Some(retry_after_ms.div_ceil(1000).max(1)),
            ..Refusal::new(
                ErrorCode::RateLimited,
                format!("Too many messages: try again in {} s.", retry_after_ms.div_ceil(1000).max(1)),
            )
        })),
    }
}
