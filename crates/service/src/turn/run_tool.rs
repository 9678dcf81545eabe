//! The run of one tool: by us, over HTTP or by a tool server, within its time; its result within its size.

use std::time::Duration;

use konstruct_ports::ToolError;
use konstruct_postgres::memory::Found;
use konstruct_postgres::turns::TurnRow;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::course::Course;
use super::journal::ToolResult;
use super::time_zone::time_in;
use super::toolbox::{Runner, Tool};
use super::tools::{Call, Called};
use super::{Held, OUTAGE, timestamp};
use crate::error::Error;
use crate::failpoint::reach;
use crate::patience::Patience;

/// Most messages that a search tells of, and most characters of each.
const FOUND_MAX: i64 = 20;
const FOUND_CHARACTERS: usize = 500;

impl Held<'_> {
    /// Runs a call that is journaled as begun, journals its result, and shows it. A stop waits for it: what runs is not
    /// cut off.
    pub(super) async fn run_call(
        &mut self,
        course: &mut Course,
        at: Call<'_>,
        tool: &Tool,
        arguments: &Map<String, Value>,
    ) -> Result<Called, Error> {
        // Its own name, which the tenant gave it: what the model called it may be anything.
        let name = tool.spec.name.as_str();
        tracing::info!(tool = name, "tool begun");
        let began = Instant::now();
        let limit = self.agent.limits.tool_time;
        let ran = tokio::time::timeout(limit, self.run(at.turn, course, tool, arguments, limit)).await;
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(tool = name, duration_ms, timed_out = ran.is_err(), "tool ended");
        let text = ran.unwrap_or_else(|_| "timed out".to_owned());
        reach("tool.ran").await;
        let result = ToolResult { result: bounded(text, self.agent.limits.tool_result_bytes), duration_ms };
        self.finish_call(course, at, result).await
    }

    /// What a tool answers; also why it did not.
    async fn run(
        &self,
        turn: &TurnRow,
        course: &Course,
        tool: &Tool,
        arguments: &Map<String, Value>,
        limit: Duration,
    ) -> String {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let outcome = match &tool.runner {
            Runner::Time => return time_in(self.agent.clock.now(), text("timezone")),
            Runner::Escalate => {
                return "A human colleague has the conversation after your answer. Tell the person so, in short."
                    .to_owned();
            }
            Runner::Search => return self.search(turn, text("query")).await,
            Runner::Get => self.agent.tools.get(text("url"), &course.kit.http_hosts, limit).await,
            Runner::Server(place, name) => {
                let Some(server) = course.kit.servers.get(*place) else {
                    return "failed: the tool's server is gone".to_owned();
                };
                let server = match self.agent.tool_server(self.tenant, server).await {
                    Ok(server) => server,
                    Err(error) => {
                        tracing::error!(%error, "a tool's server cannot be used");
                        return "failed: the tool's server cannot be used".to_owned();
                    }
                };
                self.agent.tools.call(&server, name, arguments, limit).await
            }
        };
        match outcome {
            Ok(output) if output.is_error => format!("failed: {}", output.text),
            Ok(output) => output.text,
            Err(ToolError::TimedOut) => "timed out".to_owned(),
            Err(error) => {
                tracing::warn!(%error, tool = tool.spec.name, "a tool gave no answer");
                format!("failed: {error}")
            }
        }
    }

    async fn search(&self, turn: &TurnRow, query: &str) -> String {
        let (thread, before) = (self.conversation(), turn.position);
        let search = || async {
            self.agent.db.begin(self.tenant).await?.search(thread, before, query, FOUND_MAX).await
        };
        match Patience::of(OUTAGE).retry(search).await {
            Ok(found) if found.is_empty() => "Nothing was found.".to_owned(),
            Ok(found) => found.into_iter().map(|found| found_line(&found)).collect::<Vec<_>>().join("\n"),
            Err(error) => {
                tracing::warn!(%error, "the history could not be searched");
                "failed: the history could not be searched".to_owned()
            }
        }
    }
}

/// A result no longer than a limit, in bytes; what was cut is said.
fn bounded(mut text: String, bytes_max: usize) -> String {
    text.retain(|c| c != '\0');
    if text.len() <= bytes_max {
        return text;
    }
    let end = text.floor_char_boundary(bytes_max);
    let more = text.len() - end;
    text.truncate(end);
    text.push_str(&format!("\n[{more} more bytes were cut off]"));
    text
}

fn found_line(found: &Found) -> String {
    let who = if found.from_user { "person" } else { "agent" };
    let content: String = found.content.chars().take(FOUND_CHARACTERS).collect();
    json!({"at": timestamp(found.created_at), "by": who, "said": content}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_result_is_cut_between_characters_and_says_so() {
        assert_eq!(bounded("a\0b".to_owned(), 10), "ab");
        assert_eq!(bounded("ééé".to_owned(), 3), "é\n[4 more bytes were cut off]");
    }
}
