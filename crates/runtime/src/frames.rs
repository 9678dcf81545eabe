//! What the functions of frame routes share: who sent the frame, whether he may, and telling him why not. Every
//! answer is posted: routes are one-way.

use konstruct_domain::MessageId;
use konstruct_ports::Clock as _;
use konstruct_protocol::{ClientFrame, ErrorCode, ServerFrame};
use konstruct_redis::connections::{Connection, Identity};
use konstruct_service::patience::{Patience, WEBSOCKET};
use konstruct_service::{Connections, Error};

use crate::auth::LEEWAY_SECONDS;
use crate::respond;
use crate::system::SystemClock;
use crate::telemetry;
use crate::websocket::WebSocketEvent;

/// A connection that Redis does not know may be this old before it counts as lost, milliseconds.
const UNKNOWN_FOR_MS: i64 = 10_000;

/// The sender of a frame.
pub(crate) struct Sender<'a> {
    pub(crate) connections: &'a Connections,
    pub(crate) id: &'a str,
    /// `None`: Redis does not know it (yet).
    pub(crate) connection: Option<Connection>,
}

/// A frame with its sender; frames that are none, or that nobody may send, are answered already.
pub(crate) struct Taken<'a> {
    pub(crate) sender: Sender<'a>,
    pub(crate) frame: ClientFrame,
    /// Until when to try, counted from the frame's arrival: API Gateway waits for 29 s in all.
    pub(crate) patience: Patience,
}

/// Takes a frame in: parses it, finds its sender, and refuses what is no frame or comes too early or too late.
pub(crate) async fn take<'a>(connections: &'a Connections, event: &'a WebSocketEvent) -> Option<Taken<'a>> {
    let id = event.request_context.connection_id.as_str();
    telemetry::about_connection(id);
    let patience = Patience::of(WEBSOCKET);
    let found = patience.retry(|| connections.find(id)).await;
    let connection = match found {
        Ok(connection) => connection,
        Err(error) => {
            let sender = Sender { connections, id, connection: None };
            sender.refuse(&error, None).await;
            return None;
        }
    };
    let now = SystemClock.now();
    let now_ms = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
    let age_ms = event.request_context.connected_at.map_or(0, |at| now_ms - at);
    if connection.is_none() && age_ms > UNKNOWN_FOR_MS {
        tracing::info!("a connection that is not known was closed");
        let _ = connections.close(id).await;
        return None;
    }
    let sender = Sender { connections, id, connection };
    if let Some(identity) = sender.identity() {
        telemetry::about(Some(identity.tenant_id), Some(identity.conversation_id));
    }
    let parsed = ClientFrame::parse(&event.text());
    match parsed {
        Err(error) if matches!(error.code, ErrorCode::InvalidJson | ErrorCode::UnknownType) => {
            sender.send(&ServerFrame::error(error.code, error.text)).await;
            None
        }
        // `ping` passes, always; `auth` is what makes the others pass.
        Ok(frame @ (ClientFrame::Ping | ClientFrame::Auth(_))) => Some(Taken { sender, frame, patience }),
        other => {
            let refused_id = match &other {
                Ok(ClientFrame::Message(message)) => message.id,
                Err(error) => error.id,
                Ok(_) => None,
            };
            if !is_auth(event) && !sender.may_send(now.unix_timestamp(), refused_id).await {
                return None;
            }
            match other {
                Ok(frame) => Some(Taken { sender, frame, patience }),
                Err(error) => {
                    let frame = ServerFrame::Error {
                        code: error.code,
                        error: error.text,
                        id: error.id,
                        retry_after: None,
                        seq: None,
                    };
                    sender.send(&frame).await;
                    None
                }
            }
        }
    }
}

/// Whether a frame that could not be parsed was meant to authenticate.
fn is_auth(event: &WebSocketEvent) -> bool {
    let text = event.text();
    konstruct_protocol::Fields::parse(&text)
        .ok()
        .and_then(|fields| fields.required::<String>("type", "a string").ok())
        .is_some_and(|kind| kind == "auth")
}

impl Sender<'_> {
    /// Who it is, once it is authenticated.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.connection.as_ref()?.identity.as_ref()
    }

    /// Sends a frame back.
    pub(crate) async fn send(&self, frame: &ServerFrame) -> bool {
        if let ServerFrame::Error { code, .. } = frame {
            telemetry::refused(*code);
        }
        let viewer = self.connection.as_ref().and_then(Connection::viewer);
        self.connections.send(self.id, viewer.as_ref(), frame).await
    }

    /// Says why not.
    pub(crate) async fn refuse(&self, error: &Error, id: Option<MessageId>) {
        self.send(&respond::frame(error, id)).await;
    }

    /// Whether it is authenticated and its token still good; else it is told.
    async fn may_send(&self, now: i64, id: Option<MessageId>) -> bool {
        let leeway = i64::try_from(LEEWAY_SECONDS).unwrap_or(60);
        let error = match self.identity() {
            None => Error::refused(ErrorCode::Unauthenticated, "The first frame must be auth."),
            Some(identity) if identity.expires_at + leeway < now => {
                Error::refused(ErrorCode::TokenExpired, "The token has expired: renew it with auth.")
            }
            Some(_) => return true,
        };
        self.refuse(&error, id).await;
        false
    }

    /// Closes the connection.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.connections.close(self.id).await {
            tracing::warn!(%error, "a closed connection could not be forgotten");
        }
    }
}
