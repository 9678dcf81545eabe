//! REST: what each endpoint answers.

use serde_json::{Value, json};

use crate::client::{Rest, Ws};
use crate::stack::Stack;

/// proves CHAT-03
#[tokio::test]
async fn history_pages_backwards_without_skipping_or_repeating() {
    let user = Stack::get().member("acme");
    let rest = Rest::of(&user);
    let conversation = rest.conversation("acme").await;
    for n in 0..7 {
        let path = format!("/conversations/{conversation}/messages?wait=20");
        assert_eq!(rest.post(&path, json!({"content": format!("m{n}")})).await.status, 200);
    }
    let mut path = format!("/conversations/{conversation}/messages?limit=3");
    let mut pages: Vec<Value> = Vec::new();
    loop {
        let page = rest.get(&path).await;
        assert_eq!(page.status, 200);
        pages.splice(0..0, page.body.as_array().expect("a list").iter().cloned());
        let Some(link) = page.headers.get("link").map(|l| l.to_str().expect("a link").to_owned()) else {
            break;
        };
        path = link.trim_start_matches('<').split('>').next().expect("a link").to_owned();
    }
    assert_eq!(pages, rest.history(&conversation).await);
    assert_eq!(pages.len(), 14);
}

/// proves CHAT-04
#[tokio::test]
async fn a_platform_admin_sees_every_tenant_and_writes_in_none() {
    let stack = Stack::get();
    let user = stack.member("globex");
    let conversation = Rest::of(&user).conversation("globex").await;
    let platform = Rest::with(Some(stack.platform_admin_token()));
    let all = platform.get("/conversations?limit=200").await;
    assert!(all.body.as_array().expect("a list").iter().any(|c| c["id"] == json!(conversation)));
    let named = platform.get(&format!("/conversations?tenant_id={}", user.tenant)).await;
    assert!(named.body.as_array().expect("a list").iter().all(|c| c["tenant_id"] == json!(user.tenant)));
    let messages = format!("/conversations/{conversation}/messages");
    assert_eq!(platform.get(&messages).await.status, 200);
    assert_eq!(platform.post(&messages, json!({"content": "x"})).await.status, 403);
    assert_eq!(platform.call("DELETE", &format!("/conversations/{conversation}"), None).await.status, 403);
    assert_eq!(platform.get(&format!("/agents?tenant_id={}", user.tenant)).await.status, 200);
}

/// proves CHAT-02
#[tokio::test]
async fn a_caller_that_waits_gets_its_own_answer_and_one_that_does_not_gets_202() {
    let user = Stack::get().member("acme");
    let rest = Rest::of(&user);
    let conversation = rest.conversation("acme").await;
    let path = format!("/conversations/{conversation}/messages");
    let waited = rest.post(&format!("{path}?wait=20"), json!({"content": "wait for me"})).await;
    assert_eq!(waited.status, 200);
    assert!(waited.body["response"]["content"].as_str().expect("a text").contains("wait for me"));
    let at_once = rest.post(&path, json!({"content": "/slow 2000"})).await;
    assert_eq!((at_once.status, at_once.body.get("response")), (202, None));
    let short = rest.post(&format!("{path}?wait=1"), json!({"content": "/slow 3000"})).await;
    assert_eq!(short.status, 202);
    let failed = rest.post(&format!("{path}?wait=28"), json!({"content": "/error 400"})).await;
    assert_eq!(failed.status, 202, "a turn that ended in an error is 202");
}

/// proves CHAT-10
#[tokio::test]
async fn a_notice_reaches_every_device_of_its_audience_and_nobody_else() {
    let stack = Stack::get();
    let (user, foreign) = (stack.member("globex"), stack.member("acme"));
    let mut ws = Ws::session(&user).await;
    let mut other = Ws::portal(&user, &ws.conversation()).await;
    let mut outside = Ws::session(&foreign).await;
    let admin = Rest::of(&stack.admin("globex"));
    let text = format!("notice {}", uuid::Uuid::new_v4());
    let body = json!({"tenant_id": user.tenant, "conversation_id": ws.conversation(), "text": text});
    let sent = admin.post("/notices", body).await;
    assert_eq!((sent.status, &sent.body["connections"]), (202, &json!(2)));
    for device in [&mut ws, &mut other] {
        assert_eq!(device.until(|f| f["type"] == "notice").await["text"], json!(text));
    }
    let to_tenant = admin.post("/notices", json!({"text": "for all of us"})).await;
    assert!(to_tenant.body["connections"].as_u64() >= Some(2));
    outside.ping().await;
    assert!(!outside.kinds().iter().any(|k| k == "notice"), "a notice left its tenant");
    assert_eq!(Rest::of(&user).post("/notices", json!({"text": "x"})).await.status, 403, "members may not");
}

/// proves OPS-05
#[tokio::test]
async fn health_says_what_works_and_every_answer_has_a_request_id() {
    let rest = Rest::with(None);
    let (one, two) = (rest.get("!/health").await, rest.get("!/health").await);
    assert_eq!(one.status, 200);
    assert_eq!(one.body, json!({"status": "ok", "checks": {"postgres": "ok", "redis": "ok", "queue": "ok"}}));
    assert_ne!(one.headers.get("x-request-id"), two.headers.get("x-request-id"));
    assert!(one.headers.contains_key("x-request-id"));
}
