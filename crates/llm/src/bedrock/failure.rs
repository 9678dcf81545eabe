//! Which of Bedrock's failures are worth another try. Of what AWS says in an error only its code goes on, never the
//! message, which may repeat what was sent.

use std::error::Error;

use aws_sdk_bedrockruntime::config::http::HttpResponse;
use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError as StreamError;
use aws_smithy_types::event_stream::RawMessage;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use konstruct_http::HttpError;
use konstruct_ports::ModelError;

use super::transport::Endless;
use crate::failure::{broken, fatal, is_passing, of_transport, refused, words};

/// Headers that say when to come back.
const WISHES: [&str; 4] = ["retry-after", "retry-after-ms", "date", "x-should-retry"];

/// A call that no stream answered.
pub(super) fn of_call<E>(error: &SdkError<E, HttpResponse>) -> ModelError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let SdkError::ConstructionFailure(_) = error {
        return fatal("request cannot be built");
    }
    let Some(response) = error.raw_response() else {
        return of_connection(error);
    };
    let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or_default();
    if status.is_success() {
        return broken("answer cannot be read");
    }
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).filter(|code| is_name(code));
    // 424: the model failed, not the request.
    let passes = is_passing(status)
        || status == StatusCode::FAILED_DEPENDENCY
        || matches!(code, Some("ThrottlingException" | "ModelNotReadyException" | "ModelTimeoutException"));
    refused(status, &wishes(response), &words(None, code), passes)
}

/// The error in a stream that began well.
pub(super) fn in_stream(error: &SdkError<StreamError, RawMessage>) -> ModelError {
    let Some(said) = error.as_service_error() else {
        return match error {
            SdkError::ResponseError(_) => broken("stream has an event that cannot be read"),
            _ => of_connection(error),
        };
    };
    match said {
        StreamError::ValidationException(_) => fatal("error within the stream (ValidationException)"),
        StreamError::ThrottlingException(_) => broken("error within the stream (ThrottlingException)"),
        StreamError::ModelStreamErrorException(_) => {
            broken("error within the stream (ModelStreamErrorException)")
        }
        StreamError::InternalServerException(_) => {
            broken("error within the stream (InternalServerException)")
        }
        StreamError::ServiceUnavailableException(_) => {
            broken("error within the stream (ServiceUnavailableException)")
        }
        _ => broken("error within the stream"),
    }
}

/// What our own client says of the connection, wherever the SDK has put it.
fn of_connection(error: &(dyn Error + 'static)) -> ModelError {
    let mut next = Some(error);
    while let Some(inner) = next {
        if let Some(http) = inner.downcast_ref::<HttpError>() {
            return of_transport(http);
        }
        if let Some(endless) = inner.downcast_ref::<Endless>() {
            return broken(&endless.to_string());
        }
        next = inner.source();
    }
    broken("connection failed")
}

fn wishes(response: &HttpResponse) -> HeaderMap {
    let header = |name: &'static str| {
        let value = HeaderValue::from_str(response.headers().get(name)?).ok()?;
        Some((HeaderName::from_static(name), value))
    };
    WISHES.into_iter().filter_map(header).collect()
}

/// AWS's codes are words such as `ThrottlingException`; anything else might repeat a request.
fn is_name(code: &str) -> bool {
    let short = code.len() <= 64;
    short && code.ends_with("Exception") && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
