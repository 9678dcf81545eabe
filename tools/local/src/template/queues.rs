//! The template's queues and what they feed.
//! Attributes are passed on as they stand; only their form is made SQS's own (text).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Context, Error, Result};

use super::read::folder_of;
use super::resolve::{Resolver, scalar};
use super::{MappingSpec, QueueSpec};

/// Lambda's own cap for a mapping that names none.
const MAX_CONCURRENCY: u64 = 1250;

/// Every `AWS::SQS::Queue`, dead-letter queues first.
pub fn read(resolver: &Resolver<'_>) -> Result<Vec<QueueSpec>> {
    let all = resolver.resources("AWS::SQS::Queue");
    let mut queues =
        all.map(|(id, properties)| queue(resolver, properties).context(id)).collect::<Result<Vec<_>>>()?;
    queues.sort_by_key(|queue| queue.dead_letter.is_some());
    Ok(queues)
}

fn queue(resolver: &Resolver<'_>, properties: &Value) -> Result<QueueSpec> {
    let name = resolver.text(properties, "QueueName")?.context("it has no QueueName")?;
    let mut attributes = BTreeMap::new();
    let mut dead_letter = None;
    for property in properties.as_object().into_iter().flatten().map(|(property, _)| property) {
        let Some(value) = resolver.property(properties, property)? else {
            continue;
        };
        match property.as_str() {
            "QueueName" | "Tags" => {}
            // `false` cannot be said to SQS: the attribute may only be left out.
            "FifoQueue" if value == Value::Bool(false) => {}
            "RedrivePolicy" => {
                let target = value.get("deadLetterTargetArn").and_then(Value::as_str).unwrap_or_default();
                dead_letter = target.rsplit(':').next().map(str::to_string);
                attributes.insert(property.clone(), value.to_string());
            }
            _ if value.is_object() => {
                attributes.insert(property.clone(), value.to_string());
            }
            _ => {
                attributes.insert(property.clone(), scalar(&value).context(property)?);
            }
        }
    }
    Ok(QueueSpec { name, attributes, dead_letter })
}

/// Every enabled `AWS::Lambda::EventSourceMapping`.
pub fn mappings(resolver: &Resolver<'_>) -> Result<Vec<MappingSpec>> {
    let mut mappings = Vec::new();
    for (id, properties) in resolver.resources("AWS::Lambda::EventSourceMapping") {
        if resolver.text(properties, "Enabled")?.as_deref() != Some("false") {
            mappings.push(mapping(resolver, properties).context(id)?);
        }
    }
    Ok(mappings)
}

fn mapping(resolver: &Resolver<'_>, properties: &Value) -> Result<MappingSpec> {
    for unknown in ["FilterCriteria", "MaximumBatchingWindowInSeconds", "ProvisionedPollerConfig"] {
        if properties.get(unknown).is_some() {
            return Err(Error::new(format!("{unknown} is not imitated on this machine")));
        }
    }
    let source = resolver.text(properties, "EventSourceArn")?.context("it has no EventSourceArn")?;
    let function = resolver.text(properties, "FunctionName")?.context("it has no FunctionName")?;
    let scaling = resolver.property(properties, "ScalingConfig")?.unwrap_or_default();
    let reports = resolver.property(properties, "FunctionResponseTypes")?.unwrap_or_default();
    let reports =
        reports.as_array().is_some_and(|types| types.iter().any(|t| t == "ReportBatchItemFailures"));
    let batch_size = resolver.number(properties, "BatchSize")?.unwrap_or(10);
    let max_concurrency = resolver.number(&scaling, "MaximumConcurrency")?.unwrap_or(MAX_CONCURRENCY);
    if !(1..=10).contains(&batch_size) {
        return Err(Error::new("a BatchSize of more than 10 is not imitated on this machine"));
    }
    Ok(MappingSpec {
        queue: source
            .strip_prefix("arn:aws:sqs:")
            .context("the source is no queue")?
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .to_string(),
        function: folder_of(&function)?,
        batch_size: usize::try_from(batch_size).unwrap_or(10),
        reports_failures: reports,
        max_concurrency: usize::try_from(max_concurrency).unwrap_or(1),
    })
}
