//! What a tenant's agents used, for its admins. Booking it is the turn's.

use konstruct_domain::access::{Access, in_tenant};
use konstruct_domain::{Principal, TenantId};
use konstruct_postgres::TenantPool;
use konstruct_postgres::usage::UsageLine;
use time::OffsetDateTime;

use crate::error::Error;

/// Tokens by agent and model, from one time (included) to another (not).
///
/// # Errors
/// `forbidden`, or Postgres is away.
pub async fn report(
    db: &TenantPool,
    caller: &Principal,
    tenant: TenantId,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<Vec<UsageLine>, Error> {
    let (membership, lines) = db.begin(tenant).await?.usage(caller.user_id, from, to).await?;
    in_tenant(caller, membership, Access::Administer)?;
    Ok(lines)
}
