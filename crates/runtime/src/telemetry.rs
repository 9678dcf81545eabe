//! Logs: one JSON object a line, with the request and, where known, tenant and conversation. Never a secret, a
//! token or a message's text: nothing that could hold one is ever given to a log macro.

use tracing::level_filters::LevelFilter;

use crate::config;

/// Starts logging at `LOG_LEVEL` (error, warn, info, debug, trace; info).
pub(crate) fn start() {
    let level = config::optional("LOG_LEVEL").and_then(|name| name.parse().ok()).unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_ansi(false)
        .with_max_level(level)
        .init();
}
