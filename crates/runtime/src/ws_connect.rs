//! `$connect`: Origin, subprotocol and query are checked, the connection is written down, and its deadline queued.
//! Nobody is authenticated here, and nothing can be posted yet.

use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use konstruct_aws::SqsQueue;
use konstruct_domain::{ConversationId, SessionId};
use konstruct_protocol::Dialect;
use konstruct_redis::Redis;
use konstruct_redis::connections::Connection;
use konstruct_service::Error;
use konstruct_service::patience::Patience;
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use serde_json::json;

use konstruct_ports::Clock as _;

use crate::start::{StartError, start};
use crate::system::SystemClock;
use crate::websocket::{Answer, WebSocketEvent};
use crate::{config, parts, telemetry};

/// A connection must authenticate within so many seconds.
const AUTH_DEADLINE_SECONDS: i32 = 10;

struct Connect {
    redis: Redis,
    deadlines: SqsQueue,
    origins: Vec<String>,
}

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let sdk = parts::sdk()?;
    let origins = config::required("ALLOWED_ORIGINS")?;
    let connect = Arc::new(Connect {
        redis: parts::redis()?,
        deadlines: parts::queue(&sdk, "DEADLINE_QUEUE_URL")?,
        origins: origins.split(',').map(|origin| origin.trim().to_owned()).collect(),
    });
    parts::warm(Some(&connect.redis), None);
    let handler = move |event: LambdaEvent<WebSocketEvent>| {
        let connect = Arc::clone(&connect);
        async move { Ok::<_, lambda_runtime::Error>(connect.handle(&event.payload).await) }
    };
    telemetry::run(Runtime::new(service_fn(handler))).await
}

impl Connect {
    async fn handle(&self, event: &WebSocketEvent) -> Answer {
        if event.request_context.event_type != "CONNECT" {
            return Answer::status(400);
        }
        telemetry::about_connection(&event.request_context.connection_id);
        let (connection, echo) = match self.check(event) {
            Ok(checked) => checked,
            Err(status) => {
                tracing::info!(status, "a connection was refused");
                return Answer::status(status);
            }
        };
        if let Err(error) = self.write(&event.request_context.connection_id, &connection).await {
            tracing::error!(%error, "a connection could not be written down");
            return Answer::status(503);
        }
        tracing::info!(dialect = connection.dialect.subprotocol(), "connection opened");
        let headers = echo.map(|name| ("Sec-WebSocket-Protocol", name.to_owned())).into_iter().collect();
        Answer { status_code: 200, headers }
    }

    /// The connection, and the subprotocol to echo; else the status of the refusal.
    fn check(&self, event: &WebSocketEvent) -> Result<(Connection, Option<&'static str>), u16> {
        // Browsers always send an Origin; clients that send none pass.
        if event.header("origin").is_some_and(|origin| !self.origins.iter().any(|known| known == origin)) {
            return Err(403);
        }
        let chosen = match event.header("sec-websocket-protocol") {
            Some(offered) => Some(Dialect::from_subprotocols(offered).ok_or(403_u16)?),
            None => None,
        };
        let query_conversation: Option<ConversationId> = parameter(event, "conversation_id")?;
        let query_session: Option<SessionId> = parameter(event, "session_id")?;
        if query_conversation.is_some() && query_session.is_some() {
            return Err(400);
        }
        let by_query = if query_session.is_some() { Dialect::Session } else { Dialect::Portal };
        let connection = Connection {
            connected_at_ms: event.request_context.connected_at.unwrap_or_else(now_ms),
            dialect: chosen.unwrap_or(by_query),
            query_conversation,
            query_session,
            identity: None,
        };
        Ok((connection, chosen.map(Dialect::subprotocol)))
    }

    async fn write(&self, connection_id: &str, connection: &Connection) -> Result<(), Error> {
        let patience = Patience::of(konstruct_service::patience::WEBSOCKET);
        patience.retry(|| self.redis.put_connection(connection_id, connection)).await?;
        let body = json!({ "v": 1, "connection_id": connection_id }).to_string();
        patience.retry(|| self.deadlines.send_delayed(&body, AUTH_DEADLINE_SECONDS)).await
    }
}

fn now_ms() -> i64 {
    i64::try_from(SystemClock.now().unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

fn parameter<T: FromStr>(event: &WebSocketEvent, name: &str) -> Result<Option<T>, u16> {
    match event.query(name).as_slice() {
        [] => Ok(None),
        [one] => one.parse().map(Some).map_err(|_| 400),
        _ => Err(400),
    }
}
