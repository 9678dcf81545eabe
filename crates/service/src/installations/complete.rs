//! The second half of an installation: a browser brings back a code and a state. Neither is believed before the state
//! was taken, and neither is ever shown or logged.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use konstruct_domain::access::manages;
use konstruct_domain::{Channel, Denied, TenantId, UserId};
use konstruct_ports::{Clock, Ids, InstallError, Installed, Installer};
use konstruct_postgres::TenantPool;
use konstruct_postgres::installations::{Installation, NewInstallation};
use konstruct_protocol::ErrorCode;
use konstruct_redis::Redis;
use konstruct_secrets::Secrets;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{INSTALLED_AT, TOKEN, context, purpose};
use crate::error::Error;
use crate::patience::Patience;

/// A code is good once, so what it brought is worth some patience.
const PATIENCE: Duration = Duration::from_secs(10);

/// Completes installations on one channel.
#[derive(Clone)]
pub struct Installing {
    /// As the role that may write sealed secrets.
    pub db: TenantPool,
    /// Where states are.
    pub redis: Redis,
    /// Seals the token.
    pub secrets: Secrets,
    /// The channel's side.
    pub installer: Arc<dyn Installer>,
    /// Tells when it was made.
    pub clock: Arc<dyn Clock>,
    /// Ids of new rows.
    pub ids: Arc<dyn Ids>,
    /// Which channel.
    pub channel: Channel,
}

impl fmt::Debug for Installing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installing").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Installing {
    /// Completes an installation: the tenant's row is active and keeps the sealed token. The state is used up, whatever
    /// comes of it.
    ///
    /// # Errors
    /// `invalid_message`: the state is unknown, used or too old, or the channel does not take the code. `forbidden`:
    /// who began is no admin any more, or the workspace is another tenant's. Else something is away.
    pub async fn complete(&self, code: &str, state: &str) -> Result<Uuid, Error> {
        let (tenant, admin) = self.take(state).await?;
        manages(self.db.begin(tenant).await?.membership(admin).await?)?;
        let at = self.clock.now().unix_timestamp();
        let installed = self.installer.exchange(code).await.map_err(|error| not_granted(&error))?;
        let fresh = self.ids.new_id();
        let kept = Patience::of(PATIENCE).retry(|| self.keep(tenant, admin, fresh, &installed, at)).await?;
        tracing::info!(target: "audit", tenant_id = %tenant, user_id = %admin, installation_id = %kept,
            channel = self.channel.as_str(), "an installation is made");
        Ok(kept)
    }

    /// The person did not agree: the state is used up.
    ///
    /// # Errors
    /// As [`complete`](Self::complete).
    pub async fn cancel(&self, state: &str) -> Result<(), Error> {
        self.take(state).await.map(drop)
    }

    /// Who began, told once.
    async fn take(&self, state: &str) -> Result<(TenantId, UserId), Error> {
        let Some((tenant, nonce)) = parsed(state) else { return Err(unknown_state()) };
        let admin = self.redis.take_install(tenant, self.channel, nonce).await?;
        Ok((tenant, admin.ok_or_else(unknown_state)?))
    }

    /// Keeps it under a fresh id, or under that of the row which the tenant has for this workspace. Never takes back
    /// what the channel granted: the token of an app in a workspace may be one and the same for two tenants, of whom
    /// the first must not lose it.
    async fn keep(
        &self,
        tenant: TenantId,
        admin: UserId,
        fresh: Uuid,
        installed: &Installed,
        at: i64,
    ) -> Result<Uuid, Error> {
        let mut id = fresh;
        // Rows are never deleted, so a second time is enough.
        for _ in 0..2 {
            let config = self.sealed(tenant, id, installed, at).await?;
            let new = NewInstallation {
                id,
                channel: self.channel,
                workspace_id: &installed.workspace,
                config: &config,
                admin,
            };
            match self.db.begin(tenant).await?.install(new).await? {
                Installation::Done => return Ok(id),
                Installation::HasRow(row) => id = row,
                Installation::NotAdmin(membership) => {
                    return Err(manages(membership).err().unwrap_or(Denied::NotAnAdmin).into());
                }
                Installation::Taken => {
                    let text = "This workspace is connected to another account already.";
                    return Err(Error::refused(ErrorCode::Forbidden, text));
                }
            }
        }
        Err(Error::Away("the installation's row keeps changing".to_owned()))
    }

    async fn sealed(
        &self,
        tenant: TenantId,
        row: Uuid,
        installed: &Installed,
        at: i64,
    ) -> Result<Value, Error> {
        let purpose = purpose(self.channel);
        let sealed = self.secrets.seal(&context(tenant, row, &purpose), installed.token.reveal()).await?;
        let details =
            installed.details.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        let mut config: Map<String, Value> = details.collect();
        config.insert(INSTALLED_AT.to_owned(), Value::from(at));
        config.insert(TOKEN.to_owned(), sealed.to_json());
        Ok(Value::Object(config))
    }
}

/// Tenant and nonce of a state that may be one of ours.
fn parsed(state: &str) -> Option<(TenantId, &str)> {
    let (tenant, nonce) = state.split_once('.')?;
    let is_nonce = nonce.len() == 64 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((tenant.parse().ok()?, nonce)).filter(|_| is_nonce)
}

fn unknown_state() -> Error {
    Error::refused(ErrorCode::InvalidMessage, "This link was used already, or is too old.")
}

fn not_granted(error: &InstallError) -> Error {
    match error {
        InstallError::Away => Error::Away(error.to_string()),
        InstallError::Refused(_) => {
            tracing::info!(%error, "an installation is not granted");
            Error::refused(ErrorCode::InvalidMessage, "The channel did not grant the installation.")
        }
        InstallError::Unusable(_) => Error::Bug(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tenant_and_a_nonce_are_a_state() {
        let tenant = "0191e1a2-7b3c-7d4e-8f50-617283940a1b";
        let nonce = "0a".repeat(32);
        assert!(
            parsed(&format!("{tenant}.{nonce}")).is_some_and(|(t, n)| t.to_string() == tenant && n == nonce)
        );
        let bad = [
            String::new(),
            ".".to_owned(),
            nonce.clone(),
            format!("{tenant}.{}", &nonce[1..]),
            format!("{tenant}.{nonce}0"),
            format!("{tenant}:{nonce}"),
            format!("{tenant}.{}*", &nonce[1..]),
            format!("x.{nonce}"),
        ];
        for state in bad {
            assert!(parsed(&state).is_none(), "{state}");
        }
    }
}
