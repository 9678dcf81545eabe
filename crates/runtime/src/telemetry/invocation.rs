//! One invocation: its span, its trace, what is told at its end. It knows nothing of events.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use konstruct_aws::under_trace_header;
use konstruct_domain::TraceId;
use konstruct_ports::Ids as _;
use konstruct_protocol::TraceParent;
use konstruct_service::telemetry::METRICS;
use lambda_runtime::{Context, Error, LambdaInvocation, Runtime};
use tower::{Layer, Service};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::posts;
use crate::start::StartError;
use crate::system::SystemIds;

/// Runs a function's loop until the environment ends.
pub(crate) async fn run<S>(runtime: Runtime<S>) -> Result<(), StartError>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
    S::Future: 'static,
{
    Ok(runtime.layer(Invocations).run().await?)
}

/// The trace of an invocation.
pub(crate) fn place(context: &Context) -> TraceParent {
    let told = context.xray_trace_id.as_deref().and_then(TraceParent::from_header);
    // `Invocations` has seen to it that there is one.
    told.unwrap_or_else(|| TraceParent::of(fresh()))
}

fn fresh() -> TraceId {
    // Never nil: it has the time in it.
    loop {
        if let Some(id) = TraceId::new(SystemIds.new_id()) {
            return id;
        }
    }
}

/// Puts each invocation into a span.
struct Invocations;

impl<S> Layer<S> for Invocations {
    type Service = Told<S>;

    fn layer(&self, inner: S) -> Told<S> {
        Told { inner, cold: true }
    }
}

/// A service whose invocations are told of.
struct Told<S> {
    inner: S,
    /// The process has not worked yet.
    cold: bool,
}

impl<S> Service<LambdaInvocation> for Told<S>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
    S::Future: 'static,
{
    type Response = ();
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> Self::Future {
        let context = &mut invocation.context;
        let header = context.xray_trace_id.clone();
        if header.as_deref().and_then(TraceParent::from_header).is_none() {
            // The handler is to find the same one.
            let id = fresh().to_string();
            let (time, rest) = id.split_at(8);
            context.xray_trace_id = Some(format!("Root=1-{time}-{rest}"));
        }
        let span = tracing::info_span!(
            "invocation",
            request_id = context.request_id,
            trace_id = %place(context).id,
            connection_id = Empty,
            tenant_id = Empty,
            conversation_id = Empty,
        );
        let cold = std::mem::take(&mut self.cold);
        let work = span.in_scope(|| self.inner.call(invocation));
        let told = async move {
            let done = work.await;
            // Behind the answer, and before the environment may be frozen: at the next poll.
            if cold {
                tracing::info!(target: METRICS, ColdStarts = 1_u64, "cold start");
            }
            posts::tell();
            done
        };
        Box::pin(under_trace_header(header, told.instrument(span)))
    }
}
