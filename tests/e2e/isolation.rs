//! One tenant can never see another's byte: every REST endpoint and every WebSocket route, with tenant A's identity
//! and tenant B's ids. Nothing comes back, and nothing of B changes.

use serde_json::{Value, json};

use crate::client::{Rest, Ws};
use crate::stack::{Stack, User};

/// proves TEN-01, CHAT-04
#[tokio::test]
async fn with_another_tenants_ids_there_are_no_rows_no_bytes_and_no_side_effects() {
    let stack = Stack::get();
    // A tenant that no other test touches, so that its digest can be compared.
    let victim = victim();
    let mut ws = Ws::session(&victim).await;
    let canary = format!("canary{}", uuid::Uuid::new_v4().simple());
    let end = ws.ask(&canary).await;
    let conversation = ws.conversation();
    // The answer is on its way to the database for a moment still.
    let settled = || {
        stack.sql(&format!(
            "SELECT count(*) FROM turns WHERE tenant_id = '{}' AND delivered_at IS NULL",
            victim.tenant
        ))
    };
    while settled().trim() != "0" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let before = stack.digest(&victim.tenant);
    let agent =
        stack.sql(&format!("SELECT id FROM agents WHERE tenant_id = '{}'", victim.tenant)).trim().to_owned();

    for attacker in [stack.member("globex"), stack.admin("globex")] {
        over_rest(&attacker, &victim, &agent, &conversation, &end).await;
        over_websocket(&attacker, &victim, &agent, &conversation, &canary).await;
    }
    let colleague = Rest::of(&stack.user("acme", "tenant_member", 1));
    assert_eq!(colleague.get(&format!("/conversations/{conversation}/messages")).await.status, 404);
    ws.ping().await;
    assert!(!ws.kinds().iter().any(|k| k == "notice"), "a foreign notice came in");
    assert_eq!(stack.digest(&victim.tenant), before, "something of the victim changed");
}

/// Every REST endpoint with the victim's ids.
async fn over_rest(attacker: &User, victim: &User, agent: &str, conversation: &str, end: &Value) {
    let canary = crate::client::text_of(end).to_owned();
    let rest = Rest::of(attacker);
    let messages = format!("/conversations/{conversation}/messages");
    let answer_id = end["message_id"].as_str().expect("an id");
    let calls = [
        ("GET", format!("/conversations?tenant_id={}", victim.tenant), None, 403),
        (
            "POST",
            "/conversations".to_owned(),
            Some(json!({"tenant_id": victim.tenant, "agent_id": agent})),
            403,
        ),
        (
            "POST",
            "/conversations".to_owned(),
            Some(json!({"tenant_id": attacker.tenant, "agent_id": agent})),
            404,
        ),
        ("GET", messages.clone(), None, 404),
        ("GET", format!("{messages}?before={answer_id}"), None, 404),
        ("POST", messages.clone(), Some(json!({"content": "x"})), 404),
        ("POST", format!("{messages}?wait=1"), Some(json!({"content": "x", "id": answer_id})), 404),
        ("DELETE", format!("/conversations/{conversation}"), None, 404),
        ("GET", format!("/agents?tenant_id={}", victim.tenant), None, 403),
        ("POST", "/notices".to_owned(), Some(json!({"tenant_id": victim.tenant, "text": "x"})), 403),
        ("GET", format!("/api/portal/channels?tenant_id={}", victim.tenant), None, 403),
        ("DELETE", format!("/api/portal/channels/{}", installation(victim)), None, 0),
        ("GET", format!("!/slack/install?tenant_id={}", victim.tenant), None, 403),
        ("POST", "/notices".to_owned(), Some(json!({"conversation_id": conversation, "text": "x"})), 0),
    ];
    for (method, path, body, status) in calls {
        let answer = rest.call(method, &path, body).await;
        // A member may send no notice at all; an admin has no such conversation.
        assert!(
            answer.status == status || status == 0 && [403, 404].contains(&answer.status),
            "{method} {path}: {}",
            answer.status
        );
        assert!(!answer.body.to_string().contains(&canary), "{method} {path} shows a foreign text");
    }
}

