//! CloudWatch's embedded metric format: which fields of a line are metrics, in which unit, by which dimension. One line
//! may hold several. It decides nothing about when there is a line.

use serde_json::{Value, json};

use super::fields::Fields;

const COUNT: &str = "Count";
const MILLISECONDS: &str = "Milliseconds";

/// A metric: its name, which is also the field's, its unit, and the field it is told apart by.
struct Metric {
    name: &'static str,
    unit: &'static str,
    dimension: Option<&'static str>,
}

const fn metric(name: &'static str, unit: &'static str, dimension: Option<&'static str>) -> Metric {
    Metric { name, unit, dimension }
}

/// Every metric there is (docs/TELEMETRY.md says what each counts).
const ALL: [Metric; 10] = [
    metric("TurnDuration", MILLISECONDS, None),
    metric("FirstToken", MILLISECONDS, None),
    metric("PromptTokens", COUNT, None),
    metric("CompletionTokens", COUNT, None),
    metric("TurnsFailed", COUNT, None),
    metric("QueueAge", MILLISECONDS, None),
    metric("Posts", COUNT, None),
    metric("PostFailures", COUNT, None),
    metric("ColdStarts", COUNT, Some("function")),
    metric("Refusals", COUNT, Some("code")),
];

/// The member `_aws` that makes metrics of a line's fields; `None`: none of them is one.
pub(super) fn directives(fields: &Fields, namespace: &str, now_ms: i64) -> Option<Value> {
    let mut directives: Vec<(Option<&str>, Vec<Value>)> = Vec::new();
    for (name, value) in fields.iter() {
        // What is no number CloudWatch would refuse, and the whole line with it.
        let Some(metric) = ALL.iter().find(|metric| metric.name == name && value.is_number()) else {
            continue;
        };
        let told = json!({ "Name": metric.name, "Unit": metric.unit });
        match directives.iter_mut().find(|(dimension, _)| *dimension == metric.dimension) {
            Some((_, metrics)) => metrics.push(told),
            None => directives.push((metric.dimension, vec![told])),
        }
    }
    let directive = |(dimension, metrics): (Option<&str>, Vec<Value>)| {
        let dimensions: Vec<&str> = dimension.into_iter().collect();
        json!({ "Namespace": namespace, "Dimensions": [dimensions], "Metrics": metrics })
    };
    let directives: Vec<Value> = directives.into_iter().map(directive).collect();
    (!directives.is_empty()).then(|| json!({ "Timestamp": now_ms, "CloudWatchMetrics": directives }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(all: &[(&'static str, Value)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in all {
            fields.set(name, value.clone());
        }
        fields
    }

    #[test]
    fn the_metrics_of_a_line_are_told_by_dimension() {
        let line = fields(&[
            ("outcome", json!("answered")),
            ("TurnDuration", json!(12)),
            ("CompletionTokens", json!(3)),
            ("code", json!("rate_limited")),
            ("Refusals", json!(1)),
        ]);
        let expected = json!({ "Timestamp": 7, "CloudWatchMetrics": [
            { "Namespace": "N", "Dimensions": [[]], "Metrics": [
                { "Name": "TurnDuration", "Unit": "Milliseconds" },
                { "Name": "CompletionTokens", "Unit": "Count" }] },
            { "Namespace": "N", "Dimensions": [["code"]], "Metrics": [{ "Name": "Refusals", "Unit": "Count" }] },
        ] });
        assert_eq!(directives(&line, "N", 7), Some(expected));
    }

    #[test]
    fn a_line_without_a_number_that_is_a_metric_has_none() {
        assert_eq!(
            directives(&fields(&[("Posts", json!("7")), ("posts", json!(7)), ("Other", json!(1))]), "N", 7),
            None
        );
    }
}
