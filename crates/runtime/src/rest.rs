//! What REST functions share: the caller, parameters, bodies, pages. Each function hosts one route; every path that
//! has none goes to `rest-default`.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use konstruct_domain::{Principal, TenantId};
use konstruct_ports::{Clock as _, Ids as _};
use konstruct_protocol::{BadJson, ErrorCode, Fields, TraceParent};
use konstruct_service::Error;
use konstruct_service::patience::{Patience, REST};
use lambda_http::Adapter;
use lambda_runtime::{Context, Runtime};

use crate::auth::Verifier;
use crate::origin::{Origin, guard};
use crate::problem::ProblemAnswer;
use crate::start::StartError;
use crate::system::{SystemClock, SystemIds};
use crate::telemetry;
use crate::ws_auth::refused;

/// The base path (protocol.md section 3).
pub(crate) const BASE: &str = "/api/portal/chat";
/// Largest body, bytes.
const BODY_BYTES_MAX: usize = 128 * 1024;
/// Items of a page unless the caller says otherwise, and at most.
const LIMIT_DEFAULT: u16 = 50;
const LIMIT_MAX: u16 = 200;

/// Runs a function's one route until the environment ends.
pub(crate) async fn serve(router: Router) -> Result<(), StartError> {
    let router = surrounded(router, Origin::of_environment()?);
    telemetry::run(Runtime::new(Adapter::from(router))).await
}

/// The route behind what every request passes first.
fn surrounded(router: Router, origin: Origin) -> Router {
    router
        .method_not_allowed_fallback(|| async { ProblemAnswer::method_not_allowed("") })
        .layer(middleware::from_fn_with_state(origin, guard))
        .layer(middleware::from_fn(request_id))
}

/// `X-Request-Id` on every answer: Lambda's id of the request, which the log has too.
async fn request_id(request: Request, next: Next) -> Response {
    let context = request.extensions().get::<Context>();
    let id = context.map_or_else(|| SystemIds.new_id().to_string(), |context| context.request_id.clone());
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
    }
    response
}

/// State of a function whose callers have tokens.
pub(crate) trait Verifies: Send + Sync + 'static {
    fn verifier(&self) -> &Verifier;
}

/// The caller, verified. It is the first thing a handler looks at.
pub(crate) struct Caller(pub(crate) Principal);

impl<S: Verifies> FromRequestParts<Arc<S>> for Caller {
    type Rejection = ProblemAnswer;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<S>) -> Result<Self, ProblemAnswer> {
        let sent = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = sent.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            let text = "Send a token: Authorization: Bearer ….";
            return Err(ProblemAnswer::new(401, ErrorCode::Unauthenticated, text));
        };
        let now = SystemClock.now().unix_timestamp();
        match state.verifier().verify(token, now).await {
            Ok(principal) => Ok(Self(principal)),
            Err(error) => match refused(&error) {
                Error::Refused(refusal) => Err(ProblemAnswer::new(401, refusal.code, refusal.text)),
                other => Err(other.into()),
            },
        }
    }
}

/// The trace of the request.
pub(crate) struct Traced(pub(crate) TraceParent);

impl<S: Send + Sync> FromRequestParts<S> for Traced {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let context = parts.extensions.get::<Context>().cloned().unwrap_or_default();
        Ok(Self(telemetry::place(&context)))
    }
}

/// The query, decoded. Unknown names are ignored; a known one that comes twice is refused.
pub(crate) struct Query(HashMap<String, Vec<String>>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ProblemAnswer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ProblemAnswer> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| ProblemAnswer::parameter("query", "is not one"))?;
        let mut all: HashMap<String, Vec<String>> = HashMap::new();
        for (name, value) in pairs.0 {
            all.entry(name).or_default().push(value);
        }
        Ok(Self(all))
    }
}

