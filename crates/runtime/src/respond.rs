//! Every error of a use case → the wire. No wildcard arm: a new code is a compile error here. What the log keeps
//! never reaches a person.

use konstruct_domain::MessageId;
use konstruct_protocol::{ErrorCode, ServerFrame};
use konstruct_service::Error;

/// Seconds after which to try again what failed because something of ours is away.
const RETRY_AFTER_AWAY: u64 = 5;

/// An error frame that refuses a frame; `id`: of the message it refuses.
pub(crate) fn frame(error: &Error, id: Option<MessageId>) -> ServerFrame {
    let (code, text, retry_after) = parts(error);
    ServerFrame::Error { code, error: text, id, retry_after, seq: None }
}

/// Code, sentence and seconds to wait.
pub(crate) fn parts(error: &Error) -> (ErrorCode, String, Option<u64>) {
    match error {
        Error::Refused(refusal) => (refusal.code, refusal.text.clone(), refusal.retry_after),
        Error::Away(why) => {
            tracing::error!(%why, "something we need is away");
            let text = "We cannot handle this at the moment: please try again.".to_owned();
            (ErrorCode::Internal, text, Some(RETRY_AFTER_AWAY))
        }
        Error::Bug(why) => {
            tracing::error!(%why, "a bug");
            (ErrorCode::Internal, "Something went wrong on our side.".to_owned(), None)
        }
    }
}

/// The HTTP status of a code.
pub(crate) const fn status(code: ErrorCode, retryable: bool) -> u16 {
    match code {
        ErrorCode::InvalidJson | ErrorCode::InvalidMessage | ErrorCode::UnknownType => 400,
        ErrorCode::Unauthenticated | ErrorCode::AuthFailed | ErrorCode::TokenExpired => 401,
        ErrorCode::Forbidden => 403,
        ErrorCode::NotFound => 404,
        ErrorCode::MethodNotAllowed => 405,
        ErrorCode::TooLarge => 413,
        ErrorCode::RateLimited => 429,
        ErrorCode::ReplayGap => 410,
        ErrorCode::AgentUnavailable | ErrorCode::AgentFailed | ErrorCode::BudgetSpent => 502,
        ErrorCode::Internal => {
            if retryable {
                503
            } else {
                500
            }
        }
    }
}
