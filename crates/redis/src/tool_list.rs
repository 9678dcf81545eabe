//! What a tenant's server of tools offers, for a few minutes, so that not every turn asks it. A cache: what is not here is
//! asked for.

use konstruct_domain::TenantId;
use serde_json::Value;
use uuid::Uuid;

use crate::client::Redis;
use crate::error::RedisError;
use crate::key::Key;

/// A list is good for so long, seconds.
const TTL_SECONDS: u64 = 300;
/// That a server did not answer is remembered for so long: each turn would wait for it again.
const AWAY_SECONDS: u64 = 20;

impl Redis {
    /// The lists of servers, JSON, in their order; `Null`: it did not answer a moment ago; `None`: not known.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn tool_lists(
        &self,
        tenant: TenantId,
        servers: &[Uuid],
    ) -> Result<Vec<Option<Value>>, RedisError> {
        if servers.is_empty() {
            return Ok(Vec::new());
        }
        let mut get = redis::pipe();
        get.cmd("MGET");
        for server in servers {
            get.arg(Key::tool_list(tenant, *server));
        }
        let (lists,): (Vec<Option<String>>,) = self.pipeline(&get).await?;
        Ok(lists.into_iter().map(|list| list.and_then(|json| serde_json::from_str(&json).ok())).collect())
    }

    /// Keeps a server's list; `Null`: it did not answer.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn keep_tool_list(
        &self,
        tenant: TenantId,
        server: Uuid,
        list: &Value,
    ) -> Result<(), RedisError> {
        let seconds = if list.is_null() { AWAY_SECONDS } else { TTL_SECONDS };
        let mut set = redis::pipe();
        set.cmd("SET")
            .arg(Key::tool_list(tenant, server))
            .arg(list.to_string())
            .arg("EX")
            .arg(seconds)
            .ignore();
        self.pipeline::<()>(&set).await
    }
}
