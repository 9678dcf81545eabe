//! Bodies of the REST endpoints (protocol.md section 3). Statuses and headers are not decided here.

use konstruct_domain::{AgentId, Channel, ConversationId, MessageId, SessionId, TenantId, UserId};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::error::ErrorCode;
use crate::event::Holder;

/// A line of `GET /conversations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are protocol.md's")]
pub struct ConversationSummary {
    #[schema(value_type = uuid::Uuid)]
    pub id: ConversationId,
    #[schema(value_type = uuid::Uuid)]
    pub tenant_id: TenantId,
    #[schema(value_type = uuid::Uuid)]
    pub agent_id: AgentId,
    pub agent_name: String,
    /// `null`: the empty session.
    #[schema(value_type = Option<String>, required = true)]
    pub session_id: Option<SessionId>,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// The beginning of the last message of either role; `null` if none.
    #[schema(required = true)]
    pub last_message_preview: Option<String>,
}

/// The answer of `POST /conversations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are protocol.md's")]
pub struct ConversationDetail {
    #[schema(value_type = uuid::Uuid)]
    pub id: ConversationId,
    #[schema(value_type = uuid::Uuid)]
    pub tenant_id: TenantId,
    #[schema(value_type = uuid::Uuid)]
    pub agent_id: AgentId,
    pub agent_name: String,
    #[schema(value_type = uuid::Uuid)]
    pub user_id: UserId,
    /// `null`: the empty session.
    #[schema(value_type = Option<String>, required = true)]
    pub session_id: Option<SessionId>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Who wrote a message of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageRole {
    /// The person.
    User,
    /// The agent, or a human in its place.
    Assistant,
}

/// A message of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are protocol.md's")]
pub struct HistoryMessage {
    #[schema(value_type = uuid::Uuid)]
    pub id: MessageId,
    pub role: MessageRole,
    pub content: String,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub in_reply_to: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<bool>,
    /// `human`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The code with which the message's turn ended without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorCode>,
}

/// The answer of `POST /conversations/{id}/messages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are protocol.md's")]
pub struct SentMessage {
    #[schema(value_type = uuid::Uuid)]
    pub id: MessageId,
    #[schema(value_type = uuid::Uuid)]
    pub conversation_id: ConversationId,
    /// With 200 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<AnswerBody>,
}

/// The answer a caller waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are protocol.md's")]
pub struct AnswerBody {
    #[schema(value_type = uuid::Uuid)]
    pub id: MessageId,
    pub content: String,
}

/// The answer of `POST /conversations/{id}/replies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are protocol.md's")]
pub struct ReplySent {
    #[schema(value_type = uuid::Uuid)]
    pub id: MessageId,
    #[schema(value_type = uuid::Uuid)]
    pub conversation_id: ConversationId,
}

/// Who has a conversation: the body and the answer of `PUT /conversations/{id}/escalation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Escalation {
    /// Who has it.
    pub status: Holder,
}

/// A line of `GET /api/portal/usage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are protocol.md's")]
pub struct UsageLine {
    #[schema(value_type = uuid::Uuid)]
    pub agent_id: AgentId,
    pub model: String,
    pub calls: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    /// As the providers count them together.
    pub total_tokens: i64,
}

/// A line of `GET /agents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are protocol.md's")]
pub struct AgentSummary {
    #[schema(value_type = uuid::Uuid)]
    pub id: AgentId,
    pub name: String,
    pub role: String,
    pub is_active: bool,
}

/// Whether a link to a channel is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelStatus {
    /// Messages come and go.
    Active,
    /// It was removed, here or on the channel; its secrets are gone.
    Removed,
}

/// A line of `GET /api/portal/channels`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are protocol.md's")]
pub struct ChannelConnection {
    pub id: uuid::Uuid,
    #[schema(value_type = String)]
    pub channel: Channel,
    pub workspace_id: String,
    pub status: ChannelStatus,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// The answer of `GET /slack/install`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InstallPage {
    /// Slack's page, where the person agrees. Good for ten minutes and once.
    pub url: String,
}

/// The answer of `POST /notices`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct NoticeSent {
    /// How many connections it was sent to.
    pub connections: usize,
}

/// Whether a dependency works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// It answered.
    Ok,
    /// It did not.
    Down,
}

/// The answer of `GET /health`, with 200 and with 503 (OPS-05).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are protocol.md's")]
pub struct Health {
    pub status: Check,
    pub checks: HealthChecks,
}

/// What was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are protocol.md's")]
pub struct HealthChecks {
    pub postgres: Check,
    pub redis: Check,
    pub queue: Check,
}

/// An error: RFC 9457 `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the code says more than a page could.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, for people.
    pub detail: String,
    /// What is wrong, for programs.
    pub code: ErrorCode,
    /// With 422: the fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<ProblemField>>,
}

/// A field that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemField {
    /// Its name.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The body of `POST /conversations`.
#[derive(Debug, ToSchema)]
#[allow(missing_docs, dead_code, reason = "describes what is parsed field by field")]
pub struct NewConversation {
    pub tenant_id: uuid::Uuid,
    pub agent_id: uuid::Uuid,
    /// 1–128 characters of `A-Z a-z 0-9 . _ - @ +`; absent: the empty session.
    pub session_id: Option<String>,
}

/// The body of `POST /conversations/{id}/messages`.
#[derive(Debug, ToSchema)]
#[allow(missing_docs, dead_code, reason = "describes what is parsed field by field")]
pub struct NewMessage {
    /// 1 to 32,000 bytes of UTF-8 after trimming, no NUL.
    pub content: String,
    /// Makes a resend harmless.
    pub id: Option<uuid::Uuid>,
}

/// The body of `POST /notices`.
#[derive(Debug, ToSchema)]
#[allow(missing_docs, dead_code, reason = "describes what is parsed field by field")]
pub struct NewNotice {
    pub tenant_id: Option<uuid::Uuid>,
    pub conversation_id: Option<uuid::Uuid>,
    /// By the rules of a message's content; its frame is at most 32 KB.
    pub text: String,
}

/// The body of `POST /conversations/{id}/replies`.
#[derive(Debug, ToSchema)]
#[allow(missing_docs, dead_code, reason = "describes what is parsed field by field")]
pub struct NewReply {
    /// 1 to 32,000 bytes of UTF-8 after trimming, no NUL.
    pub content: String,
    /// Makes a resend harmless.
    pub id: Option<uuid::Uuid>,
}
