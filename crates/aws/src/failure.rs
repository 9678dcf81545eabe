//! What to say of a failed call: its kind, status and code, never AWS's message, which may repeat what was sent.

use std::error::Error;
use std::io;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use hyper_util::client::legacy;

/// The status, where AWS answered at all.
pub(crate) fn status<E>(error: &SdkError<E, Response>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// For a log or an error's text.
pub(crate) fn words<E: ProvideErrorMetadata>(error: &SdkError<E, Response>) -> String {
    let kind = match error {
        SdkError::ConstructionFailure(_) => "request cannot be built",
        SdkError::TimeoutError(_) => "no answer in time",
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "no connection in time",
        SdkError::DispatchFailure(_) => "connection failed",
        SdkError::ResponseError(_) => "answer not understood",
        SdkError::ServiceError(_) => "refused",
        _ => "failed",
    };
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).filter(|code| is_name(code));
    match (status(error), code) {
        (Some(status), Some(code)) => format!("{kind}: {status} {code}"),
        (Some(status), None) => format!("{kind}: {status}"),
        (None, _) => kind.to_owned(),
    }
}

/// Whether the other side went away while the connection was being set up, as it does when a Lambda freezes in the
/// middle of a handshake: then nothing was sent.
pub(crate) fn cut_while_connecting<E>(error: &SdkError<E, Response>) -> bool {
    let SdkError::DispatchFailure(failure) = error else {
        return false;
    };
    let mut connecting = false;
    let mut next = failure.as_connector_error().and_then(Error::source);
    while let Some(inner) = next {
        connecting |= inner.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect);
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            if connecting && went_away(io.kind()) {
                return true;
            }
            // An io::Error hides what it wraps from `source()`.
            next = io.get_ref().map(|wrapped| -> &(dyn Error + 'static) { wrapped });
        } else {
            next = inner.source();
        }
    }
    false
}

fn went_away(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
}

/// AWS's codes are words such as `AWS.SimpleQueueService.NonExistentQueue`; anything else might repeat a request.
fn is_name(code: &str) -> bool {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"._#:/-".contains(&byte);
    (1..=80).contains(&code.len()) && code.bytes().all(harmless)
}
