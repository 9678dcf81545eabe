//! The queue's worker: one record, one task. A body that is no task is made visible again at once, so that it is in
//! the dead-letter queue soon and holds up its group no longer.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use konstruct_ports::Clock as _;
use konstruct_protocol::Task;
use konstruct_service::turn::{Agent, Disposition, Record, TurnLimits};
use lambda_runtime::{Context, LambdaEvent, service_fn};
use tokio::time::Instant;

use crate::batch::BatchResponse;
use crate::start::{StartError, start};
use crate::system::{SystemClock, SystemIds};
use crate::{config, parts};

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let sdk = parts::sdk()?;
    let (default_provider, default_model) = parts::default_model()?;
    let mut limits = TurnLimits { default_model, default_provider, ..TurnLimits::default() };
    if let Some(lease_ms) = config::number("TURN_LEASE_MS")? {
        limits.lease = Duration::from_millis(lease_ms);
    }
    let agent = Arc::new(Agent {
        // One for the turn, one for renewing its lease.
        db: parts::db(2)?,
        connections: parts::connections(&sdk)?,
        queue: Arc::new(parts::queue(&sdk, "QUEUE_URL")?),
        model: parts::models(&sdk)?,
        tools: Arc::new(parts::tools()?),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
        outgoing: parts::outgoing()?,
        limits,
    });
    parts::warm(None, Some(&agent.db));
    let handler = move |event: LambdaEvent<SqsEvent>| {
        let agent = Arc::clone(&agent);
        async move { Ok::<_, lambda_runtime::Error>(handle(&agent, event.payload, &event.context).await) }
    };
    Ok(lambda_runtime::run(service_fn(handler)).await?)
}

async fn handle(agent: &Agent, event: SqsEvent, context: &Context) -> BatchResponse {
    let now = SystemClock.now();
    let left_ms = i128::from(context.deadline) - now.unix_timestamp_nanos() / 1_000_000;
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
    let mut response = BatchResponse::default();
    let mut failed = false;
    for record in event.records {
        let id = record.message_id.clone().unwrap_or_default();
        // FIFO: behind a record that comes back, the rest of the batch comes back too.
        failed = failed || !work(agent, record, deadline).await;
        if failed {
            response.fail(id);
        }
    }
    response
}

/// Works one record; `false`: it comes back.
async fn work(agent: &Agent, record: SqsMessage, deadline: Instant) -> bool {
    let receipt_handle = record.receipt_handle.unwrap_or_default();
    let (comes_back, seconds) = match Task::parse(record.body.as_deref().unwrap_or_default()) {
        Err(error) => {
            tracing::error!(%error, message_id = ?record.message_id, "a record goes to the dead-letter queue");
            (true, 0)
        }
        Ok(task) => {
            let rescue = record.attributes.get("MessageGroupId").is_some_and(|g| g.ends_with(":rescue"));
            let record = Record { receipt_handle: receipt_handle.clone(), rescue, deadline };
            match agent.work(&task, &record).await {
                Disposition::Done => (false, 0),
                Disposition::Again(after) => (true, after.as_millis().div_ceil(1000)),
            }
        }
    };
    if comes_back {
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        if let Err(error) = agent.queue.set_visibility(&receipt_handle, seconds).await {
            tracing::warn!(%error, "the record comes back when its visibility ends");
        }
    }
    !comes_back
}
