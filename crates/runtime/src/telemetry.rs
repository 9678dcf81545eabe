//! Logs: one JSON object a line, with the request and, where known, tenant and conversation. Never a secret, a
//! token or a message's text: nothing that could hold one is ever given to a log macro.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config;

/// Crates that log what they carry: people's words and tenants' data.
const SILENT: [&str; 2] = ["rmcp", "sse_stream"];

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
        .finish()
        .with(targets(level))
        .init();
}

/// What is logged: everything from a level on, but for crates that must not.
fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(level).with_targets(SILENT.map(|target| (target, LevelFilter::OFF)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    /// proves OPS-04
    #[test]
    fn a_crate_that_logs_what_it_carries_is_silent_at_every_level() {
        for level in [LevelFilter::TRACE, LevelFilter::INFO, LevelFilter::ERROR] {
            let targets = targets(level);
            assert!(!targets.would_enable("rmcp::service", &Level::ERROR));
            assert!(!targets.would_enable("sse_stream", &Level::ERROR));
            assert!(targets.would_enable("konstruct_service::turn", &Level::ERROR));
        }
    }
}
