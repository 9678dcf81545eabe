//! The HTTP API: preflight, route, event, function, response.
//! It decides nothing that the template does not say.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::ORIGIN;
use http::{HeaderValue, StatusCode};

use crate::ids;
use crate::lambda::{Failure, Functions};
use crate::template::HttpSpec;

use super::http_event::{Entry, event};
use super::http_response::{message, response};
use super::{cors, http_router};

/// API Gateway takes bodies of at most 10 MB.
const BODY_MAX: usize = 10 * 1024 * 1024;

/// The HTTP API.
pub struct HttpApi {
    /// Its routes and CORS configuration.
    pub spec: HttpSpec,
    /// Who runs its functions.
    pub functions: Functions,
    /// The port clients come in by.
    pub port: u16,
}

/// Answers a request.
pub async fn handle(api: Arc<HttpApi>, request: Request, source_ip: String) -> Response {
    let request_id = ids::gateway_id();
    let origin = request.headers().get(ORIGIN).cloned();
    let preflight =
        api.spec.cors.as_ref().and_then(|cors| cors::preflight(cors, request.method(), request.headers()));
    let mut response = match preflight {
        Some(response) => response,
        None => {
            let mut response = run(&api, request, &source_ip, &request_id).await;
            if let Some(cors) = &api.spec.cors {
                cors::apply(cors, origin.as_ref(), &mut response);
            }
            response
        }
    };
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("apigw-requestid", id);
    }
    response
}

async fn run(api: &HttpApi, request: Request, source_ip: &str, request_id: &str) -> Response {
    let (parts, body) = request.into_parts();
    let Some(route) = http_router::find(&api.spec.routes, parts.method.as_str(), parts.uri.path()) else {
        return message(StatusCode::NOT_FOUND, "Not Found");
    };
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let entry = Entry { api_id: &api.spec.api_id, source_ip, port: api.port, request_id };
    let event = event(entry, &route, &parts, &body).to_string();
    let pending = api.functions.invoke(&route.integration.function, Bytes::from(event));
    let outcome = tokio::time::timeout(route.integration.timeout, pending.outcome()).await;
    response(outcome.unwrap_or(Err(Failure::TimedOut)))
}
