//! `$default`: frames of no known type. It only refuses.

use std::process::ExitCode;
use std::sync::Arc;

use konstruct_protocol::{ErrorCode, ServerFrame};
use lambda_runtime::{LambdaEvent, Runtime, service_fn};

use crate::start::{StartError, start};
use crate::websocket::{Answer, WebSocketEvent};
use crate::{frames, parts, telemetry};

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let connections = Arc::new(parts::connections(&parts::sdk()?)?);
    let handler = move |event: LambdaEvent<WebSocketEvent>| {
        let connections = Arc::clone(&connections);
        async move {
            // A frame that parses has a route of its own and is misplaced here: a type that is not built yet.
            if let Some(taken) = frames::take(&connections, &event.payload).await {
                let text = "The frame has a type that is not known.";
                taken.sender.send(&ServerFrame::error(ErrorCode::UnknownType, text)).await;
            }
            Ok::<_, lambda_runtime::Error>(Answer::status(200))
        }
    };
    telemetry::run(Runtime::new(service_fn(handler))).await
}
