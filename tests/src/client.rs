//! A client as people have one: it connects, authenticates, and comes back with the last `seq` it saw. It believes
//! nothing but the frames that reached it.

use konstruct_domain::{ConversationId, Principal};
use konstruct_protocol::{Auth, Dialect};
use konstruct_redis::connections::Connection;
use konstruct_service::Error;
use konstruct_service::patience::{Patience, WEBSOCKET};
use konstruct_service::sessions::Sessions;
use serde_json::Value;

use crate::app::{NOW, TestApp};
use crate::builders::id;

/// A client of one conversation.
#[derive(Debug, Clone)]
pub struct TestClient {
    pub dialect: Dialect,
    pub telemetry: bool,
    pub caller: Principal,
    pub conversation: ConversationId,
    /// Its connections so far; the last is the one it has.
    pub connections: Vec<String>,
}

impl TestClient {
    #[must_use]
    pub fn new(dialect: Dialect, caller: Principal, conversation: ConversationId) -> Self {
        Self { dialect, telemetry: false, caller, conversation, connections: Vec::new() }
    }

    /// A client that is connected.
    pub async fn connected(app: &TestApp, dialect: Dialect, caller: Principal, to: ConversationId) -> Self {
        let mut client = Self::new(dialect, caller, to);
        client.connect(app).await.unwrap();
        client
    }

    /// The connection it has.
    #[must_use]
    pub fn connection(&self) -> &str {
        self.connections.last().expect("a connection")
    }

    /// Opens a connection and authenticates; one that was connected before resumes.
    pub async fn connect(&mut self, app: &TestApp) -> Result<(), Error> {
        let last_seq = (!self.connections.is_empty()).then(|| self.last_seq(app));
        let connection_id = format!("{}=", id().simple());
        self.connections.push(connection_id.clone());
        let connection = Connection {
            connected_at_ms: i64::try_from(NOW.unix_timestamp_nanos() / 1_000_000).unwrap(),
            dialect: self.dialect,
            query_conversation: Some(self.conversation),
            query_session: None,
            identity: None,
        };
        app.connections().connect(&connection_id, &connection).await?;
        let auth = Auth {
            token: "verified elsewhere".to_owned(),
            tenant_id: None,
            agent_id: None,
            conversation_id: None,
            last_seq,
            telemetry: self.telemetry,
            user_id: None,
            role: None,
        };
        let sessions = Sessions {
            db: app.db.clone(),
            connections: app.connections(),
            ids: app.world.ids.as_ref(),
            patience: Patience::of(WEBSOCKET),
        };
        sessions.authenticate(&connection_id, connection, &self.caller, &auth).await
    }

    /// Every frame that reached it, over all its connections.
    #[must_use]
    pub fn frames(&self, app: &TestApp) -> Vec<Value> {
        self.connections.iter().flat_map(|connection| app.gateway().frames(connection)).collect()
    }

    /// The numbered frames among them.
    #[must_use]
    pub fn numbered(&self, app: &TestApp) -> Vec<Value> {
        self.frames(app).into_iter().filter(|frame| frame.get("seq").is_some()).collect()
    }

    /// The numbered frames, and where it was told that some are gone.
    #[must_use]
    pub fn told(&self, app: &TestApp) -> Vec<Value> {
        let told = |frame: &Value| frame.get("seq").is_some() || frame["code"] == "replay_gap";
        self.frames(app).into_iter().filter(told).collect()
    }

    /// The last `seq` it saw: in a frame, in its first `connection`, or in one that told it of a gap.
    #[must_use]
    pub fn last_seq(&self, app: &TestApp) -> i64 {
        let (mut last, mut offered) = (None, 0);
        for frame in self.frames(app) {
            if let Some(seq) = frame.get("seq").and_then(Value::as_i64) {
                last = last.max(Some(seq));
            } else if let Some(seq) = frame.get("last_seq").and_then(Value::as_i64) {
                offered = seq;
                last = last.or(Some(seq));
            } else if frame["code"] == "replay_gap" {
                last = last.max(Some(offered));
            }
        }
        last.unwrap_or(0)
    }

    /// Whether the server closed the connection it has.
    #[must_use]
    pub fn was_closed(&self, app: &TestApp) -> bool {
        app.gateway().closed().iter().any(|closed| closed == self.connection())
    }
}
