//! What a client may send, for the description only: `request` parses these frames field by field. Nothing is
//! ever made of these types, and a test compares them with the parser.

use utoipa::ToSchema;
use uuid::Uuid;

/// Says who the connection belongs to and settles its conversation; on a live connection it renews the token.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is parsed field by field")]
pub(super) struct Auth {
    /// The JWT.
    token: String,
    /// The tenant. Only a platform admin's token may lack one; where the token has one, they agree.
    tenant_id: Option<Uuid>,
    /// The agent to talk to where no conversation is named; absent: the tenant's default agent.
    agent_id: Option<Uuid>,
    /// The conversation to join; where the query names one too, they agree.
    conversation_id: Option<Uuid>,
    /// The last `seq` the client saw: every later frame is sent again, in order, before any new one.
    #[schema(minimum = 0)]
    last_seq: Option<i64>,
    /// portal.v1: whether tool and model frames are wanted; absent: no.
    telemetry: Option<bool>,
    /// Older name of the token's `sub`: agrees with it.
    #[schema(rename = "userId")]
    user_id: Option<Uuid>,
    /// Older field: agrees with the token's `role`.
    role: Option<String>,
    /// Older name of `tenant_id`.
    #[schema(rename = "tenantId")]
    older_tenant_id: Option<Uuid>,
}

/// A person's message. `content` or its alias `text` must be there; `content` counts where both are.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is parsed field by field")]
pub(super) struct Message {
    /// 1 to 32,000 bytes of UTF-8 once white space around it is trimmed; no NUL.
    #[schema(min_length = 1)]
    content: Option<String>,
    /// Alias of `content`.
    #[schema(min_length = 1)]
    text: Option<String>,
    /// The client's id of the message. With one, the message is acknowledged, and sending it again is harmless.
    id: Option<Uuid>,
    /// Must be the connection's own.
    conversation_id: Option<Uuid>,
    /// Must be the connection's own.
    #[schema(pattern = "^[A-Za-z0-9._@+-]{1,128}$")]
    session_id: Option<String>,
}

/// Stops the answer being written; what was shown of it stays. With nothing being written it does nothing.
#[derive(ToSchema)]
pub(super) struct Cancel {}

/// Starts over behind a `seq`: once per connection, before its first new numbered frame.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is parsed field by field")]
pub(super) struct Resume {
    /// The last `seq` the client saw; 0: none.
    #[schema(minimum = 0)]
    after: i64,
}

/// Says yes or no to a call that waits; the first decision counts.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is parsed field by field")]
pub(super) struct ToolConfirm {
    /// Of the `tool_confirm` frame that asked.
    #[schema(min_length = 1)]
    tool_call_id: String,
    /// Yes or no.
    approve: bool,
}

/// Asks for a `pong`; passes always, also before `auth` and with an expired token.
#[derive(ToSchema)]
pub(super) struct Ping {}
