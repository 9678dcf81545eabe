//! The template's schedules (EventBridge rules with a rate).
//! A cron expression is refused rather than run at the wrong time.

use std::time::Duration;

use serde_json::Value;

use crate::error::{Context, Error, Result};

use super::ScheduleSpec;
use super::read::folder_of;
use super::resolve::Resolver;

/// Every target of every enabled rule.
pub fn read(resolver: &Resolver<'_>) -> Result<Vec<ScheduleSpec>> {
    let mut schedules = Vec::new();
    for (id, properties) in resolver.resources("AWS::Events::Rule") {
        if resolver.text(properties, "State")?.as_deref() == Some("DISABLED") {
            continue;
        }
        let expression = resolver.text(properties, "ScheduleExpression")?;
        let expression = expression.context(format_args!("{id}: only rules with a schedule are imitated"))?;
        let every = rate(&expression).context(id)?;
        let targets = resolver.property(properties, "Targets")?.unwrap_or_default();
        for target in targets.as_array().into_iter().flatten() {
            let text = |name: &str| target.get(name).and_then(Value::as_str);
            schedules.push(ScheduleSpec {
                rule: resolver.text(properties, "Name")?.unwrap_or_else(|| id.to_string()),
                every,
                function: folder_of(text("Arn").context(id)?).context(id)?,
                input: text("Input").map(str::to_string),
            });
        }
    }
    Ok(schedules)
}

/// The period of `rate(5 minutes)`.
pub fn rate(expression: &str) -> Result<Duration> {
    let inner = expression.strip_prefix("rate(").and_then(|rest| rest.strip_suffix(')'));
    let (count, unit) = inner.and_then(|inner| inner.split_once(' ')).unwrap_or_default();
    let seconds = match unit.trim_end_matches('s') {
        "minute" => 60,
        "hour" => 3600,
        "day" => 86_400,
        _ => {
            return Err(Error::new(format!("the schedule {expression} is not imitated (only rate(…) is)")));
        }
    };
    let count: u64 = count.parse().context(expression)?;
    if count == 0 {
        return Err(Error::new(format!("the schedule {expression} has no period")));
    }
    Ok(Duration::from_secs(count * seconds))
}
