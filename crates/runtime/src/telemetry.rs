//! Logs, metrics and the trace of an invocation (docs/TELEMETRY.md): one JSON object a line, on standard output. Never a
//! secret, a token or a message's text: nothing that could hold one is ever given to a log macro.

mod fields;
mod invocation;
mod lines;
mod metrics;
mod posts;

use std::io::Write as _;

use konstruct_domain::{ConversationId, TenantId};
use konstruct_ports::Clock as _;
use konstruct_protocol::ErrorCode;
use konstruct_service::telemetry::METRICS;
use tracing::Span;
use tracing::field::display;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::config;
use crate::system::SystemClock;

pub(crate) use invocation::{place, run};
pub(crate) use posts::Counted;

/// Starts logging at `LOG_LEVEL` (error, warn, info, debug, trace; info), with metrics where `METRICS_NAMESPACE` says
/// where they go.
pub(crate) fn start() {
    let level = config::optional("LOG_LEVEL").and_then(|name| name.parse().ok()).unwrap_or(LevelFilter::INFO);
    let lines = lines::Lines {
        function: config::optional("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
        level,
        namespace: config::optional("METRICS_NAMESPACE"),
        now: || SystemClock.now(),
        // A line that cannot be written has nowhere else to go.
        write: |line: &[u8]| drop(std::io::stdout().lock().write_all(line)),
    };
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
    // What a panic says may repeat what was sent: only its place is logged.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
        tracing::error!(place, "a panic");
    }));
}

/// Names tenant and conversation in what the present invocation logs from here on.
pub(crate) fn about(tenant: Option<TenantId>, conversation: Option<ConversationId>) {
    let span = Span::current();
    if let Some(tenant) = tenant {
        span.record("tenant_id", display(tenant));
    }
    if let Some(conversation) = conversation {
        span.record("conversation_id", display(conversation));
    }
}

/// Names the connection in what the present invocation logs from here on.
pub(crate) fn about_connection(id: &str) {
    Span::current().record("connection_id", id);
}

/// Somebody was refused something.
pub(crate) fn refused(code: ErrorCode) {
    tracing::info!(target: METRICS, code = code.as_str(), Refusals = 1_u64, "refused");
}
