//! The place of the recorder, which stands in for Slack, WhatsApp and Telegram.
//! Until it is built every call is answered 404.

use axum::Router;
use http::StatusCode;

/// Serves nothing.
pub fn router() -> Router {
    Router::new().fallback(|| async { StatusCode::NOT_FOUND })
}
