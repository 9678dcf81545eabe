//! A placeholder where the portal will be.
//! Its origin is on the lists already; the page itself does nothing.

use axum::Router;
use axum::response::Html;

const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Konstruct</title>\n\
<h1>Konstruct</h1>\n<p>The portal will be here. The stack behind it runs: its addresses and tokens are where <code>make dev</code> was started.</p></html>\n";

/// Serves the page under every path.
pub fn router() -> Router {
    Router::new().fallback(|| async { Html(PAGE) })
}
