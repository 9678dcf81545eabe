//! Lines as they are written: flat, with every id, and nothing of what must not be told. No line here leaves the process.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use time::macros::datetime;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

const TRACE: &str = "65d2ff2e718990494fd688f062bf1571";

/// What is written while something runs.
fn written(level: LevelFilter, namespace: Option<&str>, run: impl FnOnce()) -> Vec<Value> {
    let lines: Arc<Mutex<Vec<u8>>> = Arc::default();
    let taken = Arc::clone(&lines);
    let layer = Lines {
        function: "ws-message".to_owned(),
        level,
        namespace: namespace.map(str::to_owned),
        now: || datetime!(2026-11-21 09:30:00.250007 +02:00),
        write: move |line: &[u8]| taken.lock().unwrap().extend_from_slice(line),
    };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), run);
    let text = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

/// proves OPS-04
#[test]
fn a_line_is_one_flat_object_with_the_ids_of_every_span_around_it() {
    let lines = written(LevelFilter::INFO, None, || {
        let outer =
            tracing::info_span!("a", request_id = "r", trace_id = "of the invocation", tenant_id = "t");
        let _outer = outer.enter();
        let inner = tracing::info_span!("b", message_id = tracing::field::Empty, trace_id = TRACE);
        let _inner = inner.enter();
        inner.record("message_id", "m");
        tracing::warn!(error = %"no \"answer\"\nat all", n = 7, gone = true, none = Option::<u64>::None, "it failed");
    });
    assert_eq!(
        lines,
        [json!({
            "timestamp": "2026-11-21T07:30:00.250007Z",
            "level": "WARN",
            "message": "it failed",
            "function": "ws-message",
            "target": "konstruct_runtime::telemetry::lines::tests",
            "request_id": "r",
            "trace_id": TRACE,
            "tenant_id": "t",
            "message_id": "m",
            "error": "no \"answer\"\nat all",
            "n": 7,
            "gone": true,
        })]
    );
}

/// proves OPS-04
#[test]
fn a_line_has_the_fields_of_its_spans_at_every_level() {
    for level in [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::TRACE] {
        let lines = written(level, None, || {
            let _span = tracing::info_span!("a", trace_id = TRACE).entered();
            tracing::error!("it failed");
        });
        assert_eq!(lines[0]["trace_id"], TRACE, "{level}");
    }
}

/// proves OPS-04
#[test]
fn a_crate_that_logs_what_it_carries_is_silent_at_every_level() {
    for level in [LevelFilter::TRACE, LevelFilter::INFO, LevelFilter::ERROR] {
        let lines = written(level, None, || {
            tracing::error!(target: "rmcp::service", "x");
            tracing::error!(target: "sse_stream", "x");
            tracing::error!(target: "lambda_runtime::layers::panic", "x");
            tracing::info!(target: "aws_smithy_runtime::client", "x");
            tracing::trace!(target: "lambda_runtime::layers::api_response", "x");
            let _span = tracing::error_span!(target: "hyper", "x", body = "words").entered();
            tracing::error!("ours");
            tracing::error!(target: "hyper", "theirs");
        });
        let told: Vec<&Value> = lines.iter().map(|line| &line["message"]).collect();
        assert_eq!(told, ["ours", "theirs"], "{level}");
        assert!(lines.iter().all(|line| line.get("body").is_none()));
    }
}

#[test]
fn the_level_is_kept_and_an_audit_line_is_written_whatever_it_is() {
    let lines = written(LevelFilter::WARN, None, || {
        tracing::info!("too little");
        tracing::info!(target: "audit", "an admin looked");
        tracing::warn!("enough");
    });
    let told: Vec<&Value> = lines.iter().map(|line| &line["message"]).collect();
    assert_eq!(told, ["an admin looked", "enough"]);
}

#[test]
fn a_field_cannot_take_the_place_of_what_a_line_has_by_itself() {
    let lines = written(LevelFilter::INFO, None, || {
        tracing::info!(level = "x", timestamp = "x", function = "x", target_ = "y", "told");
    });
    assert_eq!((&lines[0]["level"], &lines[0]["function"]), (&json!("INFO"), &json!("ws-message")));
    assert_eq!(lines[0]["target_"], "y");
}

fn measure() {
    let _span = tracing::info_span!("a", trace_id = TRACE, tenant_id = "t").entered();
    tracing::info!(target: METRICS, outcome = "answered", TurnDuration = 12_u64, FirstToken = Option::<u64>::None,
        CompletionTokens = 3_i64, "turn ended");
    tracing::info!(target: METRICS, ColdStarts = 1_u64, "cold start");
}

#[test]
fn measurements_are_metrics_where_there_is_a_namespace_and_lines_where_there_is_none() {
    let lines = written(LevelFilter::ERROR, Some("Konstruct/test"), measure);
    let metrics = |n: usize| &lines[n]["_aws"]["CloudWatchMetrics"];
    assert_eq!(
        *metrics(0),
        json!([{ "Namespace": "Konstruct/test", "Dimensions": [[]], "Metrics": [
            { "Name": "TurnDuration", "Unit": "Milliseconds" }, { "Name": "CompletionTokens", "Unit": "Count" }] }])
    );
    assert_eq!(lines[0]["_aws"]["Timestamp"], 1_795_246_200_250_i64);
    assert_eq!((&lines[0]["TurnDuration"], &lines[0]["trace_id"]), (&json!(12), &json!(TRACE)));
    assert_eq!(
        (&metrics(1)[0]["Dimensions"], &lines[1]["function"]),
        (&json!([["function"]]), &json!("ws-message"))
    );
    for line in &lines {
        check_emf(line);
    }
    assert!(written(LevelFilter::ERROR, None, measure).is_empty());
    let plain = written(LevelFilter::INFO, None, measure);
    assert_eq!(plain.len(), 2);
    assert!(plain.iter().all(|line| line.get("_aws").is_none()));
}

/// What AWS's specification of the format asks for ("CloudWatch embedded metric format specification").
fn check_emf(line: &Value) {
    let aws = &line["_aws"];
    assert!(aws["Timestamp"].is_u64());
    for directive in aws["CloudWatchMetrics"].as_array().expect("directives") {
        let namespace = directive["Namespace"].as_str().expect("a namespace");
        assert!((1..=1024).contains(&namespace.len()) && !namespace.starts_with("AWS/"));
        let sets = directive["Dimensions"].as_array().expect("dimension sets");
        assert!(!sets.is_empty());
        for set in sets {
            let set = set.as_array().expect("a dimension set");
            assert!(set.len() <= 30);
            for name in set {
                let value =
                    line[name.as_str().expect("a name")].as_str().expect("a dimension's value is a text");
                assert!((1..=1024).contains(&value.len()));
            }
        }
        let metrics = directive["Metrics"].as_array().expect("metrics");
        assert!((1..=100).contains(&metrics.len()));
        for metric in metrics {
            assert!(["Count", "Milliseconds"].contains(&metric["Unit"].as_str().expect("a unit")));
            let name = metric["Name"].as_str().expect("a name");
            assert!((1..=1024).contains(&name.len()) && line[name].is_number(), "{name}");
        }
    }
}
