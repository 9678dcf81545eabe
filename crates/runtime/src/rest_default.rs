//! Every path and method that has no function: 404, or 405 with what is allowed. API Gateway's own 404 is no
//! problem+json.

use std::process::ExitCode;

use axum::Router;
use axum::http::Uri;
use konstruct_protocol::ErrorCode;

use crate::problem::ProblemAnswer;
use crate::rest::{BASE, serve};
use crate::start::{StartError, start};

/// The paths that have functions, apart from those below the base; `*` stands for one segment.
const OTHER_PATHS: [(&str, &str); 6] = [
    ("/health", "GET"),
    ("/api/portal/channels", "GET"),
    ("/api/portal/channels/*", "DELETE"),
    ("/slack/events", "POST"),
    ("/slack/install", "GET"),
    ("/slack/oauth/callback", "GET"),
];

/// The paths that have functions, below the base.
const PATHS: [(&str, &str); 5] = [
    ("/conversations", "GET, POST"),
    ("/conversations/*", "DELETE"),
    ("/conversations/*/messages", "GET, POST"),
    ("/agents", "GET"),
    ("/notices", "POST"),
];

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    serve(Router::new().fallback(|uri: Uri| async move { answer(uri.path()) })).await
}

fn answer(path: &str) -> ProblemAnswer {
    match allowed(path) {
        Some(allow) => ProblemAnswer::method_not_allowed(allow),
        None => ProblemAnswer::new(404, ErrorCode::NotFound, "There is nothing at this path."),
    }
}

fn allowed(path: &str) -> Option<&'static str> {
    let (paths, path) = match path.strip_prefix(BASE) {
        Some(rest) => (PATHS.as_slice(), rest),
        None => (OTHER_PATHS.as_slice(), path),
    };
    paths.iter().find(|(pattern, _)| fits(pattern, path)).map(|(_, allow)| *allow)
}

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(&path).all(|(p, s)| p == s || (*p == "*" && !s.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_has_functions_tells_its_methods() {
        assert_eq!(allowed("/health"), Some("GET"));
        assert_eq!(allowed("/api/portal/chat/conversations/x/messages"), Some("GET, POST"));
        assert_eq!(allowed("/api/portal/channels"), Some("GET"));
        assert_eq!(allowed("/api/portal/channels/x"), Some("DELETE"));
        assert_eq!(allowed("/slack/oauth/callback"), Some("GET"));
        assert_eq!(allowed("/api/portal/chat/slack/install"), None);
        assert_eq!(allowed("/api/portal/chat/conversations/"), None);
        assert_eq!(allowed("/api/portal/chat/nothing"), None);
        assert_eq!(allowed("/conversations"), None);
    }
}
