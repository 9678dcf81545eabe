//! The request's body. It holds nothing that is not in the request, so that equal requests are equal bytes
//! (providers cache prompts by prefix).

use konstruct_ports::{ModelRequest, PromptMessage, PromptRole};
use serde::Serialize;

/// What the limit on the answer is called. Compatible servers know `max_tokens` only; OpenAI's reasoning models
/// refuse it (contracts.md 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitName {
    /// `max_tokens`.
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

impl<'a> From<&'a PromptMessage> for Message<'a> {
    fn from(message: &'a PromptMessage) -> Self {
        let role = match message.role {
            PromptRole::System => "system",
            PromptRole::User => "user",
            PromptRole::Assistant => "assistant",
        };
        Self { role, content: &message.content }
    }
}

/// The JSON body.
pub(super) fn body(request: &ModelRequest, name: LimitName) -> Vec<u8> {
    let limit = |wanted| (name == wanted).then_some(request.tokens_max);
    let body = Body {
        model: &request.model,
        messages: request.messages.iter().map(Message::from).collect(),
        max_tokens: limit(LimitName::MaxTokens),
        max_completion_tokens: limit(LimitName::MaxCompletionTokens),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
    };
    // Strings and numbers in a Vec: writing them cannot fail.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_request_streams_with_usage_and_one_limit() {
        let message = |role, content: &str| PromptMessage { role, content: content.to_owned() };
        let request = ModelRequest {
            model: "m".to_owned(),
            messages: vec![
                message(PromptRole::System, "be kind"),
                message(PromptRole::User, "hi \"you\""),
                message(PromptRole::Assistant, "hello"),
            ],
            tokens_max: 7,
        };
        let sent: Value = serde_json::from_slice(&body(&request, LimitName::MaxTokens)).unwrap();
        assert_eq!(
            sent,
            json!({"model": "m", "max_tokens": 7, "stream": true, "stream_options": {"include_usage": true},
                "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi \"you\""},
                    {"role": "assistant", "content": "hello"}]})
        );
        let sent: Value = serde_json::from_slice(&body(&request, LimitName::MaxCompletionTokens)).unwrap();
        assert_eq!((sent.get("max_tokens"), &sent["max_completion_tokens"]), (None, &json!(7)));
    }
}
