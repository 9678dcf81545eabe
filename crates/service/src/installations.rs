//! Installations of channels.

use konstruct_domain::Channel;
use konstruct_postgres::TenantPool;

use crate::error::Error;

/// The channel says that the app is gone from a workspace: the installation is removed and its secrets with it.
///
/// # Errors
/// Postgres is away.
pub async fn uninstalled(db: &TenantPool, channel: Channel, workspace: &str) -> Result<(), Error> {
    let Some((tenant, id)) = db.installation(channel, workspace).await? else { return Ok(()) };
    Ok(db.begin(tenant).await?.uninstall(id).await?)
}
