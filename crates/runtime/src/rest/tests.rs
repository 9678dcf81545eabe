//! What every REST request passes before its route. No route of the product is looked at here.

use axum::http::StatusCode;
use axum::routing::get;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::origin::HEADER;

async fn ask(secrets: Option<&str>, path: &str, sent: Option<&str>) -> Response {
    let routes = Router::new().route("/there", get(|| async { "here" }));
    let router = surrounded(routes, Origin::of(secrets).unwrap());
    let mut request = Request::get(path);
    if let Some(sent) = sent {
        request = request.header(HEADER, sent);
    }
    router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn what_did_not_come_through_the_distribution_is_refused_before_anything_else() {
    for (path, sent) in [("/there", None), ("/there", Some("wrong")), ("/nowhere", None)] {
        let response = ask(Some("old,new"), path, sent).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert!(response.headers().contains_key("x-request-id"));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["status"], &body["code"]), (&Value::from(403), &Value::from("forbidden")));
    }
}

#[tokio::test]
async fn what_came_through_the_distribution_reaches_its_route() {
    for (secrets, sent) in [(Some("old,new"), Some("old")), (Some("old,new"), Some("new")), (None, None)] {
        assert_eq!(ask(secrets, "/there", sent).await.status(), StatusCode::OK);
        assert_eq!(ask(secrets, "/nowhere", sent).await.status(), StatusCode::NOT_FOUND);
    }
}
