//! The channels whose answers go into threads elsewhere, and the installations they go through. It posts nothing.

use std::sync::Arc;

use konstruct_domain::{Channel, TenantId};
use konstruct_ports::{Addressee, ChannelToken};
use konstruct_postgres::TenantPool;
use konstruct_postgres::turns::TurnRow;
use konstruct_secrets::Secrets;
use serde_json::Value;
use uuid::Uuid;

use crate::error::Error;
use crate::installations;

/// The key of `channel_metadata` that names the installation, on every channel the same.
pub const WORKSPACE: &str = "workspace_id";

/// A channel's outgoing side.
pub type Adapter = Arc<dyn konstruct_ports::Channel>;

/// The channels that this process can post to.
#[derive(Clone)]
pub struct Outgoing {
    /// Each with its adapter.
    pub adapters: Vec<(Channel, Adapter)>,
    /// Opens installations' tokens.
    pub secrets: Secrets,
}

/// An installation, ready to be posted through.
#[derive(Clone)]
pub struct Installed {
    /// Its row.
    pub id: Uuid,
    /// The channel.
    pub channel: Adapter,
    /// Its token.
    pub token: ChannelToken,
    /// Whether the channel is believed to have streaming there.
    pub streams: bool,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outgoing")
    }
}

impl Outgoing {
    /// The tenant's installation of a channel; `None`: it was removed.
    ///
    /// # Errors
    /// Postgres or the keys are away; `Bug` where its token does not open.
    pub async fn installation(
        &self,
        db: &TenantPool,
        tenant: TenantId,
        channel: Channel,
        workspace: &str,
    ) -> Result<Option<Installed>, Error> {
        let Some((_, adapter)) = self.adapters.iter().find(|(name, _)| *name == channel) else {
            return Ok(None);
        };
        let row = db.begin(tenant).await?.installation_config(channel, workspace).await?;
        let Some((id, config)) = row else { return Ok(None) };
        // One that does not open is no reason to drop anybody's message: somebody has to set the keys right.
        let token = installations::token(&self.secrets, tenant, channel, id, &config).await?;
        let streams = config.get("streams") != Some(&Value::Bool(false));
        Ok(Some(Installed { id, channel: Arc::clone(adapter), token, streams }))
    }

    /// The installation that a turn's answer goes through, and whom it goes to.
    ///
    /// # Errors
    /// Postgres or the keys are away.
    pub(crate) async fn of_turn(
        &self,
        db: &TenantPool,
        tenant: TenantId,
        turn: &TurnRow,
    ) -> Result<Option<(Installed, Addressee)>, Error> {
        let Some(workspace) = turn.channel_metadata.get(WORKSPACE) else { return Ok(None) };
        let installed = self.installation(db, tenant, turn.channel, workspace).await?;
        Ok(installed.map(|installed| {
            let addressee = Addressee {
                metadata: turn.channel_metadata.clone(),
                token: installed.token.clone(),
                message_id: turn.id.0,
            };
            (installed, addressee)
        }))
    }

    /// Remembers that an installation has no streaming, for good. Failing costs the next answer one call.
    pub(crate) async fn lost_streaming(&self, db: &TenantPool, tenant: TenantId, installation: Uuid) {
        let note = async { db.begin(tenant).await?.lost_streaming(installation).await };
        if let Err(error) = note.await {
            tracing::warn!(%error, "that there is no streaming could not be remembered");
        }
    }
}
