//! The `state` of an installation under way: who began it, known for ten minutes and told once. It decides nothing;
//! whether that person may install is asked again.

use konstruct_domain::{Channel, TenantId, UserId};

use crate::client::Redis;
use crate::error::RedisError;
use crate::key::Key;

/// A person has so long to agree, as long as the channel's own code is good for.
const TTL_SECONDS: u64 = 600;

impl Redis {
    /// Notes who began an installation.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn begin_install(
        &self,
        tenant: TenantId,
        channel: Channel,
        nonce: &str,
        admin: UserId,
    ) -> Result<(), RedisError> {
        let mut set = redis::pipe();
        set.cmd("SET")
            .arg(Key::install(tenant, channel, nonce))
            .arg(admin.to_string())
            .arg("EX")
            .arg(TTL_SECONDS);
        self.pipeline::<((),)>(&set).await.map(|_| ())
    }

    /// Who began it, told once. Asked again on a new connection it may be gone though nobody was told: then the
    /// person begins anew.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn take_install(
        &self,
        tenant: TenantId,
        channel: Channel,
        nonce: &str,
    ) -> Result<Option<UserId>, RedisError> {
        let mut take = redis::pipe();
        take.cmd("GETDEL").arg(Key::install(tenant, channel, nonce));
        let (admin,): (Option<String>,) = self.pipeline(&take).await?;
        Ok(admin.and_then(|admin| admin.parse().ok()))
    }
}
