//! A tenant's links to channels: seeing them, making and ending them. A token in clear exists here only between the
//! channel's answer and its seal, and between a seal and the call it is for; it is never an answer.

mod complete;

use konstruct_domain::access::{Access, in_tenant, manages};
use konstruct_domain::{Channel, Denied, Principal, TenantId};
use konstruct_ports::{ChannelToken, Ids, SecretContext};
use konstruct_postgres::TenantPool;
use konstruct_postgres::installations::{InstallationRow, Removal};
use konstruct_redis::Redis;
use konstruct_secrets::Secrets;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::complete::Installing;
use crate::error::Error;

/// Where an installation's `config` has the sealed token.
const TOKEN: &str = "bot_token";
/// Where it has when it was made, seconds since 1970.
const INSTALLED_AT: &str = "installed_at";

/// All installations of a tenant, oldest first, removed ones too. For its admins, and platform admins.
///
/// # Errors
/// `forbidden`, or Postgres is away.
pub async fn list(
    db: &TenantPool,
    caller: &Principal,
    tenant: TenantId,
) -> Result<Vec<InstallationRow>, Error> {
    let (membership, rows) = db.begin(tenant).await?.installations(caller.user_id).await?;
    in_tenant(caller, membership, Access::Administer)?;
    Ok(rows)
}

/// Ends an installation: its token is gone with it. For the tenant's admins; one that was ended before is no error.
///
/// # Errors
/// `forbidden`, `not_found`, or Postgres is away.
pub async fn remove(
    db: &TenantPool,
    caller: &Principal,
    tenant: Option<TenantId>,
    id: Uuid,
) -> Result<(), Error> {
    let tenant = tenant.or(caller.tenant_id).ok_or(Denied::NotAMember)?;
    match db.begin(tenant).await?.remove_installation(caller.user_id, id).await? {
        Removal::Done => {
            tracing::info!(target: "audit", tenant_id = %tenant, user_id = %caller.user_id, installation_id = %id,
                "an installation is removed");
            Ok(())
        }
        Removal::NotAdmin(membership) => Err(manages(membership).err().unwrap_or(Denied::NotAnAdmin).into()),
        Removal::Unknown => Err(Error::not_found("installation")),
    }
}

/// Begins an installation: the `state` that the channel gives back once the person has agreed. It is good for ten
/// minutes and once, and stands for this tenant and this admin.
///
/// # Errors
/// `forbidden`, or something is away.
pub async fn begin(
    db: &TenantPool,
    redis: &Redis,
    ids: &dyn Ids,
    caller: &Principal,
    tenant: TenantId,
    channel: Channel,
) -> Result<String, Error> {
    manages(db.begin(tenant).await?.membership(caller.user_id).await?)?;
    let nonce = ids.new_nonce();
    redis.begin_install(tenant, channel, &nonce, caller.user_id).await?;
    Ok(format!("{tenant}.{nonce}"))
}

/// The channel says that an installation ended `at` that time, whoever ended it: it is removed, and its token with it.
/// `false`: there is none, or it was made anew since. `db` is of the role that may read sealed secrets.
///
/// # Errors
/// Postgres is away.
pub async fn uninstalled(
    db: &TenantPool,
    channel: Channel,
    workspace: &str,
    at: OffsetDateTime,
) -> Result<bool, Error> {
    let Some((tenant, id)) = db.installation(channel, workspace).await? else { return Ok(false) };
    let removed = db.begin(tenant).await?.uninstall(id, at.unix_timestamp()).await?;
    if removed {
        tracing::info!(target: "audit", tenant_id = %tenant, installation_id = %id,
            "an installation is removed by its channel");
    }
    Ok(removed)
}

/// The token that an installation's `config` keeps sealed.
///
/// # Errors
/// The keys are away; `Bug` where it does not open: it was sealed for another row or by another key.
pub async fn token(
    secrets: &Secrets,
    tenant: TenantId,
    channel: Channel,
    id: Uuid,
    config: &Value,
) -> Result<ChannelToken, Error> {
    let purpose = purpose(channel);
    let sealed = config.get(TOKEN).unwrap_or(&Value::Null);
    let opened = secrets.open(&context(tenant, id, &purpose), sealed).await?;
    Ok(ChannelToken::new(opened.to_string()))
}

fn purpose(channel: Channel) -> String {
    format!("{}_{TOKEN}", channel.as_str())
}

const fn context(tenant: TenantId, row: Uuid, purpose: &str) -> SecretContext<'_> {
    SecretContext { tenant: tenant.0, row, purpose }
}
