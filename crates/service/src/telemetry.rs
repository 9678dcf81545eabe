//! What use cases tell of themselves: spans that name a message and its trace, and measurements. How lines and metrics
//! look is `runtime`'s business. Nothing that a person, a model or a tool wrote is ever given to it.

use konstruct_domain::{ConversationId, MessageId, TenantId, TraceId};
use tracing::Span;
use tracing::field::display;

/// The target of events that measure: a field whose name begins with a capital is a metric (docs/TELEMETRY.md).
pub const METRICS: &str = "metrics";

/// The span of work on one message: what is logged in it carries the trace that the message was accepted in, whoever
/// does the work.
pub(crate) fn of_message(
    tenant: TenantId,
    conversation: ConversationId,
    message: MessageId,
    trace: Option<TraceId>,
) -> Span {
    tracing::info_span!(
        "message",
        tenant_id = %tenant,
        conversation_id = %conversation,
        message_id = %message,
        trace_id = trace.map(display),
    )
}

/// Names the message, and its trace, in a span that was made before they were known.
pub(crate) fn name_message(span: &Span, message: MessageId, trace: TraceId) {
    span.record("message_id", display(message));
    span.record("trace_id", display(trace));
}