/// Every WebSocket route with the victim's ids.
async fn over_websocket(attacker: &User, victim: &User, agent: &str, conversation: &str, canary: &str) {
    for auth in [
        json!({"conversation_id": conversation}),
        json!({"agent_id": agent}),
        json!({"tenant_id": victim.tenant}),
        json!({"tenantId": victim.tenant, "conversation_id": conversation}),
    ] {
        let mut intruder = Ws::open("").await;
        let mut frame = json!({"type": "auth", "token": attacker.token});
        frame.as_object_mut().expect("a frame").extend(auth.as_object().expect("fields").clone());
        intruder.send(&frame).await;
        let code = intruder.error().await;
        assert!(["not_found", "auth_failed"].contains(&code.as_str()), "{auth}: {code}");
        intruder.closes().await;
        assert!(!format!("{:?}", intruder.frames).contains(canary));
    }
    let mut own = Ws::session(attacker).await;
    for frame in [
        json!({"type": "message", "content": "x", "conversation_id": conversation}),
        json!({"type": "message", "content": "x", "session_id": conversation}),
    ] {
        own.send(&frame).await;
        assert_eq!(own.error().await, "invalid_message", "{frame}");
    }
    own.send(&json!({"type": "cancel"})).await;
    own.send(&json!({"type": "resume", "after": 0})).await;
    own.ask("/history").await;
    assert!(!format!("{:?}", own.frames).contains(canary));
}

/// The victim's link to Slack.
fn installation(victim: &User) -> String {
    let sql = format!("SELECT id FROM channel_connections WHERE tenant_id = '{}'", victim.tenant);
    Stack::get().sql(&sql).trim().to_owned()
}

/// A tenant of its own with one member and a link to Slack.
pub fn victim() -> User {
    let stack = Stack::get();
    let (tenant, agent, user) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    stack.sql(&format!(
        "INSERT INTO tenants (id, slug, name) VALUES ('{tenant}', 't-{0}', 'T');
         INSERT INTO portal_users (id, email) VALUES ('{user}', '{user}@example.test');
         INSERT INTO tenant_members (tenant_id, user_id, role) VALUES ('{tenant}', '{user}', 'tenant_member');
         INSERT INTO channel_connections (tenant_id, id, channel, workspace_id)
             VALUES ('{tenant}', '{agent}', 'slack', 'T{0}');
         INSERT INTO agents (tenant_id, id, name, role, is_default) VALUES ('{tenant}', '{agent}', 'A', 'a', true)",
        tenant.simple()
    ));
    let mut user = User { id: user.to_string(), tenant: tenant.to_string(), token: String::new() };
    user.token = crate::tokens::mint(&user, "tenant_member");
    user
}

/// proves CHAT-04
#[tokio::test]
async fn a_colleagues_conversation_is_forbidden_and_a_removed_member_is_out_at_once() {
    let stack = Stack::get();
    let (one, two) = (stack.member("acme"), stack.user("acme", "tenant_member", 1));
    let conversation = Rest::of(&one).conversation("acme").await;
    let foreign = Rest::of(&two).get(&format!("/conversations/{conversation}/messages")).await;
    assert_eq!((foreign.status, &foreign.body["code"]), (403, &json!("forbidden")));
    let mut ws = Ws::open(&format!("conversation_id={conversation}")).await;
    ws.send(&json!({"type": "auth", "token": two.token})).await;
    assert_eq!(ws.error().await, "forbidden");
    ws.closes().await;

    let leaver = victim();
    let mut ws = Ws::session(&leaver).await;
    let path = format!("/conversations/{}/messages", ws.conversation());
    stack.sql(&format!("DELETE FROM tenant_members WHERE user_id = '{}'", leaver.id));
    let id = ws.say("am I still in?").await;
    assert_eq!(ws.end_of(&id).await["code"], "auth_failed");
    assert_eq!(Rest::of(&leaver).get(&path).await.status, 403);
    let mut again = Ws::open("session_id=again").await;
    again.send(&json!({"type": "auth", "token": leaver.token})).await;
    assert_eq!(again.error().await, "auth_failed");
}
