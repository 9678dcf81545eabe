//! `$connect`: that it came through the distribution, Origin, subprotocol and query are checked, the connection is written down, and its deadline queued.
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

use crate::origin::{self, Origin};
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
    origin: Origin,
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
        origin: Origin::of_environment()?,
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
        if !self.origin.allows(event.header(origin::HEADER).map(str::as_bytes)) {
            return Answer::status(403);
        }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn connect(secrets: Option<&str>) -> Connect {
        let credentials = konstruct_aws::AwsCredentials {
            access_key_id: "key".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
        };
        let region = "eu-central-1".to_owned();
        let sdk = konstruct_aws::Sdk::new(konstruct_aws::SdkConfig {
            region,
            credentials,
            roots: Default::default(),
        });
        Connect {
            // Nobody listens there: an event that comes so far is answered 503.
            redis: Redis::new("redis://127.0.0.1:1/").unwrap(),
            deadlines: SqsQueue::new(&sdk, "http://127.0.0.1:1/queue", Some("http://127.0.0.1:1")),
            origins: vec!["https://chat.example.com".to_owned()],
            origin: Origin::of(secrets).unwrap(),
        }
    }

    fn event(event_type: &str, headers: &Value) -> WebSocketEvent {
        let context = json!({ "eventType": event_type, "connectionId": "c" });
        // Both ids: what passes is a bad request.
        let query = json!({ "conversation_id": "01a1f813-a740-7518-abe0-c1337931db9d", "session_id": "s" });
        let event = json!({ "requestContext": context, "headers": headers, "queryStringParameters": query });
        serde_json::from_value(event).unwrap()
    }

    #[tokio::test]
    async fn a_connection_that_did_not_come_through_the_distribution_is_refused_first_of_all() {
        let connect = connect(Some("old,new"));
        for (event_type, headers, status) in [
            ("CONNECT", json!({}), 403),
            ("MESSAGE", json!({}), 403),
            ("CONNECT", json!({ "x-konstruct-origin": "other" }), 403),
            ("CONNECT", json!({ "X-Konstruct-Origin": "new" }), 400),
            ("CONNECT", json!({ "x-konstruct-origin": "old" }), 400),
            ("CONNECT", json!({ "x-konstruct-origin": "old", "origin": "https://elsewhere.example" }), 403),
        ] {
            let answer = connect.handle(&event(event_type, &headers)).await;
            assert_eq!(answer.status_code, status, "{event_type} {headers}");
        }
    }

    #[tokio::test]
    async fn without_secrets_connections_come_directly() {
        assert_eq!(connect(None).handle(&event("CONNECT", &json!({}))).await.status_code, 400);
    }
}
