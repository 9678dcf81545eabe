//! Installing an app, WhatsApp and Telegram.

use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

use super::{Fixture, TOKEN};

async fn install(recorder: &Fixture, code: &str) -> Value {
    let request = Request::post(recorder.url("/slack/api/oauth.v2.access"))
        .header(AUTHORIZATION, "Basic aWQ6c2VjcmV0")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let form = format!("code={code}&redirect_uri=https%3A%2F%2Fx.example%2Fcallback");
    recorder.send(request, form).await.2
}

#[tokio::test]
async fn a_code_installs_the_app_into_the_workspace_it_names() {
    let recorder = Fixture::start().await;
    let mut tokens = Vec::new();
    for (code, workspace) in [
        ("T00FAKE00CC", "T00FAKE00CC"),
        ("code-T00FAKE00DD-2", "T00FAKE00DD"),
        ("anything", "T00FAKE00ZZ"),
        ("T00FAKE00CC", "T00FAKE00CC"),
    ] {
        let answer = install(&recorder, code).await;
        assert_eq!((&answer["ok"], &answer["team"]["id"]), (&json!(true), &json!(workspace)), "{code}");
        assert_eq!((&answer["bot_user_id"], &answer["token_type"]), (&json!("U00FAKEBOT01"), &json!("bot")));
        assert!(answer["app_id"].is_string() && answer["authed_user"]["id"].is_string());
        assert!(answer["enterprise"].is_null() && answer["is_enterprise_install"] == false);
        let token = answer["access_token"].as_str().unwrap().to_string();
        assert!(token.starts_with("xoxb-") && !tokens.contains(&token), "{code}");
        tokens.push(token);
    }
    let call = &recorder.calls("slack").await[0];
    assert_eq!((&call["token"], &call["args"]["code"]), (&json!(""), &json!("T00FAKE00CC")));
}

#[tokio::test]
async fn an_installation_needs_a_code_and_a_client() {
    let recorder = Fixture::start().await;
    recorder.refused("oauth.v2.access", json!({"code": "x"}), "invalid_client_id").await;
    let half = json!({"code": "x", "client_id": "id"});
    recorder.refused("oauth.v2.access", half, "bad_client_secret").await;
    let codeless = json!({"client_id": "id", "client_secret": "s"});
    recorder.refused("oauth.v2.access", codeless.clone(), "invalid_code").await;
    let script = json!({"channel": "slack", "method": "oauth.v2.access", "error": "code_already_used"});
    assert_eq!(recorder.script(script).await, 204);
    assert_eq!(install(&recorder, "x").await["error"], "code_already_used");
    assert_eq!(recorder.call("apps.uninstall", codeless).await, json!({"ok": true}));
    assert_eq!(recorder.call("auth.revoke", json!({})).await, json!({"ok": true, "revoked": true}));
}

#[tokio::test]
async fn whatsapp_takes_messages_and_readings() {
    let recorder = Fixture::start().await;
    let send = |body: Value| {
        let request = Request::post(recorder.url("/whatsapp/v25.0/100000000000001/messages"))
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(CONTENT_TYPE, "application/json");
        recorder.send(request, body.to_string())
    };
    let message = json!({
        "messaging_product": "whatsapp", "to": "+1 5550002222", "type": "text", "text": {"body": "hi"},
    });
    let (status, _, answer) = send(message.clone()).await;
    assert_eq!((status, &answer["contacts"][0]["wa_id"]), (200, &json!("15550002222")));
    assert!(answer["messages"][0]["id"].as_str().unwrap().starts_with("wamid."));
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"});
    assert_eq!(send(read).await.2, json!({"success": true}));
    let mut long = message;
    long["text"]["body"] = "x".repeat(4_097).into();
    for wrong in [json!({}), json!({"messaging_product": "whatsapp", "type": "text"}), long] {
        let (status, _, answer) = send(wrong).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(100)));
    }
    let call = &recorder.calls("whatsapp").await[0];
    assert_eq!((&call["method"], &call["token"]), (&json!("messages"), &json!(TOKEN)));
}

#[tokio::test]
async fn telegram_takes_messages_edits_and_drafts() {
    let recorder = Fixture::start().await;
    let call = async |method: &str, body: Value| {
        let request = Request::post(recorder.url(&format!("/telegram/bot123:abc/{method}")))
            .header(CONTENT_TYPE, "application/json");
        let (status, _, answer) = recorder.send(request, body.to_string()).await;
        (status, answer)
    };
    let (_, sent) = call("sendMessage", json!({"chat_id": 7_527_593, "text": "hi"})).await;
    let id = &sent["result"]["message_id"];
    assert_eq!((&sent["ok"], &sent["result"]["chat"]["id"]), (&json!(true), &json!(7_527_593)));
    let edit = json!({"chat_id": 7_527_593, "message_id": id, "text": "hello"});
    assert_eq!(call("editMessageText", edit.clone()).await.1["result"]["text"], "hello");
    let (status, again) = call("editMessageText", edit).await;
    assert_eq!((status, &again["error_code"]), (400, &json!(400)));
    assert!(again["description"].as_str().unwrap().contains("message is not modified"));
    let draft = |chat: i64| json!({"chat_id": chat, "draft_id": 1, "text": ""});
    assert_eq!(call("sendMessageDraft", draft(7)).await.1, json!({"ok": true, "result": true}));
    assert_eq!(call("sendMessageDraft", draft(-7)).await.0, 400);
    assert_eq!(call("sendChatAction", json!({"chat_id": 7, "action": "typing"})).await.1["result"], true);
    assert_eq!(call("flyAway", json!({})).await.0, 404);
    let first = &recorder.calls("telegram").await[0];
    assert_eq!((&first["method"], &first["token"]), (&json!("sendMessage"), &json!("123:abc")));
}
