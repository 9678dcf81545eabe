//! Frames that the server sends (protocol.md section 2.2), in both dialects. Nothing is posted from here.

use konstruct_domain::{ConversationId, MessageId, Seq, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::ErrorCode;
use crate::event::{CountedTokens, Event, Holder};

/// API Gateway: 32 KB per frame, also for posts.
pub const FRAME_BYTES_MAX: usize = 32 * 1024;

/// A dialect of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// `konstruct.portal.v1`
    #[serde(rename = "portal")]
    Portal,
    /// `konstruct.session.v1`
    #[serde(rename = "session")]
    Session,
}

impl Dialect {
    /// Its subprotocol.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Portal => "konstruct.portal.v1",
            Self::Session => "konstruct.session.v1",
        }
    }

    /// The first known one of a `Sec-WebSocket-Protocol` header.
    #[must_use]
    pub fn from_subprotocols(header: &str) -> Option<Self> {
        header.split(',').map(str::trim).find_map(|name| {
            [Self::Portal, Self::Session].into_iter().find(|dialect| dialect.subprotocol() == name)
        })
    }
}

/// How one connection sees its conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewer {
    /// Its dialect.
    pub dialect: Dialect,
    /// Whether a portal asked for telemetry.
    pub telemetry: bool,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// The session of its query; `None`: the conversation id stands for it.
    pub session_id: Option<SessionId>,
}

/// A frame with what every frame names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Envelope<'a> {
    /// Absent before the connection is authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<ConversationId>,
    /// Absent before the connection is authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(flatten)]
    frame: &'a ServerFrame,
}

/// A frame of the server. `seq` is there on those that the log numbers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are protocol.md's; each variant says what it is")]
pub enum ServerFrame {
    /// Authenticated; answers every good `auth`.
    Connection { status: ConnectionStatus, last_seq: i64 },
    /// The agent is at work.
    Typing,
    /// The message is stored and queued.
    Ack {
        #[schema(value_type = uuid::Uuid)]
        id: MessageId,
        duplicate: bool,
    },
    /// portal.v1: a piece of the answer.
    Chunk {
        text: String,
        #[schema(value_type = uuid::Uuid)]
        message_id: MessageId,
        seq: i64,
    },
    /// portal.v1: the whole answer, or a human's reply.
    Response {
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        #[serde(flatten)]
        end: AnswerEnd,
    },
    /// session.v1: a piece, the whole answer, or a human's reply.
    Assistant {
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        streaming: bool,
        #[serde(flatten)]
        end: AnswerEnd,
    },
    /// The pieces of this answer are void.
    Discard {
        #[schema(value_type = uuid::Uuid)]
        message_id: MessageId,
        seq: i64,
    },
    /// A tool was called.
    ToolCall {
        tool_call_id: String,
        tool_name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        arguments: Option<Map<String, Value>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        text_omitted: Option<bool>,
        timestamp: String,
        seq: i64,
    },
    /// A tool answered, or was not run.
    ToolResult {
        tool_call_id: String,
        tool_name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        text_omitted: Option<bool>,
        duration_ms: u64,
        timestamp: String,
        seq: i64,
    },
    /// A tool waits for a yes.
    ToolConfirm {
        tool_call_id: String,
        tool_name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        arguments: Option<Map<String, Value>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        text_omitted: Option<bool>,
        expires_at: String,
        seq: i64,
    },
    /// The model is asked.
    OpenaiCall { model: String, timestamp: String, seq: i64 },
    /// The model is done.
    OpenaiResponse {
        model: String,
        #[serde(flatten)]
        usage: CountedTokens,
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
        timestamp: String,
        seq: i64,
    },
    /// Handed to a human, or back.
    Escalation { status: Holder, seq: i64 },
    /// A message to everyone.
    Notice { text: String },
    /// Alive.
    Pong,
    /// Trouble.
    Error {
        code: ErrorCode,
        error: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<uuid::Uuid>)]
        id: Option<MessageId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<i64>,
    },
}

/// The one status of a `connection` frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionStatus {
    /// Authenticated and joined.
    Connected,
}

