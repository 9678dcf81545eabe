//! What is known of each socket: `connection:{id}`. Whether it gets frames is the live set's business.

use konstruct_domain::{ConversationId, SessionId, TenantId, UserId};
use konstruct_protocol::{Dialect, Viewer};
use serde::{Deserialize, Serialize};

use crate::client::Redis;
use crate::error::RedisError;
use crate::key::Key;

/// A connection lives for 2 hours at most (API Gateway); its record a little longer.
const TTL_SECONDS: u64 = 2 * 3600 + 600;

/// A connection, as `$connect` and `auth` have written it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Milliseconds since 1970.
    pub connected_at_ms: i64,
    /// Of the handshake.
    pub dialect: Dialect,
    /// The `conversation_id` of the query.
    pub query_conversation: Option<ConversationId>,
    /// The `session_id` of the query.
    pub query_session: Option<SessionId>,
    /// Who it is, once it is authenticated.
    pub identity: Option<Identity>,
}

/// Who a connection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user.
    pub user_id: UserId,
    /// The conversation it serves.
    pub conversation_id: ConversationId,
    /// The token's `exp`, seconds since 1970; leeway comes on top.
    pub expires_at: i64,
    /// Whether a portal asked for telemetry.
    pub telemetry: bool,
    /// Whether it has resumed: once per connection.
    pub resumed: bool,
}

impl Connection {
    /// How the connection sees its conversation; `None` before it is authenticated.
    #[must_use]
    pub fn viewer(&self) -> Option<Viewer> {
        self.identity.as_ref().map(|identity| Viewer {
            dialect: self.dialect,
            telemetry: identity.telemetry,
            conversation_id: identity.conversation_id,
            session_id: self.query_session.clone(),
        })
    }
}

impl Redis {
    /// Writes a connection that just opened.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn put_connection(
        &self,
        connection_id: &str,
        connection: &Connection,
    ) -> Result<(), RedisError> {
        let mut set = redis::pipe();
        set.cmd("SET").arg(Key::connection(connection_id)).arg(json(connection)).arg("EX").arg(TTL_SECONDS);
        self.pipeline::<((),)>(&set).await.map(|_| ())
    }

    /// Changes a connection that is still there; `false`: it is gone.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn update_connection(
        &self,
        connection_id: &str,
        connection: &Connection,
    ) -> Result<bool, RedisError> {
        let mut set = redis::pipe();
        set.cmd("SET").arg(Key::connection(connection_id)).arg(json(connection)).arg("XX").arg("KEEPTTL");
        let (done,): (Option<String>,) = self.pipeline(&set).await?;
        Ok(done.is_some())
    }

    /// A connection; `None`: Redis does not know it.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn connection(&self, connection_id: &str) -> Result<Option<Connection>, RedisError> {
        let mut get = redis::pipe();
        get.cmd("GET").arg(Key::connection(connection_id));
        let (json,): (Option<String>,) = self.pipeline(&get).await?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// Forgets a connection; what it was.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn take_connection(&self, connection_id: &str) -> Result<Option<Connection>, RedisError> {
        let key = Key::connection(connection_id);
        let mut take = redis::pipe();
        take.cmd("GET").arg(&key).cmd("DEL").arg(&key).ignore();
        let (json,): (Option<String>,) = self.pipeline(&take).await?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// The ids of some connections of all tenants, and the cursor of the next page (0: no more).
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn scan_connections(
        &self,
        cursor: u64,
    ) -> Result<(u64, Vec<(String, Connection)>), RedisError> {
        let mut scan = redis::pipe();
        scan.cmd("SCAN").arg(cursor).arg("MATCH").arg("connection:*").arg("COUNT").arg(1000);
        let ((next, keys),): ((u64, Vec<String>),) = self.pipeline(&scan).await?;
        if keys.is_empty() {
            return Ok((next, Vec::new()));
        }
        let mut get = redis::pipe();
        get.cmd("MGET").arg(&keys);
        let (values,): (Vec<Option<String>>,) = self.pipeline(&get).await?;
        let found = keys.iter().zip(values).filter_map(|(key, json)| {
            let id = decode(key.strip_prefix("connection:")?)?;
            Some((id, serde_json::from_str(&json?).ok()?))
        });
        Ok((next, found.collect()))
    }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Undoes the key's percent-encoding.
fn decode(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_id_is_read_back_from_its_key() {
        let key = Key::connection("TXz+/P_-=");
        assert_eq!(
            decode(key.as_str().strip_prefix("connection:").expect("prefix")),
            Some("TXz+/P_-=".to_owned())
        );
        assert_eq!(decode("%4"), None);
    }
}
