//! Frames that a client sends (protocol.md section 2.1), parsed into types. Whether they are allowed is not
//! decided here.

use konstruct_domain::{
    AgentId, Content, ContentError, ConversationId, MessageId, SessionId, TenantId, UserId,
};

use crate::error::ErrorCode;
use crate::fields::{BadJson, FieldError, Fields};

/// A frame of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// `auth`
    Auth(Auth),
    /// `message`
    Message(ClientMessage),
    /// `cancel`
    Cancel,
    /// `resume`
    Resume {
        /// Last `seq` the client saw.
        after: i64,
    },
    /// `tool_confirm`
    ToolConfirm {
        /// The call.
        tool_call_id: String,
        /// Yes or no.
        approve: bool,
    },
    /// `ping`
    Ping,
}

/// The `auth` frame. `Debug` shows no token.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// The JWT.
    pub token: String,
    /// The tenant, where a platform admin names one; `tenantId` is its older name.
    pub tenant_id: Option<TenantId>,
    /// The agent to talk to.
    pub agent_id: Option<AgentId>,
    /// The conversation to join.
    pub conversation_id: Option<ConversationId>,
    /// Last `seq` the client saw.
    pub last_seq: Option<i64>,
    /// Whether a portal wants telemetry frames.
    pub telemetry: bool,
    /// The older `userId`: must agree with the token.
    pub user_id: Option<UserId>,
    /// The older `role`: must agree with the token.
    pub role: Option<String>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("tenant_id", &self.tenant_id).finish_non_exhaustive()
    }
}

/// The `message` frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientMessage {
    /// The client's id, which makes a resend harmless.
    pub id: Option<MessageId>,
    /// The text.
    pub content: Content,
    /// If present, must be the connection's own.
    pub conversation_id: Option<ConversationId>,
    /// If present, must be the connection's own.
    pub session_id: Option<SessionId>,
}

/// A frame that is refused, and what the client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FrameError {
    /// The code.
    pub code: ErrorCode,
    /// One plain English sentence.
    pub text: String,
    /// The id of the message that is refused, if it had a good one.
    pub id: Option<MessageId>,
}

impl FrameError {
    fn unknown(text: &str) -> Self {
        Self { code: ErrorCode::UnknownType, text: text.to_owned(), id: None }
    }
}

impl From<FieldError> for FrameError {
    fn from(error: FieldError) -> Self {
        let code = if error.too_large { ErrorCode::TooLarge } else { ErrorCode::InvalidMessage };
        Self { code, text: format!("The field {error}."), id: None }
    }
}

impl ClientFrame {
    /// Parses a frame. Unknown extra fields are ignored.
    ///
    /// # Errors
    /// `invalid_json`, `unknown_type`, `invalid_message` or `too_large`, in this order.
    pub fn parse(text: &str) -> Result<Self, FrameError> {
        let fields = Fields::parse(text).map_err(|bad| match bad {
            BadJson::NotJson => FrameError {
                code: ErrorCode::InvalidJson,
                text: "The frame is not JSON.".to_owned(),
                id: None,
            },
            BadJson::NotAnObject => FrameError::unknown("The frame is not a JSON object with a type."),
        })?;
        let Ok(kind) = fields.required::<String>("type", "a string") else {
            return Err(FrameError::unknown("The frame has no type that is a string."));
        };
        match kind.as_str() {
            "auth" => Ok(Self::Auth(auth(&fields)?)),
            "message" => message(&fields).map(Self::Message),
            "cancel" => Ok(Self::Cancel),
            "resume" => Ok(Self::Resume {
                after: seq(&fields, "after")?.ok_or(FieldError::new("after", "is missing"))?,
            }),
            "tool_confirm" => Ok(Self::ToolConfirm {
                tool_call_id: call_id(&fields)?,
                approve: fields.required("approve", "true or false")?,
            }),
            "ping" => Ok(Self::Ping),
            _ => Err(FrameError::unknown("The frame has a type that is not known.")),
        }
    }
}

fn auth(fields: &Fields<'_>) -> Result<Auth, FieldError> {
    let tenant_id = fields.parsed("tenant_id")?;
    let older_tenant_id = fields.parsed("tenantId")?;
    if tenant_id.is_some() && older_tenant_id.is_some() && tenant_id != older_tenant_id {
        return Err(FieldError::new("tenantId", "disagrees with tenant_id"));
    }
    Ok(Auth {
        token: fields.required("token", "a string")?,
        tenant_id: tenant_id.or(older_tenant_id),
        agent_id: fields.parsed("agent_id")?,
        conversation_id: fields.parsed("conversation_id")?,
        last_seq: seq(fields, "last_seq")?,
        telemetry: fields.optional("telemetry", "true or false")?.unwrap_or(false),
        user_id: fields.parsed("userId")?,
        role: fields.optional("role", "a string")?,
    })
}

