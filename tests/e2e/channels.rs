//! Links to channels, on the stack as it is deployed; the recorder grants what Slack would.

use bytes::Bytes;
use konstruct_http::{Client, ClientConfig};
use serde_json::json;

use crate::client::Rest;
use crate::isolation::victim;
use crate::slack::Workspace;
use crate::stack::{Stack, User};

/// The admin of a tenant of its own, which has no installation.
fn admin() -> User {
    let user = victim();
    Stack::get().sql(&format!(
        "UPDATE tenant_members SET role = 'tenant_admin' WHERE tenant_id = '{0}';
         DELETE FROM channel_connections WHERE tenant_id = '{0}'",
        user.tenant
    ));
    user
}

/// A browser comes back from Slack: status, headers and page.
async fn comes_back(query: &str) -> (u16, http::HeaderMap, String) {
    let client = Client::new(ClientConfig { allow_plain: true, ..ClientConfig::default() });
    let url = format!("{}/slack/oauth/callback?{query}", Stack::get().url("http_url"));
    let request = http::Request::builder().uri(url).body(Bytes::new()).expect("a request");
    let answer = client.send(request).await.expect("an answer");
    let (status, headers) = (answer.status.as_u16(), answer.headers.clone());
    let page = answer.body.collect(100_000).await.expect("a page");
    (status, headers, String::from_utf8_lossy(&page).into_owned())
}

/// The state that an admin is sent to Slack with.
async fn state_of(user: &User) -> String {
    let page = Rest::of(user).get(&format!("!/slack/install?tenant_id={}", user.tenant)).await;
    assert_eq!(page.status, 200);
    let url = page.body["url"].as_str().expect("a URL");
    assert!(url.starts_with("https://slack.com/oauth/v2/authorize?client_id="), "{url}");
    url.split("&state=").nth(1).expect("a state").to_owned()
}

/// proves SLACK-06
#[tokio::test]
async fn a_workspace_is_installed_and_uninstalled_and_its_token_is_nowhere_in_clear() {
    let (stack, user) = (Stack::get(), admin());
    let workspace = format!("T{}", uuid::Uuid::new_v4().simple().to_string().to_uppercase());
    let state = state_of(&user).await;
    let query = format!("code=code-{workspace}&state={state}");
    let (status, headers, page) = comes_back(&query).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("Slack is connected") && !page.contains(&state) && !page.contains(&workspace));
    assert_eq!(headers["cache-control"], "no-store");
    assert!(headers["content-security-policy"].to_str().expect("text").starts_with("default-src 'none'"));
    assert_eq!(comes_back(&query).await.0, 400, "a state is good once");
    let row = || {
        let sql = "SELECT status, config FROM channel_connections WHERE workspace_id";
        stack.sql(&format!("{sql} = '{workspace}' AND tenant_id = '{}'", user.tenant))
    };
    let kept = row();
    assert!(kept.starts_with("active|") && kept.contains("ciphertext") && !kept.contains("xoxb"), "{kept}");
    let listed = Rest::of(&user).get("/api/portal/channels").await;
    assert_eq!(listed.body[0]["workspace_id"], json!(workspace));
    // Another tenant does not get what this one has.
    let state_of_other = state_of(&admin()).await;
    assert_eq!(comes_back(&format!("code={workspace}&state={state_of_other}")).await.0, 403);
    let gone = json!({"type": "event_callback", "team_id": workspace, "api_app_id": "A00FAKEAPP01",
        "event": {"type": "app_uninstalled"}, "event_id": "Ev1", "event_time": 4_102_444_800_i64});
    assert_eq!(Workspace::of(stack).deliver(&gone).await, 200);
    assert_eq!(row().trim(), "removed|{}");
    let nonce = state.split('.').nth(1).expect("a nonce");
    let token = format!("xoxb-{}", workspace.to_lowercase());
    for (path, text) in stack.logs() {
        assert!(!text.contains(&token) && !text.contains(nonce), "{} holds a secret", path.display());
    }
}

/// proves SLACK-06
#[tokio::test]
async fn who_does_not_agree_or_forges_a_link_changes_nothing_and_sees_nothing_of_it() {
    let user = admin();
    let state = state_of(&user).await;
    let evil = "%3Cscript%3Ealert(1)%3C/script%3E";
    for query in [
        String::new(),
        "code=c".to_owned(),
        format!("code=c&state={evil}"),
        format!("code={evil}&state={}.{}", user.tenant, "0".repeat(64)),
        format!("code=c&error={evil}&state={state}"),
    ] {
        let (status, _, page) = comes_back(&query).await;
        assert_eq!(status, 400, "{query}");
        assert!(!page.contains("script") && !page.contains("alert"), "{page}");
    }
    let (status, _, page) = comes_back(&format!("error=access_denied&state={state}")).await;
    assert_eq!((status, page.contains("not connected")), (200, true));
    assert_eq!(comes_back(&format!("code=c&state={state}")).await.0, 400, "the state is used up");
    assert_eq!(Rest::of(&user).get("/api/portal/channels").await.body, json!([]));
    assert_eq!(Rest::of(&Stack::get().member("acme")).get("!/slack/install").await.status, 403);
    assert_eq!(Rest::with(None).get("!/slack/install").await.status, 401);
}

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
