//! What a server said, in our words. It takes what it understands and leaves out the rest, and never asks again.

use std::collections::HashSet;

use konstruct_ports::{ToolOutput, ToolSpec};
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, Tool};

use crate::schema;
use crate::text::{cut, without_nul};

/// Longest description of a tool, in characters.
const DESCRIPTION_MAX: usize = 1024;
/// Longest name of a tool.
const NAME_MAX: usize = 64;

/// The tools that can be offered. Left out are those whose name is too long or has other characters, or was there
/// before, and those whose schema is too large or none.
pub fn specs(tools: Vec<Tool>) -> Vec<ToolSpec> {
    let mut names = HashSet::new();
    let fits = |tool: &Tool| is_name(&tool.name) && schema::is_usable(&tool.input_schema);
    (tools.into_iter())
        .filter(|tool| fits(tool) && names.insert(tool.name.to_string()))
        .map(|tool| ToolSpec {
            name: tool.name.into_owned(),
            description: without_nul(cut(&tool.description.unwrap_or_default(), DESCRIPTION_MAX)),
            parameters: (*tool.input_schema).clone(),
        })
        .collect()
}

fn is_name(name: &str) -> bool {
    let plain = |sign: u8| sign.is_ascii_alphanumeric() || sign == b'_' || sign == b'-';
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(plain)
}

/// What a tool answered; none: it did not come to an end.
pub fn output(answer: CallToolResponse) -> Option<ToolOutput> {
    let CallToolResponse::Complete(result) = answer else { return None };
    let is_error = result.is_error.unwrap_or(false);
    Some(ToolOutput { text: without_nul(text(result)), is_error })
}

/// What a server said that refuses a call.
pub fn refused(message: &str) -> ToolOutput {
    ToolOutput { text: without_nul(format!("The tool's server refuses the call: {message}")), is_error: true }
}

fn text(result: CallToolResult) -> String {
    let has_text = result.content.iter().any(|part| matches!(part, ContentBlock::Text(_)));
    let structured = result.structured_content.filter(|_| !has_text).map(|value| value.to_string());
    let parts = result.content.into_iter().map(|part| match part {
        ContentBlock::Text(part) => part.text,
        ContentBlock::Image(_) => "[image omitted]".to_owned(),
        ContentBlock::Audio(_) => "[audio omitted]".to_owned(),
        ContentBlock::Resource(_) | ContentBlock::ResourceLink(_) => "[resource omitted]".to_owned(),
        _ => "[content omitted]".to_owned(),
    });
    structured.into_iter().chain(parts).collect::<Vec<_>>().join("\n")
}