impl Query {
    /// A parameter that may be absent.
    pub(crate) fn optional<T>(&self, name: &str) -> Result<Option<T>, ProblemAnswer>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|why: T::Err| ProblemAnswer::parameter(name, why))
    }

    /// The text of a parameter.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, ProblemAnswer> {
        match self.0.get(name).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([one]) => Ok(Some(one)),
            Some(_) => Err(ProblemAnswer::parameter(name, "comes more than once")),
        }
    }

    /// A whole number within bounds: outside them it is refused, never clamped.
    pub(crate) fn number(&self, name: &str, from: u16, to: u16, default: u16) -> Result<u16, ProblemAnswer> {
        let Some(text) = self.text(name)? else { return Ok(default) };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u16>() {
            Ok(number) if digits && (from..=to).contains(&number) => Ok(number),
            _ => Err(ProblemAnswer::parameter(name, format!("must be a whole number from {from} to {to}"))),
        }
    }

    /// The tenant of a call: the parameter `tenant_id`, else the token's.
    pub(crate) fn tenant(&self, caller: &Principal) -> Result<TenantId, ProblemAnswer> {
        let named = self.optional("tenant_id")?.or(caller.tenant_id);
        telemetry::about(named, None);
        named.ok_or_else(|| ProblemAnswer::parameter("tenant_id", "is missing"))
    }

    /// Items of a page.
    pub(crate) fn limit(&self) -> Result<u16, ProblemAnswer> {
        self.number("limit", 1, LIMIT_MAX, LIMIT_DEFAULT)
    }

    /// `Link` to the next page: this query with another value of one parameter.
    pub(crate) fn next_link(&self, path: &str, name: &str, value: &str) -> Option<HeaderValue> {
        let others = self.0.iter().filter(|(known, _)| *known != name);
        let mut pairs: Vec<(&str, &str)> =
            others.flat_map(|(k, all)| all.iter().map(|v| (k.as_str(), v.as_str()))).collect();
        pairs.push((name, value));
        pairs.sort_unstable();
        let query: Vec<String> = pairs.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
        HeaderValue::from_str(&format!("<{path}?{}>; rel=\"next\"", query.join("&"))).ok()
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986).
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// The id in a path.
pub(crate) struct PathId<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for PathId<T>
where
    S: Send + Sync,
    T: FromStr,
    T::Err: std::fmt::Display,
{
    type Rejection = ProblemAnswer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ProblemAnswer> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ProblemAnswer::parameter("id", "is not UTF-8"))?;
        text.parse().map(Self).map_err(|why: T::Err| ProblemAnswer::parameter("id", why))
    }
}

/// A JSON body, read and checked for its size (413), type (415) and form (400, 422).
pub(crate) async fn json_body(request: Request<Body>) -> Result<String, ProblemAnswer> {
    let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = declared.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json");
    let bytes: Bytes = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX)
        .await
        .map_err(|_| ProblemAnswer::new(413, ErrorCode::TooLarge, "The body is larger than 128 KiB."))?;
    if !is_json {
        let text = "The body must be JSON: Content-Type: application/json.";
        return Err(ProblemAnswer::new(415, ErrorCode::InvalidMessage, text));
    }
    String::from_utf8(bytes.into())
        .map_err(|_| ProblemAnswer::new(400, ErrorCode::InvalidJson, "The body is not UTF-8."))
}

/// The fields of a body.
pub(crate) fn fields(body: &str) -> Result<Fields<'_>, ProblemAnswer> {
    Fields::parse(body).map_err(|bad| match bad {
        BadJson::NotJson => ProblemAnswer::new(400, ErrorCode::InvalidJson, "The body is not JSON."),
        BadJson::NotAnObject => {
            let text = "The body is not a JSON object.".to_owned();
            ProblemAnswer::unprocessable(
                ErrorCode::InvalidMessage,
                text,
                "",
                "is not a JSON object".to_owned(),
            )
        }
    })
}

/// Reads with the patience of REST: while Postgres is away, 503 comes within 1 s.
pub(crate) async fn patiently<T, F>(operation: impl FnMut() -> F) -> Result<T, ProblemAnswer>
where
    F: Future<Output = Result<T, Error>>,
{
    Ok(Patience::of(REST).retry(operation).await?)
}

#[cfg(test)]
mod tests;
