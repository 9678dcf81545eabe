//! What is refused, at the handshake, at `auth` and over REST.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::client::{Rest, Ws};
use crate::stack::Stack;
use crate::tokens;

/// Query, headers, and the status with which it is refused.
type Handshake<'a> = (&'a str, &'a [(&'static str, &'a str)], Option<u16>);
/// Method, path, body, its type, and the status and code of the refusal.
type Call<'a> = (&'a str, String, Option<Bytes>, &'a str, u16, &'a str);

/// proves CHAT-06
#[tokio::test]
async fn a_bad_token_is_refused_over_both_doors_and_closes_only_its_own_connection() {
    let user = Stack::get().member("acme");
    for (what, token) in tokens::bad_tokens(&user) {
        let mut ws = Ws::open("session_id=bad-token").await;
        ws.send(&json!({"type": "auth", "token": token})).await;
        assert_eq!(ws.error().await, "auth_failed", "{what}");
        ws.closes().await;
        let answer = Rest::with(Some(token)).get("/conversations").await;
        assert_eq!((answer.status, &answer.body["code"]), (401, &json!("auth_failed")), "{what}");
    }
    let good = tokens::mint(&user, "tenant_member");
    let mut ws = Ws::open("session_id=good-token").await;
    ws.auth(&good).await;
    ws.send(&json!({"type": "auth", "token": "worse"})).await;
    assert_eq!(ws.error().await, "auth_failed");
    ws.ping().await;
}

/// proves CHAT-06
#[tokio::test]
async fn a_connection_that_does_not_authenticate_is_closed_after_its_deadline() {
    let began = std::time::Instant::now();
    let mut ws = Ws::open("session_id=silent").await;
    ws.closes().await;
    let waited = began.elapsed().as_secs_f32();
    assert!((9.0..40.0).contains(&waited), "closed after {waited} s");
}

/// proves CHAT-06
#[tokio::test]
async fn handshakes_are_checked_for_origin_subprotocol_and_query() {
    let portal = Stack::get().url("portal_url").to_owned();
    let id = uuid::Uuid::new_v4();
    let cases: [Handshake<'_>; 9] = [
        ("session_id=a", &[("origin", "https://evil.example")], Some(403)),
        ("session_id=a", &[("origin", &portal)], None),
        ("session_id=a", &[("sec-websocket-protocol", "unknown.v9")], Some(403)),
        ("session_id=a%20b", &[], Some(400)),
        ("session_id=", &[], Some(400)),
        ("conversation_id=x", &[], Some(400)),
        (&format!("conversation_id={id}&session_id=a"), &[], Some(400)),
        ("", &[], None),
        ("session_id=a", &[("sec-websocket-protocol", "unknown.v9, konstruct.portal.v1")], None),
    ];
    for (query, headers, refused) in cases {
        assert_eq!(Ws::handshake(query, headers).await.err(), refused, "{query} {headers:?}");
    }
}

/// proves CHAT-06
#[tokio::test]
async fn only_ping_passes_before_auth_and_other_ids_than_the_tokens_are_refused() {
    let stack = Stack::get();
    let user = stack.member("acme");
    let mut ws = Ws::open("session_id=early").await;
    ws.ping().await;
    for frame in
        [json!({"type": "message", "content": "x"}), json!({"type": "message"}), json!({"type": "cancel"})]
    {
        ws.send(&frame).await;
        assert_eq!(ws.error().await, "unauthenticated", "{frame}");
    }
    ws.send(&json!({"type": "auth", "token": 7})).await;
    assert_eq!(ws.error().await, "invalid_message");
    ws.auth(&user.token).await;
    let claims = [
        json!({"userId": uuid::Uuid::new_v4()}),
        json!({"role": "platform_admin"}),
        json!({"tenantId": stack.tenant_id("globex")}),
        json!({"tenant_id": stack.tenant_id("globex")}),
    ];
    for claim in claims {
        let mut ws = Ws::open("session_id=claims").await;
        let mut auth = json!({"type": "auth", "token": user.token});
        auth.as_object_mut().expect("a frame").extend(claim.as_object().expect("claims").clone());
        ws.send(&auth).await;
        assert_eq!(ws.error().await, "auth_failed", "{claim}");
        ws.closes().await;
    }
}

