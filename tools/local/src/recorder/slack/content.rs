//! What a message says, checked against Slack's limits.
//! Lengths are counted in characters; nothing is rendered.

use serde_json::Value;

use crate::recorder::arguments::Arguments;

/// `text` of a new message is cut there.
const TEXT_MAX: usize = 40_000;
/// `text` of an edit is refused beyond.
const EDIT_MAX: usize = 4_000;
/// `markdown_text` is refused beyond.
const MARKDOWN_MAX: usize = 12_000;
/// Blocks of a message.
const BLOCKS_MAX: usize = 50;
/// The text of a section.
const SECTION_MAX: usize = 3_000;
/// All texts in the blocks of a message.
const BLOCKS_TEXT_MAX: usize = 13_200;
/// Title of a task or plan.
const TITLE_MAX: usize = 256;

/// What a message says.
#[derive(Debug)]
pub struct Content {
    /// `text` or `markdown_text`.
    pub text: Option<String>,
    /// Blocks; an empty list where the call takes them away.
    pub blocks: Option<Value>,
    /// Metadata; an empty object where the call takes it away.
    pub metadata: Option<Value>,
}

impl Content {
    /// What a new message says.
    pub fn of_post(arguments: &Arguments) -> Result<Self, &'static str> {
        let mut content = Self::read(arguments)?;
        content.text = content.text.map(|text| text.chars().take(TEXT_MAX).collect());
        Ok(content)
    }

    /// What an edit says.
    pub fn of_edit(arguments: &Arguments) -> Result<Self, &'static str> {
        let content = Self::read(arguments)?;
        match arguments.text("text") {
            Some(text) if text.chars().count() > EDIT_MAX => Err("msg_too_long"),
            _ => Ok(content),
        }
    }

    fn read(arguments: &Arguments) -> Result<Self, &'static str> {
        let (text, markdown) = (arguments.text("text"), markdown(arguments)?);
        let blocks = blocks(arguments)?;
        let has_blocks = blocks.as_ref().is_some_and(is_given);
        let has_attachments = arguments.structure("attachments").as_ref().is_some_and(is_given);
        match (&markdown, &text) {
            (Some(_), Some(_)) => return Err("markdown_text_conflict"),
            (Some(_), None) if has_blocks => return Err("markdown_text_conflict"),
            (None, None) if !has_blocks && !has_attachments => return Err("no_text"),
            _ => {}
        }
        Ok(Self { text: markdown.or(text), blocks, metadata: metadata(arguments)? })
    }
}

/// Whether there is something in a list or an object; an empty one takes away what was there.
pub fn is_given(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn markdown(arguments: &Arguments) -> Result<Option<String>, &'static str> {
    let text = arguments.text("markdown_text");
    if text.as_ref().is_some_and(|text| text.chars().count() > MARKDOWN_MAX) {
        return Err("msg_too_long");
    }
    Ok(text)
}

/// The blocks of a call.
pub fn blocks(arguments: &Arguments) -> Result<Option<Value>, &'static str> {
    let Some(value) = arguments.structure("blocks") else {
        return Ok(None);
    };
    let blocks = value.as_array().ok_or("invalid_blocks_format")?;
    let sound = |block: &Value| {
        let kind = block.get("type").and_then(Value::as_str);
        let text = block.pointer("/text/text").and_then(Value::as_str).unwrap_or_default();
        kind.is_some() && (kind != Some("section") || text.chars().count() <= SECTION_MAX)
    };
    if blocks.len() > BLOCKS_MAX || !blocks.iter().all(sound) {
        return Err("invalid_blocks");
    }
    if blocks.iter().map(text_length).sum::<usize>() > BLOCKS_TEXT_MAX {
        return Err("msg_blocks_too_long");
    }
    Ok(Some(value))
}

/// How much text is anywhere in a block.
fn text_length(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(text_length).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if name == "text" => text.chars().count(),
                other => text_length(other),
            })
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The metadata of a call.
pub fn metadata(arguments: &Arguments) -> Result<Option<Value>, &'static str> {
    let Some(value) = arguments.structure("metadata") else {
        return Ok(None);
    };
    let members = value.as_object().ok_or("invalid_metadata_format")?;
    let kind = members.get("event_type").and_then(Value::as_str);
    let payload = members.get("event_payload").and_then(Value::as_object);
    if members.is_empty() || (kind.is_some_and(|kind| !kind.is_empty()) && payload.is_some()) {
        return Ok(Some(value));
    }
    Err("invalid_metadata_format")
}

/// What a call adds to a stream: `markdown_text` and the texts of `chunks`; none where it has neither.
pub fn streamed(arguments: &Arguments) -> Result<Option<String>, &'static str> {
    let markdown = markdown(arguments)?;
    let Some(chunks) = arguments.structure("chunks") else {
        return Ok(markdown);
    };
    let mut text = markdown.unwrap_or_default();
    for chunk in chunks.as_array().ok_or("invalid_chunks")? {
        text.push_str(chunk_text(chunk)?);
    }
    Ok(Some(text))
}

fn chunk_text(chunk: &Value) -> Result<&str, &'static str> {
    let member = |name: &str| chunk.get(name).and_then(Value::as_str);
    let title = || member("title").filter(|title| title.chars().count() <= TITLE_MAX).ok_or("invalid_chunks");
    match member("type") {
        Some("markdown_text") => {
            let text = member("text").ok_or("invalid_chunks")?;
            if text.chars().count() > MARKDOWN_MAX { Err("msg_too_long") } else { Ok(text) }
        }
        Some("task_update") => {
            title()?;
            member("id").map(|_| "").ok_or("invalid_chunks")
        }
        Some("plan_update") => title().map(|_| ""),
        Some("blocks") => Ok(""),
        _ => Err("invalid_chunks"),
    }
}
