//! The queue's worker: one record, one task. A body that is no task is made visible again at once, so that it is in
//! the dead-letter queue soon and holds up its group no longer.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use konstruct_domain::TraceId;
use konstruct_ports::Clock as _;
use konstruct_protocol::{Task, TaskKind, TraceParent};
use konstruct_service::telemetry::METRICS;
use konstruct_service::turn::{Agent, Disposition, Record, TurnLimits};
use lambda_runtime::{Context, LambdaEvent, Runtime, service_fn};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::batch::BatchResponse;
use crate::start::{StartError, start};
use crate::system::{SystemClock, SystemIds};
use crate::{config, parts, telemetry};

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
    telemetry::run(Runtime::new(service_fn(handler))).await
}

async fn handle(agent: &Agent, event: SqsEvent, context: &Context) -> BatchResponse {
    let now = SystemClock.now();
    let left_ms = i128::from(context.deadline) - now.unix_timestamp_nanos() / 1_000_000;
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
    let mut response = BatchResponse::default();
    let mut failed = false;
    let trace = telemetry::place(context).id;
    for record in event.records {
        let id = record.message_id.clone().unwrap_or_default();
        // FIFO: behind a record that comes back, the rest of the batch comes back too.
        failed = failed || !work(agent, record, deadline, trace).await;
        if failed {
            response.fail(id);
        }
    }
    response
}

/// Works one record; `false`: it comes back.
async fn work(agent: &Agent, record: SqsMessage, deadline: Instant, invocation: TraceId) -> bool {
    let receipt_handle = record.receipt_handle.clone().unwrap_or_default();
    let task = match Task::parse(record.body.as_deref().unwrap_or_default()) {
        Ok(task) => task,
        Err(error) => {
            tracing::error!(%error, record_id = record.message_id, "a record goes to the dead-letter queue");
            comes_back(agent, &receipt_handle, Duration::ZERO).await;
            return false;
        }
    };
    let rescue = attribute(&record, "MessageGroupId").is_some_and(|group| group.ends_with(":rescue"));
    // Whoever queued it told of the message's own trace; the invocation has another.
    let told = record.message_attributes.get("traceparent").and_then(|told| told.string_value.as_deref());
    let trace = told.and_then(TraceParent::parse).map_or(invocation, |place| place.id);
    let span = tracing::info_span!(
        "record",
        tenant_id = %task.message.tenant_id,
        conversation_id = %task.message.thread_id,
        message_id = %task.message.id,
        trace_id = %trace,
    );
    let work = async {
        tracing::info!(
            target: METRICS,
            task = match task.task {
                TaskKind::Message => "message",
                TaskKind::Continue => "continue",
            },
            rescue,
            receives = attribute(&record, "ApproximateReceiveCount"),
            waker_trace_id = attribute(&record, "AWSTraceHeader").and_then(TraceParent::from_header).map(|w| display(w.id)),
            invocation_trace_id = %invocation,
            QueueAge = queue_age_ms(&record),
            "record received"
        );
        let record = Record { receipt_handle: receipt_handle.clone(), rescue, deadline, trace };
        match agent.work(&task, &record).await {
            Disposition::Done => true,
            Disposition::Again(after) => {
                tracing::info!(after_ms = after.as_millis(), "the record comes back");
                comes_back(agent, &receipt_handle, after).await;
                false
            }
        }
    };
    work.instrument(span).await
}

/// Has a record come back after so long, in whole seconds.
async fn comes_back(agent: &Agent, receipt_handle: &str, after: Duration) {
    let seconds = i32::try_from(after.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
    if let Err(error) = agent.queue.set_visibility(receipt_handle, seconds).await {
        tracing::warn!(%error, "the record comes back when its visibility ends");
    }
}

fn attribute<'a>(record: &'a SqsMessage, name: &str) -> Option<&'a str> {
    record.attributes.get(name).map(String::as_str)
}

/// How long ago the record was sent, milliseconds.
fn queue_age_ms(record: &SqsMessage) -> Option<u64> {
    let sent_ms: i128 = attribute(record, "SentTimestamp")?.parse().ok()?;
    let now_ms = SystemClock.now().unix_timestamp_nanos() / 1_000_000;
    // Two clocks: it may seem to come from the future.
    Some(u64::try_from(now_ms - sent_ms).unwrap_or(0))
}