/// What both dialects say of an answer, in the same words.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AnswerEnd {
    /// The answer's id.
    #[schema(value_type = uuid::Uuid)]
    pub message_id: MessageId,
    /// The message it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub in_reply_to: Option<MessageId>,
    /// `human` where a human replied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The frame's number.
    pub seq: i64,
    /// `true` where the person stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<bool>,
    /// `true` where the text is too large for a frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_omitted: Option<bool>,
}

impl AnswerEnd {
    /// An end that says nothing but whose it is and where it stands.
    const fn of(message_id: MessageId, seq: i64) -> Self {
        Self { message_id, in_reply_to: None, by: None, seq, stopped: None, text_omitted: None }
    }
}

impl ServerFrame {
    /// An `error` that is not numbered.
    #[must_use]
    pub fn error(code: ErrorCode, error: impl Into<String>) -> Self {
        Self::Error { code, error: error.into(), id: None, retry_after: None, seq: None }
    }

    /// The frame as it goes over the wire; `None` for the viewer: not authenticated yet.
    #[must_use]
    pub fn to_wire(&self, viewer: Option<&Viewer>) -> String {
        let envelope = Envelope {
            conversation_id: viewer.map(|v| v.conversation_id),
            session_id: viewer.map(Viewer::session_name),
            frame: self,
        };
        // A struct of strings and numbers always serialises; an empty text would show in every test.
        serde_json::to_string(&envelope).unwrap_or_default()
    }
}

impl Viewer {
    /// The `session_id` of this connection's frames.
    #[must_use]
    pub fn session_name(&self) -> String {
        self.session_id.as_ref().map_or_else(|| self.conversation_id.to_string(), ToString::to_string)
    }

    /// The frame that shows this viewer an event; `None`: it does not see it.
    #[must_use]
    pub fn frame(&self, event: &Event, seq: Seq) -> Option<ServerFrame> {
        if event.is_telemetry() && self.dialect == Dialect::Portal && !self.telemetry {
            return None;
        }
        Some(self.show(event.clone(), seq.0))
    }

    fn show(&self, event: Event, seq: i64) -> ServerFrame {
        match event {
            Event::Piece { message_id, text } => match self.dialect {
                Dialect::Portal => ServerFrame::Chunk { text, message_id, seq },
                Dialect::Session => ServerFrame::Assistant {
                    content: Some(text),
                    streaming: true,
                    end: AnswerEnd::of(message_id, seq),
                },
            },
            Event::Answer { message_id, in_reply_to, text, stopped } => {
                let stopped = stopped.then_some(true);
                let end =
                    AnswerEnd { in_reply_to: Some(in_reply_to), stopped, ..AnswerEnd::of(message_id, seq) };
                self.whole(text, end)
            }
            Event::Reply { message_id, text } => {
                self.whole(text, AnswerEnd { by: Some("human".to_owned()), ..AnswerEnd::of(message_id, seq) })
            }
            Event::Discard { message_id } => ServerFrame::Discard { message_id, seq },
            Event::Escalation { status } => ServerFrame::Escalation { status, seq },
            Event::Failed { code, error, id } => {
                ServerFrame::Error { code, error, id: Some(id), retry_after: None, seq: Some(seq) }
            }
            Event::ToolCall { tool_call_id, tool_name, arguments, timestamp } => {
                let text_omitted = omitted(&arguments);
                ServerFrame::ToolCall { tool_call_id, tool_name, arguments, text_omitted, timestamp, seq }
            }
            Event::ToolResult { tool_call_id, tool_name, result, duration_ms, timestamp } => {
                let text_omitted = omitted(&result);
                ServerFrame::ToolResult {
                    tool_call_id,
                    tool_name,
                    result,
                    text_omitted,
                    duration_ms,
                    timestamp,
                    seq,
                }
            }
            Event::ToolConfirm { tool_call_id, tool_name, arguments, expires_at } => {
                let text_omitted = omitted(&arguments);
                ServerFrame::ToolConfirm { tool_call_id, tool_name, arguments, text_omitted, expires_at, seq }
            }
            Event::ModelCall { model, timestamp } => ServerFrame::OpenaiCall { model, timestamp, seq },
            Event::ModelResponse { model, usage, duration_ms, timestamp } => {
                ServerFrame::OpenaiResponse { model, usage, duration_ms, timestamp, seq }
            }
        }
    }