fn seq(fields: &Fields<'_>, field: &'static str) -> Result<Option<i64>, FieldError> {
    match fields.optional::<i64>(field, "a whole number from 0")? {
        Some(n) if n < 0 => Err(FieldError::new(field, "must be a whole number from 0")),
        other => Ok(other),
    }
}

fn call_id(fields: &Fields<'_>) -> Result<String, FieldError> {
    let id: String = fields.required("tool_call_id", "a string")?;
    if id.is_empty() || id.contains('\0') {
        return Err(FieldError::new("tool_call_id", "must be the id of a call"));
    }
    Ok(id)
}

fn message(fields: &Fields<'_>) -> Result<ClientMessage, FrameError> {
    let id = fields.parsed::<MessageId>("id")?;
    let named = |error: FieldError| FrameError { id, ..error.into() };
    Ok(ClientMessage {
        id,
        content: content(fields, &["content", "text"]).map_err(named)?,
        conversation_id: fields.parsed("conversation_id").map_err(named)?,
        session_id: fields.parsed("session_id").map_err(named)?,
    })
}

/// A text by the rules of `content`, under the first of these names that is there.
///
/// # Errors
/// It is missing, no string, empty, too large or holds a NUL.
pub fn content(fields: &Fields<'_>, names: &[&'static str]) -> Result<Content, FieldError> {
    let first = names.first().copied().unwrap_or("content");
    let name = names.iter().copied().find(|name| fields.has(name)).unwrap_or(first);
    let text: String = fields.required(name, "a string")?;
    Content::parse(&text).map_err(|why| FieldError {
        too_large: why == ContentError::TooLarge,
        ..FieldError::new(name, why.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(text: &str) -> ErrorCode {
        ClientFrame::parse(text).expect_err(text).code
    }

    /// proves WS-04
    #[test]
    fn a_bad_frame_gets_the_code_that_says_what_is_wrong() {
        let id = "0191e1a2-7b3c-7d4e-8f50-617283940a1b";
        assert_eq!(code("{"), ErrorCode::InvalidJson);
        assert_eq!(code("[]"), ErrorCode::UnknownType);
        assert_eq!(code(r#"{"type":7}"#), ErrorCode::UnknownType);
        assert_eq!(code(r#"{"type":"nonsense"}"#), ErrorCode::UnknownType);
        assert_eq!(code(r#"{"type":"message"}"#), ErrorCode::InvalidMessage);
        assert_eq!(code(r#"{"type":"message","content":" \n "}"#), ErrorCode::InvalidMessage);
        assert_eq!(code(r#"{"type":"message","content":"a\u0000b"}"#), ErrorCode::InvalidMessage);
        assert_eq!(code(r#"{"type":"message","content":"\ud800"}"#), ErrorCode::InvalidMessage);
        assert_eq!(code(r#"{"type":"resume","after":-1}"#), ErrorCode::InvalidMessage);
        assert_eq!(code(r#"{"type":"resume","after":1e400}"#), ErrorCode::InvalidMessage);
        assert_eq!(code(r#"{"type":"auth","token":"x","telemetry":1}"#), ErrorCode::InvalidMessage);
        let large = format!(r#"{{"type":"message","id":"{id}","content":"{}"}}"#, "x".repeat(32_001));
        let error = ClientFrame::parse(&large).expect_err("too large");
        assert_eq!((error.code, error.id.map(|i| i.to_string())), (ErrorCode::TooLarge, Some(id.to_owned())));
    }

    #[test]
    fn text_is_an_alias_of_content_and_unknown_fields_are_ignored() {
        let frame = ClientFrame::parse(r#"{"type":"message","text":" hi ","colour":[[1]]}"#);
        let Ok(ClientFrame::Message(message)) = frame else { panic!("{frame:?}") };
        assert_eq!(message.content.as_str(), "hi");
    }

    proptest! {
        /// proves WS-04
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = ClientFrame::parse(&text);
        }

        #[test]
        fn no_json_makes_the_parser_panic(kind in "auth|message|resume|ping|cancel", key in "[a-z_]{1,15}", value in "\\PC*") {
            let frame = serde_json::json!({"type": kind, key: value}).to_string();
            let _ = ClientFrame::parse(&frame);
        }
    }
}
