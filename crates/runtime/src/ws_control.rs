//! Routes `ping`, `cancel`, `resume` and `tool_confirm`: what a client says about its connection, the answer under way and
//! the calls that wait.

use std::process::ExitCode;
use std::sync::Arc;

use konstruct_domain::Seq;
use konstruct_protocol::{ClientFrame, ErrorCode, ServerFrame};
use konstruct_service::patience::Patience;
use konstruct_service::sessions::Sessions;
use konstruct_service::wake::Wake;
use konstruct_service::{Connections, Error, confirm, stop};
use lambda_runtime::{LambdaEvent, Runtime, service_fn};

use crate::frames::{self, Sender};
use crate::start::{StartError, start};
use crate::system::{SystemClock, SystemIds};
use crate::websocket::{Answer, WebSocketEvent};
use crate::{parts, telemetry};

struct Control {
    wake: Wake,
    connections: Connections,
}

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let sdk = parts::sdk()?;
    let control = Arc::new(Control {
        wake: Wake {
            db: parts::db(1)?,
            queue: Arc::new(parts::queue(&sdk, "QUEUE_URL")?),
            clock: Arc::new(SystemClock),
        },
        connections: parts::connections(&sdk)?,
    });
    let handler = move |event: LambdaEvent<WebSocketEvent>| {
        let control = Arc::clone(&control);
        async move {
            control.handle(&event.payload).await;
            Ok::<_, lambda_runtime::Error>(Answer::status(200))
        }
    };
    telemetry::run(Runtime::new(service_fn(handler))).await
}

impl Control {
    async fn handle(&self, event: &WebSocketEvent) {
        let Some(taken) = frames::take(&self.connections, event).await else {
            return;
        };
        let done = match taken.frame {
            ClientFrame::Ping => {
                taken.sender.send(&ServerFrame::Pong).await;
                Ok(())
            }
            ClientFrame::Cancel => self.cancel(&taken.sender, taken.patience).await,
            ClientFrame::Resume { after } => self.resume(&taken.sender, Seq(after), taken.patience).await,
            ClientFrame::ToolConfirm { tool_call_id, approve } => {
                self.confirm(&taken.sender, &tool_call_id, approve, taken.patience).await
            }
            ClientFrame::Auth(_) | ClientFrame::Message(_) => {
                Err(Error::refused(ErrorCode::UnknownType, "The frame came by the wrong route."))
            }
        };
        if let Err(error) = done {
            taken.sender.refuse(&error, None).await;
            if matches!(&error, Error::Refused(refusal) if refusal.code == ErrorCode::AuthFailed) {
                taken.sender.close().await;
            }
        }
    }

    async fn cancel(&self, sender: &Sender<'_>, patience: Patience) -> Result<(), Error> {
        let Some(identity) = sender.identity() else {
            return Ok(());
        };
        let (tenant, conversation) = (identity.tenant_id, identity.conversation_id);
        let stopping =
            stop::stop(&self.wake, &self.connections, tenant, identity.user_id, conversation, patience)
                .await?;
        tracing::info!(stopping, "asked to stop");
        Ok(())
    }

    async fn confirm(
        &self,
        sender: &Sender<'_>,
        call_id: &str,
        approve: bool,
        patience: Patience,
    ) -> Result<(), Error> {
        let Some(identity) = sender.identity() else {
            return Ok(());
        };
        let (tenant, conversation) = (identity.tenant_id, identity.conversation_id);
        let yes = confirm::MemberYes { conversation, user: identity.user_id, call_id, approve };
        if confirm::decide_as_member(&self.wake, tenant, yes, patience).await? {
            return Ok(());
        }
        Err(Error::not_found("call that waits for a yes"))
    }

    async fn resume(&self, sender: &Sender<'_>, after: Seq, patience: Patience) -> Result<(), Error> {
        let (Some(connection), Some(identity)) = (&sender.connection, sender.identity()) else {
            return Ok(());
        };
        let (db, connections) = (self.wake.db.clone(), self.connections.clone());
        let sessions = Sessions { db, connections, ids: &SystemIds, patience };
        sessions.resume(sender.id, connection, identity, after).await
    }
}
