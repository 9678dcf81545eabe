//! Links to channels over REST, on the stack as it is deployed. Slack's part of an installation is not played here.

use serde_json::json;

use crate::client::Rest;
use crate::isolation::victim;
use crate::stack::Stack;

/// proves SLACK-06
#[tokio::test]
async fn an_admin_sees_his_tenants_links_and_never_a_secret() {
    let stack = Stack::get();
    let admin = stack.admin("acme");
    let path = format!("/api/portal/channels?tenant_id={}", admin.tenant);
    let listed = Rest::of(&admin).get(&path).await;
    assert_eq!(listed.status, 200);
    let links = listed.body.as_array().expect("a list");
    let demo = links.iter().find(|link| link["workspace_id"] == "T00FAKE00AA").expect("the demo's workspace");
    let fields: Vec<&str> = demo.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(fields, ["channel", "created_at", "id", "status", "workspace_id"]);
    assert_eq!((&demo["channel"], &demo["status"]), (&json!("slack"), &json!("active")));
    assert_eq!(
        Rest::of(&admin).get("/api/portal/channels").await.body,
        listed.body,
        "the token names the tenant"
    );
    assert_eq!(Rest::of(&stack.member("acme")).get(&path).await.status, 403);
    assert_eq!(Rest::with(None).get(&path).await.status, 401);
    let platform = Rest::with(Some(stack.platform_admin_token()));
    assert_eq!(platform.get(&path).await.status, 200);
    assert_eq!(platform.get("/api/portal/channels").await.status, 400);
}

/// proves SLACK-06
#[tokio::test]
async fn a_link_is_removed_by_an_admin_of_its_tenant_and_its_secret_is_gone() {
    let stack = Stack::get();
    let user = victim();
    let of_tenant = format!("WHERE tenant_id = '{}'", user.tenant);
    stack.sql(&format!("UPDATE channel_connections SET config = '{{\"bot_token\": 1}}' {of_tenant}"));
    let id = stack.sql(&format!("SELECT id FROM channel_connections {of_tenant}")).trim().to_owned();
    let (rest, path) = (Rest::of(&user), format!("/api/portal/channels/{id}"));
    assert_eq!(rest.call("DELETE", &path, None).await.status, 403);
    stack.sql(&format!("UPDATE tenant_members SET role = 'tenant_admin' {of_tenant}"));
    for (path, status) in [
        (path.as_str(), 204),
        (path.as_str(), 204),
        ("/api/portal/channels/0191e1a2-7b3c-7d4e-8f50-617283940a1b", 404),
        ("/api/portal/channels/x", 400),
    ] {
        assert_eq!(rest.call("DELETE", path, None).await.status, status, "{path}");
    }
    let kept = stack.sql(&format!("SELECT status, config FROM channel_connections {of_tenant}"));
    assert_eq!(kept.trim(), "removed|{}");
    assert_eq!(rest.get("/api/portal/channels").await.body[0]["status"], "removed");
    assert_eq!(rest.call("PUT", &path, None).await.status, 405);
}
