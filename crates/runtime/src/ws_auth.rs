//! Route `auth`: first-message authentication (CHAT-06). The identity is the token's, never what the client claims.

use std::process::ExitCode;
use std::sync::Arc;

use konstruct_ports::Clock as _;
use konstruct_postgres::TenantPool;
use konstruct_protocol::{Auth, ClientFrame, ErrorCode};
use konstruct_redis::connections::Connection;
use konstruct_service::patience::Patience;
use konstruct_service::sessions::Sessions;
use konstruct_service::{Connections, Error};
use lambda_runtime::{LambdaEvent, Runtime, service_fn};

use crate::auth::{AuthError, Verifier};
use crate::frames::{self, Sender};
use crate::start::{StartError, start};
use crate::system::{SystemClock, SystemIds};
use crate::websocket::{Answer, WebSocketEvent};
use crate::{parts, telemetry};

struct Authenticate {
    db: TenantPool,
    connections: Connections,
    verifier: Verifier,
}

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let authenticate = Arc::new(Authenticate {
        db: parts::db(1)?,
        connections: parts::connections(&parts::sdk()?)?,
        verifier: parts::verifier()?,
    });
    parts::warm(None, Some(&authenticate.db));
    let handler = move |event: LambdaEvent<WebSocketEvent>| {
        let authenticate = Arc::clone(&authenticate);
        async move {
            authenticate.handle(&event.payload).await;
            Ok::<_, lambda_runtime::Error>(Answer::status(200))
        }
    };
    telemetry::run(Runtime::new(service_fn(handler))).await
}

impl Authenticate {
    async fn handle(&self, event: &WebSocketEvent) {
        let Some(taken) = frames::take(&self.connections, event).await else {
            return;
        };
        let (sender, patience) = (taken.sender, taken.patience);
        let ClientFrame::Auth(auth) = taken.frame else {
            return;
        };
        let Some(connection) = sender.connection.clone() else {
            // `$connect` has written it before the client could send: Redis lost it meanwhile.
            return sender.close().await;
        };
        if let Err(error) = self.authenticate(&sender, connection, &auth, patience).await {
            sender.refuse(&error, None).await;
            let first = sender.identity().is_none();
            if first && closes(&error) {
                sender.close().await;
            }
        }
    }

    async fn authenticate(
        &self,
        sender: &Sender<'_>,
        connection: Connection,
        auth: &Auth,
        patience: Patience,
    ) -> Result<(), Error> {
        let now = SystemClock.now().unix_timestamp();
        let caller = self.verifier.verify(&auth.token, now).await.map_err(|error| refused(&error))?;
        let (db, connections) = (self.db.clone(), self.connections.clone());
        let sessions = Sessions { db, connections, ids: &SystemIds, patience };
        sessions.authenticate(sender.id, connection, &caller, auth).await
    }
}

/// A token that is not taken, as a refusal.
pub(crate) fn refused(error: &AuthError) -> Error {
    match error {
        AuthError::Refused(_) => Error::refused(ErrorCode::AuthFailed, error.to_string()),
        AuthError::KeysAway | AuthError::WeakSecret => Error::Away(error.to_string()),
    }
}

/// Whether a failed first `auth` closes the connection: not where we failed.
fn closes(error: &Error) -> bool {
    matches!(error, Error::Refused(refusal)
        if matches!(refusal.code, ErrorCode::AuthFailed | ErrorCode::Forbidden | ErrorCode::NotFound))
}