    fn whole(&self, text: Option<String>, end: AnswerEnd) -> ServerFrame {
        let end = AnswerEnd { text_omitted: omitted(&text), ..end };
        match self.dialect {
            Dialect::Portal => ServerFrame::Response { text, end },
            Dialect::Session => ServerFrame::Assistant { content: text, streaming: false, end },
        }
    }
}

fn omitted<T>(part: &Option<T>) -> Option<bool> {
    part.is_none().then_some(true)
}

/// The text of a whole answer as the log keeps it: `None` where no frame could carry it.
#[must_use]
pub fn frameable(text: &str) -> Option<String> {
    /// What a frame needs beside its text: names, ids, a session of 128 characters.
    const REST_OF_FRAME: usize = 512;
    let quoted = serde_json::to_string(text).map_or(usize::MAX, |json| json.len());
    (quoted.saturating_add(REST_OF_FRAME) <= FRAME_BYTES_MAX).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn viewer(dialect: Dialect, telemetry: bool) -> Viewer {
        let conversation_id = ConversationId(Uuid::from_u128(1));
        Viewer { dialect, telemetry, conversation_id, session_id: "s1".parse().ok() }
    }

    fn wire(dialect: Dialect, event: &Event) -> String {
        let viewer = viewer(dialect, true);
        viewer.frame(event, Seq(7)).expect("seen").to_wire(Some(&viewer))
    }

    /// proves WS-03
    #[test]
    fn each_dialect_has_its_own_words_for_an_answer() {
        let message_id = MessageId(Uuid::from_u128(2));
        let piece = Event::Piece { message_id, text: "hé".into() };
        assert_eq!(
            wire(Dialect::Portal, &piece),
            r#"{"conversation_id":"00000000-0000-0000-0000-000000000001","session_id":"s1","type":"chunk","text":"hé","message_id":"00000000-0000-0000-0000-000000000002","seq":7}"#
        );
        assert!(
            wire(Dialect::Session, &piece).contains(r#""type":"assistant","content":"hé","streaming":true"#)
        );
        let in_reply_to = MessageId(Uuid::from_u128(3));
        let whole = Event::Answer { message_id, in_reply_to, text: Some("x".into()), stopped: false };
        assert!(wire(Dialect::Portal, &whole).contains(r#""type":"response","text":"x""#));
        assert!(!wire(Dialect::Portal, &whole).contains("stopped"));
        let omitted = Event::Answer { message_id, in_reply_to, text: None, stopped: true };
        assert!(wire(Dialect::Session, &omitted).contains(r#""stopped":true,"text_omitted":true"#));
    }

    /// proves WS-03
    #[test]
    fn a_portal_sees_telemetry_only_when_it_asked_for_it() {
        let event = Event::ModelCall { model: "m".into(), timestamp: "t".into() };
        assert!(viewer(Dialect::Portal, false).frame(&event, Seq(1)).is_none());
        assert!(viewer(Dialect::Portal, true).frame(&event, Seq(1)).is_some());
        assert!(viewer(Dialect::Session, false).frame(&event, Seq(1)).is_some());
    }

    #[test]
    fn subprotocols_are_chosen_with_or_without_blanks() {
        assert_eq!(Dialect::from_subprotocols("x, konstruct.session.v1"), Some(Dialect::Session));
        assert_eq!(
            Dialect::from_subprotocols("konstruct.portal.v1,konstruct.session.v1"),
            Some(Dialect::Portal)
        );
        assert_eq!(Dialect::from_subprotocols("konstruct.portal.v2"), None);
    }

    #[test]
    fn a_text_that_escapes_beyond_a_frame_is_left_out() {
        assert!(frameable(&"x".repeat(31_000)).is_some());
        assert!(frameable(&"\u{1}".repeat(6_000)).is_none());
    }

    #[test]
    fn before_authentication_no_frame_names_a_conversation() {
        assert_eq!(ServerFrame::Pong.to_wire(None), r#"{"type":"pong"}"#);
    }
}
