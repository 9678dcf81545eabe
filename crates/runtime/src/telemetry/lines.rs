//! Log lines: one flat JSON object each, with the fields of every span around the event. It asks nobody for values, and
//! it never writes what third-party crates would tell of what they carry.

use konstruct_service::telemetry::METRICS;
use serde::ser::{SerializeMap as _, Serializer as _};
use serde_json::Value;
use time::OffsetDateTime;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::metrics;

/// What platform admins and tenant admins did across a boundary: written at every level.
const AUDIT: &str = "audit";
/// Our crates.
const OURS: &str = "konstruct";
/// Crates that log what they carry (people's words, tenants' data, what a panic said), also as an error.
const SILENT: [&str; 3] = ["rmcp", "sse_stream", "lambda_runtime::layers::panic"];

/// Writes lines.
pub(super) struct Lines<N, W> {
    /// Lambda's name of the function.
    pub(super) function: String,
    /// The least level that is written.
    pub(super) level: LevelFilter,
    /// Where metrics go; `None`: they are lines like others.
    pub(super) namespace: Option<String>,
    pub(super) now: N,
    /// Takes a whole line, with its end.
    pub(super) write: W,
}

impl<N, W> Lines<N, W> {
    /// Spans are always there: what is logged within them needs their fields. Other crates' are not ours to show, and of
    /// their events only warnings and errors are: below that they tell what they carry.
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let (target, level) = (metadata.target(), *metadata.level());
        if SILENT.iter().any(|silent| target.starts_with(silent)) {
            return false;
        }
        match target {
            AUDIT => true,
            METRICS => self.namespace.is_some() || level <= self.level,
            _ if target.starts_with(OURS) => {
                level <= self.level || metadata.is_span() && level <= Level::INFO
            }
            _ => metadata.is_event() && level <= Level::WARN && level <= self.level,
        }
    }
}

impl<S, N, W> Layer<S> for Lines<N, W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: Fn() -> OffsetDateTime + 'static,
    W: Fn(&[u8]) + 'static,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.max(LevelFilter::INFO))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(around) = span.extensions().get::<Fields>() {
                fields.merge(around);
            }
        }
        let mut own = Fields::default();
        event.record(&mut own);
        fields.merge(&own);
        if let Ok(mut line) = self.line(event.metadata(), &fields) {
            line.push(b'\n');
            (self.write)(&line);
        }
    }
}

impl<N: Fn() -> OffsetDateTime, W> Lines<N, W> {
    fn line(&self, metadata: &Metadata<'_>, fields: &Fields) -> Result<Vec<u8>, serde_json::Error> {
        let now = (self.now)();
        let text = fields.iter().find(|(name, _)| *name == "message").map(|(_, text)| text);
        let mut serializer = serde_json::Serializer::new(Vec::with_capacity(512));
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("timestamp", &timestamp(now))?;
        line.serialize_entry("level", metadata.level().as_str())?;
        line.serialize_entry("message", text.unwrap_or(&Value::Null))?;
        line.serialize_entry("function", &self.function)?;
        for (name, value) in fields.iter().filter(|(name, _)| !RESERVED.contains(name)) {
            line.serialize_entry(name, value)?;
        }
        if metadata.target() == METRICS {
            let now_ms = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
            let mut known = fields.clone();
            known.set("function", Value::from(self.function.as_str()));
            let namespace = self.namespace.as_deref();
            if let Some(aws) = namespace.and_then(|name| metrics::directives(&known, name, now_ms)) {
                line.serialize_entry("_aws", &aws)?;
            }
        } else {
            line.serialize_entry("target", metadata.target())?;
        }
        line.end()?;
        Ok(serializer.into_inner())
    }
}

/// Members that a line has by itself: a field of the same name would stand there twice.
const RESERVED: [&str; 6] = ["timestamp", "level", "message", "function", "target", "_aws"];

/// RFC 3339, UTC, microseconds: lines of several functions sort by it.
fn timestamp(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second, micro) = at.to_hms_micro();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z")
}

#[cfg(test)]
mod tests;
