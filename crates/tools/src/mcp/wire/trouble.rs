//! What goes wrong on the wire, and what it says of the call. It holds nothing that was sent or received, but a status.

use http::StatusCode;
use konstruct_http::HttpError;
use konstruct_ports::ToolError;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The guarded client's error.
    #[error("{0}")]
    Http(HttpError),
    /// No answer before the deadline.
    #[error("it did not answer in time")]
    TooLate,
    /// A redirect, which is not followed.
    #[error("it answers with a redirect (status {})", .0.as_u16())]
    Redirect(StatusCode),
    /// Another status that is no success.
    #[error("it answers with status {}", .0.as_u16())]
    Status(StatusCode),
    /// A body that is neither JSON nor events.
    #[error("its answer is neither JSON nor an event stream")]
    ContentType,
    /// JSON that is no message.
    #[error("its answer is no JSON-RPC message")]
    Unreadable,
    /// An answer with another request's id.
    #[error("its answer has the id of another request")]
    WrongId,
    /// Its messages cannot be made a request, as for a URL that is none.
    #[error("its URL is not valid")]
    Unfit,
}

impl Trouble {
    /// Whether the message surely did not go out.
    pub const fn was_not_sent(&self) -> bool {
        match self {
            Self::Http(error) => match error {
                HttpError::Address(_)
                | HttpError::Tls(_)
                | HttpError::Connect { .. }
                | HttpError::ConnectTimeout { .. } => true,
                HttpError::Broken { .. } | HttpError::TooLarge { .. } => false,
            },
            Self::Unfit => true,
            Self::TooLate
            | Self::Redirect(_)
            | Self::Status(_)
            | Self::ContentType
            | Self::Unreadable
            | Self::WrongId => false,
        }
    }

    /// The error of a call: one that was sent may have run.
    pub fn as_error(&self, was_asked: bool) -> ToolError {
        match self {
            Self::Http(HttpError::Address(why)) if !was_asked => ToolError::NotAllowed((*why).to_owned()),
            Self::Unfit if !was_asked => ToolError::NotAllowed(self.to_string()),
            _ if !was_asked => ToolError::Unreachable(self.to_string()),
            Self::TooLate => ToolError::TimedOut,
            _ => ToolError::Broken(self.to_string()),
        }
    }
}
