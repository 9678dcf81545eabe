//! What can go wrong on the way. An error names the host and the kind of failure, and never a URL's path, query
//! or user information, a header or a body.

use std::error::Error;
use std::io;

/// A request that got no whole answer. Whatever status a server answers is no error here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The URL is none this client calls, or leads to an address that it does not. Nothing was sent.
    #[error("address refused: {0}")]
    Address(&'static str),
    /// The roots of trust could not be loaded, or the TLS library does not start. Nothing was sent.
    #[error("TLS cannot be set up: {0}")]
    Tls(&'static str),
    /// No connection came to be. Nothing was sent.
    #[error("no connection to {host}: {cause}")]
    Connect {
        /// Where to.
        host: String,
        /// For the log.
        cause: String,
    },
    /// No connection came to be within the configured time; name look-up and TLS count. Nothing was sent.
    #[error("no connection to {host}: it took too long")]
    ConnectTimeout {
        /// Where to.
        host: String,
    },
    /// The connection broke; the request may have been sent, and may have been served.
    #[error("connection to {host} broke: {cause}")]
    Broken {
        /// Where to.
        host: String,
        /// For the log.
        cause: String,
    },
    /// A body that was to be collected is larger than allowed.
    #[error("body is larger than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
}

impl HttpError {
    /// Whether the same request may succeed later. Whether it may be repeated is the caller's to know.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::ConnectTimeout { .. } | Self::Broken { .. } => true,
            Self::Address(_) | Self::Tls(_) | Self::TooLarge { .. } => false,
        }
    }
}

/// The innermost cause that says something: an I/O error's kind, a TLS alert, or hyper's own words. None of them
/// holds what was sent.
pub(crate) fn cause_of(error: &(dyn Error + 'static)) -> String {
    let mut said = None;
    let mut next = Some(error);
    while let Some(inner) = next {
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return format!("TLS: {tls}");
        }
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            said = Some(io.kind().to_string());
            // An io::Error hides what it wraps from `source()`.
            next = io.get_ref().map(|wrapped| -> &(dyn Error + 'static) { wrapped });
            continue;
        }
        if let Some(own) = inner.downcast_ref::<hyper::Error>() {
            said = Some(hyper_words(own));
        }
        next = inner.source();
    }
    said.unwrap_or_else(|| "unknown".to_owned())
}

/// Whether the innermost I/O error says that the other side went away (as it does after a Lambda froze in the
/// middle of a handshake).
pub(crate) fn was_cut(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(inner) = next {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            use io::ErrorKind::{
                BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
            };
            let kind = io.kind();
            if matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
            {
                return true;
            }
            next = io.get_ref().map(|wrapped| -> &(dyn Error + 'static) { wrapped });
            continue;
        }
        next = inner.source();
    }
    false
}

fn hyper_words(error: &hyper::Error) -> String {
    let words = if error.is_incomplete_message() {
        "closed in the middle of a message"
    } else if error.is_canceled() {
        "closed before the request was sent"
    } else if error.is_parse() {
        "not HTTP"
    } else if error.is_timeout() {
        "timed out"
    } else if error.is_body_write_aborted() {
        "request cut"
    } else {
        "closed"
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_the_innermost_io_error() {
        let inner = io::Error::new(io::ErrorKind::ConnectionReset, "secret words");
        let outer = io::Error::other(inner);
        assert_eq!(cause_of(&outer), "connection reset");
        assert!(was_cut(&outer));
    }

    #[test]
    fn a_refused_connection_was_not_cut() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(cause_of(&refused), "connection refused");
        assert!(!was_cut(&refused));
    }

    #[test]
    fn what_was_not_sent_for_a_reason_of_ours_is_not_tried_again() {
        assert!(!HttpError::Address("x").is_retryable());
        assert!(!HttpError::TooLarge { limit: 1 }.is_retryable());
        assert!(HttpError::ConnectTimeout { host: "a".to_owned() }.is_retryable());
    }
}
