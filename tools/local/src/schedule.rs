//! The template's schedules: calls a function by the clock.
//! A call never waits for the one before it, and nobody looks at its answer.

use bytes::Bytes;
use serde_json::json;

use crate::clock::{now_ms, rfc3339};
use crate::lambda::Functions;
use crate::template::{ACCOUNT, REGION, ScheduleSpec};

/// Runs one schedule for ever.
pub async fn run(schedule: ScheduleSpec, functions: Functions) {
    let mut ticks = tokio::time::interval(schedule.every);
    // The first tick of an interval comes at once; EventBridge's after one period.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        // The invocation goes on by itself.
        drop(functions.invoke(&schedule.function, event(&schedule)));
    }
}

fn event(schedule: &ScheduleSpec) -> Bytes {
    if let Some(input) = &schedule.input {
        return Bytes::from(input.clone());
    }
    let now = rfc3339(now_ms());
    let event = json!({
        "version": "0",
        "id": crate::ids::uuid().to_string(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": format!("{}Z", now.get(..19).unwrap_or_default()),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{}", schedule.rule)],
        "detail": {},
    });
    Bytes::from(event.to_string())
}