/// proves CHAT-04
#[tokio::test]
async fn rest_refuses_with_the_status_and_code_of_the_protocol() {
    let user = Stack::get().member("acme");
    let rest = Rest::of(&user);
    let conversation = rest.conversation("acme").await;
    let path = format!("/conversations/{conversation}/messages");
    let text = |s: &str| Some(Bytes::from(s.to_owned()));
    let deep = format!("{{\"content\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let cases: Vec<Call<'_>> = vec![
        ("GET", format!("{path}?limit=0"), None, "", 400, "invalid_message"),
        ("GET", format!("{path}?limit=x"), None, "", 400, "invalid_message"),
        ("GET", format!("{path}?limit=99999999999999999999"), None, "", 400, "invalid_message"),
        ("GET", format!("{path}?before={}", uuid::Uuid::new_v4()), None, "", 404, "not_found"),
        ("GET", format!("{path}?before=x"), None, "", 400, "invalid_message"),
        ("GET", "/conversations".into(), None, "", 400, "invalid_message"),
        (
            "GET",
            format!("/conversations?tenant_id={}&cursor=x", user.tenant),
            None,
            "",
            400,
            "invalid_message",
        ),
        ("GET", format!("/agents?tenant_id={}", uuid::Uuid::new_v4()), None, "", 403, "forbidden"),
        ("PATCH", path.clone(), None, "", 405, "method_not_allowed"),
        ("GET", "/nothing".into(), None, "", 404, "not_found"),
        ("POST", path.clone(), text("{"), "application/json", 400, "invalid_json"),
        ("POST", path.clone(), text("[]"), "application/json", 422, "invalid_message"),
        ("POST", path.clone(), text(&deep), "application/json", 422, "invalid_message"),
        ("POST", path.clone(), text("{\"content\":\"\"}"), "application/json", 422, "invalid_message"),
        (
            "POST",
            path.clone(),
            text("{\"content\":\"a\\u0000\"}"),
            "application/json",
            422,
            "invalid_message",
        ),
        ("POST", path.clone(), text("{\"content\":1e999}"), "application/json", 422, "invalid_message"),
        ("POST", path.clone(), text("x"), "text/plain", 415, "invalid_message"),
        (
            "POST",
            format!("{path}?wait=29"),
            text("{\"content\":\"x\"}"),
            "application/json",
            400,
            "invalid_message",
        ),
        (
            "POST",
            format!("{path}?wait=-1"),
            text("{\"content\":\"x\"}"),
            "application/json",
            400,
            "invalid_message",
        ),
    ];
    for (method, path, body, content_type, status, code) in cases {
        let answer = rest.send(method, &path, body, content_type).await;
        assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{method} {path}");
        let kind = answer.headers.get("content-type").and_then(|v| v.to_str().ok());
        assert_eq!(kind, Some("application/problem+json"), "{method} {path}");
        let fields: Vec<&String> = answer.body.as_object().expect("a problem").keys().collect();
        let expected: &[&str] = if status == 422 {
            &["code", "detail", "errors", "status", "title", "type"]
        } else {
            &["code", "detail", "status", "title", "type"]
        };
        assert_eq!(fields, expected, "{method} {path}");
    }
}

/// proves CHAT-04
#[tokio::test]
async fn what_is_too_large_is_422_as_a_text_and_413_as_a_body() {
    let user = Stack::get().member("acme");
    let rest = Rest::of(&user);
    let path = format!("/conversations/{}/messages", rest.conversation("acme").await);
    let large: Value = json!({"content": "x".repeat(32_001)});
    assert_eq!(rest.post(&path, large).await.status, 422);
    let huge: Value = json!({"content": "x".repeat(140_000)});
    assert_eq!(rest.post(&path, huge).await.status, 413);
}

/// proves CHAN-03
#[tokio::test]
async fn over_the_limit_the_person_is_told_when_to_try_again() {
    let stack = Stack::get();
    // A tenant of its own, with a limit that no other test uses up.
    let (tenant, agent, user) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    stack.sql(&format!(
        "INSERT INTO tenants (id, slug, name, messages_per_minute) VALUES ('{tenant}', 't-{}', 'T', 3);
         INSERT INTO portal_users (id, email) VALUES ('{user}', '{user}@example.test');
         INSERT INTO tenant_members (tenant_id, user_id, role) VALUES ('{tenant}', '{user}', 'tenant_member');
         INSERT INTO agents (tenant_id, id, name, role, is_default) VALUES ('{tenant}', '{agent}', 'A', 'a', true)",
        tenant.simple()
    ));
    let mut user =
        crate::stack::User { id: user.to_string(), tenant: tenant.to_string(), token: String::new() };
    user.token = tokens::mint(&user, "tenant_member");
    let mut ws = Ws::session(&user).await;
    for n in 0..3 {
        ws.ask(&format!("message {n}")).await;
    }
    let id = ws.say("one too many").await;
    let refused = ws.end_of(&id).await;
    assert_eq!(refused["code"], "rate_limited");
    assert!(refused["retry_after"].as_u64() >= Some(1));
    let path = format!("/conversations/{}/messages", ws.conversation());
    let over_rest = Rest::of(&user).post(&path, json!({"content": "too many"})).await;
    assert_eq!(over_rest.status, 429);
    assert!(over_rest.headers.contains_key("retry-after"));
    assert_eq!(Rest::of(&user).history(&ws.conversation()).await.len(), 6);
}
