//! The call as the SDK builds it. It holds nothing that is not in the request.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::error::BuildError;
use aws_sdk_bedrockruntime::operation::converse_stream::builders::ConverseStreamFluentBuilder;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ConversationRole, InferenceConfiguration, Message, SystemContentBlock, Tool,
    ToolConfiguration, ToolInputSchema, ToolResultBlock, ToolResultContentBlock, ToolSpecification,
    ToolUseBlock,
};
use aws_smithy_types::{Document, Number};
use konstruct_ports::ModelRequest;
use serde_json::{Map, Value};

use crate::replay;
use crate::sides::{Part, Sides, Spoken};

/// The call, ready to be sent.
pub(super) fn call(
    client: &Client,
    request: &ModelRequest,
) -> Result<ConverseStreamFluentBuilder, BuildError> {
    let Sides { system, spoken } = Sides::of(&request.messages);
    let messages = spoken.into_iter().map(message).collect::<Result<Vec<_>, _>>()?;
    let system: Vec<_> = system.into_iter().map(|text| SystemContentBlock::Text(text.to_owned())).collect();
    let tokens_max = i32::try_from(request.tokens_max).unwrap_or(i32::MAX);
    Ok(client
        .converse_stream()
        .model_id(&request.route.model)
        .set_messages(Some(messages))
        .set_system((!system.is_empty()).then_some(system))
        .inference_config(InferenceConfiguration::builder().max_tokens(tokens_max).build())
        .set_tool_config(tools(request)?))
}

fn message(spoken: Spoken<'_>) -> Result<Message, BuildError> {
    let role = if spoken.by_model { ConversationRole::Assistant } else { ConversationRole::User };
    let content = spoken.parts.into_iter().map(block).collect::<Result<Vec<_>, _>>()?;
    Message::builder().role(role).set_content(Some(content)).build()
}

fn block(part: Part<'_>) -> Result<ContentBlock, BuildError> {
    match part {
        Part::Text(text) => Ok(ContentBlock::Text(text.to_owned())),
        Part::Call(call) => {
            let input = replay::object(&call.arguments).map(object).unwrap_or_default();
            let called = ToolUseBlock::builder()
                .tool_use_id(replay::plain_id(&call.id))
                .name(replay::name(&call.name))
                .input(Document::Object(input));
            called.build().map(ContentBlock::ToolUse)
        }
        Part::Result { call_id, result } => {
            // Blank text is refused.
            let text = if result.trim().is_empty() { "(empty)" } else { result };
            let result = ToolResultBlock::builder()
                .tool_use_id(replay::plain_id(call_id))
                .content(ToolResultContentBlock::Text(text.to_owned()));
            result.build().map(ContentBlock::ToolResult)
        }
    }
}

/// The tools, or the names of those that were withdrawn: Converse has no word that forbids to call them.
fn tools(request: &ModelRequest) -> Result<Option<ToolConfiguration>, BuildError> {
    let mut tools = Vec::new();
    for tool in &request.tools {
        let described = Some(tool.description.clone()).filter(|description| !description.is_empty());
        tools.push(specification(&tool.name, described, tool.parameters.clone())?);
    }
    for name in replay::withdrawn(request) {
        let any = Map::from_iter([("type".to_owned(), Value::from("object"))]);
        tools.push(specification(&name, Some("No longer available.".to_owned()), any)?);
    }
    if tools.is_empty() {
        return Ok(None);
    }
    ToolConfiguration::builder().set_tools(Some(tools)).build().map(Some)
}

fn specification(
    name: &str,
    description: Option<String>,
    parameters: Map<String, Value>,
) -> Result<Tool, BuildError> {
    let schema = ToolInputSchema::Json(Document::Object(object(parameters)));
    let tool = ToolSpecification::builder().name(name).set_description(description).input_schema(schema);
    tool.build().map(Tool::ToolSpec)
}

fn object(fields: Map<String, Value>) -> std::collections::HashMap<String, Document> {
    fields.into_iter().map(|(name, value)| (name, document(value))).collect()
}

/// JSON as the SDK holds it. It is as deep as what serde_json parsed: 128 levels at most.
fn document(value: Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(value) => Document::Bool(value),
        Value::String(text) => Document::String(text),
        Value::Array(values) => Document::Array(values.into_iter().map(document).collect()),
        Value::Object(fields) => Document::Object(object(fields)),
        Value::Number(number) => Document::Number(if let Some(whole) = number.as_u64() {
            Number::PosInt(whole)
        } else if let Some(whole) = number.as_i64() {
            Number::NegInt(whole)
        } else {
            Number::Float(number.as_f64().unwrap_or_default())
        }),
    }
}
