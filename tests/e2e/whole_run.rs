//! What holds of the whole run. Tests are begun in the order of their names, so this one comes last; it waits until no
//! other is at work.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::client::{Rest, Ws};
use crate::slack::Workspace;
use crate::stack::Stack;
use crate::unlogged;

/// Longer than any test takes that may still be at work.
const OTHERS: Duration = Duration::from_secs(900);

fn canary() -> String {
    format!("canary{}", Uuid::new_v4().simple())
}

/// A word of its own through every door there is, so that this holds also where it is run alone.
async fn walk() {
    let stack = Stack::get();
    let user = stack.member("acme");
    let (mut ws, rest) = (Ws::session(&user).await, Rest::of(&user));
    ws.ask(&canary()).await;
    let conversation = ws.conversation();
    for raw in [
        format!("{{\"type\":\"message\",\"content\":\"{0}\",\"id\":\"{0}\"}}", canary()),
        format!("{{\"type\":\"{}\",\"content\":\"{}\"}}", canary(), canary()),
        format!("{{\"type\":\"auth\",\"token\":\"{}\"}}", canary()),
        format!("{{\"type\":\"message\",\"content\":\"{}", canary()),
    ] {
        unlogged::text(&raw);
        ws.raw(&raw).await;
        ws.error().await;
    }
    // What a model calls, with which words, and what comes back, of a tool that is there and one that is not.
    let (ticket, unknown) = (canary(), canary());
    [&ticket, &unknown].into_iter().for_each(|word| unlogged::text(word));
    ws.ask(&format!("/tool tickets_lookup {{\"ticket\": \"{ticket}\"}}")).await;
    ws.ask(&format!("/tool {unknown} {{\"ticket\": \"{ticket}\"}}")).await;
    ws.ask(&format!("/tool search_history {{\"query\": \"{ticket}\"}}")).await;
    ws.ask(&format!("/tool http_get {{\"url\": \"https://not-allowed.invalid/{ticket}\"}}")).await;
    let id = ws.say(&format!("/tool tickets_close {{\"ticket\": \"{ticket}\"}}")).await;
    let asked = ws.until(|frame| frame["type"] == "tool_confirm").await;
    ws.send(&json!({"type": "tool_confirm", "tool_call_id": asked["tool_call_id"], "approve": true})).await;
    ws.end_of(&id).await;
    ws.ask("/error 400").await;
    let messages = format!("/conversations/{conversation}/messages");
    assert_eq!(rest.post(&format!("{messages}?wait=20"), json!({"content": canary()})).await.status, 200);
    assert_eq!(rest.post(&messages, json!({"content": canary(), "id": canary()})).await.status, 422);
    let admin = Rest::of(&stack.admin("acme"));
    let replies = format!("/conversations/{conversation}/replies");
    assert_eq!(admin.post(&replies, json!({"content": canary()})).await.status, 202);
    let notice =
        json!({"text": canary(), "conversation_id": conversation, "tenant_id": stack.tenant_id("acme")});
    assert_eq!(admin.post("/notices", notice).await.status, 202);
    assert_eq!(rest.call("DELETE", &format!("/conversations/{conversation}"), None).await.status, 204);
    let slack = Workspace::of(stack);
    slack.answers(&canary()).await;
}

/// proves OPS-04
#[tokio::test]
async fn no_log_of_the_whole_run_holds_a_secret_a_token_an_address_or_a_text() {
    unlogged::at_work();
    walk().await;
    let until = Instant::now() + OTHERS;
    while unlogged::tests_at_work() > 1 {
        assert!(Instant::now() < until, "{} tests are still at work", unlogged::tests_at_work());
        sleep(Duration::from_millis(100)).await;
    }
    let logs = unlogged::logs();
    let names: Vec<String> =
        logs.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    for server in
        ["agent.log", "ws-message.log", "slack-events.log", "postgres.log", "redis.log", "ministack.log"]
    {
        assert!(names.iter().any(|name| name == server), "{server} is not among {names:?}");
    }
    let found = unlogged::search(&logs);
    println!(
        "{} logs of {} bytes hold none of {} texts and {} secrets",
        logs.len(),
        found.bytes,
        found.texts,
        found.secrets
    );
    assert!(found.texts > 10 && found.secrets > 20, "{found:?}");
    assert!(found.places.is_empty(), "{:#?}", found.places);
    planted(&logs, &stack_secrets());
}

/// One of each kind that the search must find.
fn stack_secrets() -> Vec<(&'static str, String)> {
    let stack = Stack::get();
    let kept = std::fs::read_to_string(stack.state.join("secrets.json")).expect("secrets.json");
    let kept: serde_json::Value = serde_json::from_str(&kept).expect("secrets.json");
    let text = canary();
    unlogged::text(&text);
    let spoken = format!("she said \"{}\"\nand left", canary());
    unlogged::text(&spoken);
    vec![
        ("a demo token", stack.member("acme").token),
        ("the platform admin's", stack.platform_admin_token()),
        ("the JWT secret", crate::tokens::secret()),
        ("the master key of sealed secrets", kept["key"].as_str().expect("a key").to_owned()),
        (
            "Slack's signing secret",
            stack.info["secrets"]["slack_signing_secret"].as_str().expect("one").to_owned(),
        ),
        ("an installation's token", "xoxb-planted".to_owned()),
        ("a text", text),
        ("a text as JSON has it", serde_json::Value::from(spoken).to_string()),
    ]
}

/// The same search over a copy in which one line more stands finds that line.
fn planted(logs: &[PathBuf], secrets: &[(&str, String)]) {
    let folder = std::env::temp_dir().join(format!("konstruct-e2e-{}-planted", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let copy = folder.join("agent.log");
    let agent = logs.iter().find(|path| path.ends_with("agent.log")).expect("the agent's log");
    let text = std::fs::read_to_string(agent).expect("the agent's log");
    let last: Vec<&str> = text.lines().rev().take(50).collect();
    let text: String = last.into_iter().rev().map(|line| format!("{line}\n")).collect();
    for (what, secret) in secrets {
        std::fs::write(&copy, format!("{text}{{\"level\":\"INFO\",\"error\":\"{secret}\"}}\n"))
            .expect("a copy");
        let places = unlogged::search(std::slice::from_ref(&copy)).places;
        assert!(!places.is_empty(), "{what} was not found");
        assert!(!format!("{places:?}").contains(secret.as_str()), "the search repeats what it found");
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}
