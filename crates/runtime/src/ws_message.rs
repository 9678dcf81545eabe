//! Route `message`: a person's message is accepted, then acknowledged. It answers nothing itself.

use std::process::ExitCode;
use std::sync::Arc;

use konstruct_ports::{Clock as _, Ids as _};
use konstruct_protocol::{ClientFrame, ClientMessage, ErrorCode, ServerFrame, TraceParent, Viewer};
use konstruct_redis::connections::{Connection, Identity};
use konstruct_service::connections::Writer;
use konstruct_service::inbound::{Author, Inbound, Normalised};
use konstruct_service::{Error, Refusal};
use lambda_runtime::{LambdaEvent, Runtime, service_fn};

use crate::frames::{self, Sender};
use crate::start::{StartError, start};
use crate::system::{SystemClock, SystemIds};
use crate::websocket::{Answer, WebSocketEvent};
use crate::{parts, telemetry};

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let sdk = parts::sdk()?;
    let inbound = Arc::new(Inbound {
        db: parts::db(1)?,
        connections: parts::connections(&sdk)?,
        queue: Arc::new(parts::queue(&sdk, "QUEUE_URL")?),
        clock: Arc::new(SystemClock),
        patience: konstruct_service::patience::WEBSOCKET,
    });
    parts::warm(None, Some(&inbound.db));
    let handler = move |event: LambdaEvent<WebSocketEvent>| {
        let inbound = Arc::clone(&inbound);
        async move {
            handle(&inbound, &event.payload, telemetry::place(&event.context)).await;
            Ok::<_, lambda_runtime::Error>(Answer::status(200))
        }
    };
    telemetry::run(Runtime::new(service_fn(handler))).await
}

async fn handle(inbound: &Inbound, event: &WebSocketEvent, trace: TraceParent) {
    let Some(taken) = frames::take(&inbound.connections, event).await else {
        return;
    };
    // What finding the sender took is not left for the rest.
    let inbound = &Inbound { patience: taken.patience.left(), ..inbound.clone() };
    let (sender, ClientFrame::Message(message)) = (taken.sender, taken.frame) else {
        return;
    };
    let Some(identity) = sender.identity() else { return };
    let client_id = message.id;
    match accept(inbound, &sender, identity, message, trace).await {
        Ok(duplicate) => {
            // Only who chose an id can tell which message is meant.
            if let Some(id) = client_id {
                sender.send(&ServerFrame::Ack { id, duplicate }).await;
            }
        }
        Err(error) => {
            sender.refuse(&error, client_id).await;
            if matches!(&error, Error::Refused(refusal) if refusal.code == ErrorCode::AuthFailed) {
                sender.close().await;
            }
        }
    }
}

/// Accepts the message; whether it had been before.
async fn accept(
    inbound: &Inbound,
    sender: &Sender<'_>,
    identity: &Identity,
    message: ClientMessage,
    trace: TraceParent,
) -> Result<bool, Error> {
    let viewer = sender.connection.as_ref().and_then(Connection::viewer);
    let own_session = viewer.as_ref().map(Viewer::session_name);
    let writer = viewer.map(|viewer| Writer { connection_id: sender.id.to_owned(), viewer });
    let foreign = |field: &'static str| {
        let text = format!("The field {field} names another conversation than the connection's.");
        Error::Refused(Refusal { field: Some(field), ..Refusal::new(ErrorCode::InvalidMessage, text) })
    };
    if message.conversation_id.is_some_and(|id| id != identity.conversation_id) {
        return Err(foreign("conversation_id"));
    }
    if message.session_id.as_ref().is_some_and(|id| Some(id.as_str()) != own_session.as_deref()) {
        return Err(foreign("session_id"));
    }
    let id = message.id.unwrap_or(konstruct_domain::MessageId(SystemIds.new_id()));
    let at = SystemClock.now();
    let normalised = konstruct_channels::web::normalise(
        id,
        identity.tenant_id,
        identity.user_id,
        identity.conversation_id,
        message.content,
        at,
    );
    let author = Author::Member(identity.user_id, writer);
    let received = Normalised { message: normalised, author, trace };
    Ok(inbound.accept(received).await?.duplicate)
}
