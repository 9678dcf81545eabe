//! CORS as the HTTP API does it by its own configuration.
//! What the function says of CORS is thrown away, as on AWS.

use axum::response::{IntoResponse, Response};
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::template::Cors;

/// The gateway's answer to a preflight; none where the request is none.
pub fn preflight(cors: &Cors, method: &Method, headers: &HeaderMap) -> Option<Response> {
    if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let origin = headers.get(ORIGIN)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(allowed) = allowed(cors, origin) {
        let max_age = cors.max_age.map(|seconds| seconds.to_string()).unwrap_or_default();
        let lists = [
            ("access-control-allow-methods", cors.methods.join(",")),
            ("access-control-allow-headers", cors.headers.join(",")),
            ("access-control-max-age", max_age),
        ];
        set(response.headers_mut(), "access-control-allow-origin", allowed);
        for (name, value) in lists {
            set_text(response.headers_mut(), name, &value);
        }
        common(cors, response.headers_mut());
    }
    Some(response)
}

/// Puts the configured headers on the response to a request from `origin`.
pub fn apply(cors: &Cors, origin: Option<&HeaderValue>, response: &mut Response) {
    let headers = response.headers_mut();
    let own: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    own.iter().for_each(|name| {
        headers.remove(name);
    });
    if let Some(allowed) = origin.and_then(|origin| allowed(cors, origin)) {
        set(headers, "access-control-allow-origin", allowed);
        common(cors, headers);
    }
}

fn common(cors: &Cors, headers: &mut HeaderMap) {
    set_text(headers, "access-control-expose-headers", &cors.exposed.join(","));
    if cors.credentials {
        set_text(headers, "access-control-allow-credentials", "true");
    }
}

fn allowed(cors: &Cors, origin: &HeaderValue) -> Option<HeaderValue> {
    let text = origin.to_str().ok()?;
    let listed = cors.origins.iter().any(|allowed| match allowed.split_once('*') {
        Some((before, after)) if !allowed.eq("*") => {
            text.len() >= before.len() + after.len() && text.starts_with(before) && text.ends_with(after)
        }
        _ => allowed == text,
    });
    if cors.origins.iter().any(|allowed| allowed == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    listed.then(|| origin.clone())
}

fn set_text(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
        set(headers, name, value);
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: HeaderValue) {
    headers.insert(HeaderName::from_static(name), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors() -> Cors {
        let list = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        Cors {
            origins: list(&["http://portal.example"]),
            methods: list(&["GET", "POST"]),
            headers: list(&["authorization"]),
            exposed: list(&["link"]),
            credentials: false,
            max_age: Some(60),
        }
    }

    fn request(origin: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static(origin));
        headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        headers
    }

    #[test]
    fn a_preflight_of_a_listed_origin_is_told_what_is_allowed() {
        let response = preflight(&cors(), &Method::OPTIONS, &request("http://portal.example")).unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers()["access-control-allow-origin"], "http://portal.example");
        assert_eq!(response.headers()["access-control-allow-methods"], "GET,POST");
        assert_eq!(response.headers()["access-control-max-age"], "60");
    }

    #[test]
    fn a_foreign_origin_is_told_nothing() {
        let response = preflight(&cors(), &Method::OPTIONS, &request("http://evil.example")).unwrap();
        assert!(response.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
    }

    #[test]
    fn other_requests_are_no_preflight() {
        assert!(preflight(&cors(), &Method::GET, &request("http://portal.example")).is_none());
        assert!(preflight(&cors(), &Method::OPTIONS, &HeaderMap::new()).is_none());
    }

    #[test]
    fn the_functions_own_cors_headers_are_thrown_away() {
        let mut response = StatusCode::OK.into_response();
        response.headers_mut().insert("access-control-allow-origin", HeaderValue::from_static("*"));
        apply(&cors(), None, &mut response);
        assert!(response.headers().is_empty());
        apply(&cors(), Some(&HeaderValue::from_static("http://portal.example")), &mut response);
        assert_eq!(response.headers()["access-control-expose-headers"], "link");
    }
}
