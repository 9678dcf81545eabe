//! The agent's turn from the queue record to its end: what is stored, shown, billed and published, and in which
//! order. The model says what the test scripts.

use std::time::Duration;

use futures_util::StreamExt as _;
use konstruct_domain::{AgentId, ConversationId};
use konstruct_ports::PromptMessage;
use konstruct_protocol::Dialect;
use konstruct_redis::Key;
use konstruct_service::conversations::history;
use konstruct_service::turn::Disposition;
use konstruct_tests::client::TestClient;
use konstruct_tests::fakes::model::{Beat, Script, Signal, echo};
use konstruct_tests::history::{Ending, endings};
use konstruct_tests::redis_keys::RedisKeys;
use konstruct_tests::{TestApp, TestTenant};
use serde_json::json;

/// The contents of the history with what each answers.
pub async fn said(app: &TestApp, tenant: &TestTenant, conversation: ConversationId) -> Vec<String> {
    let (messages, _) = history(&app.db, &tenant.caller(), conversation, None, 200).await.unwrap();
    messages.into_iter().map(|message| message.content).collect()
}

pub async fn portal(app: &TestApp, tenant: &TestTenant, conversation: ConversationId) -> TestClient {
    TestClient::connected(app, Dialect::Portal, tenant.caller(), conversation).await
}

pub async fn session(app: &TestApp, tenant: &TestTenant, conversation: ConversationId) -> TestClient {
    TestClient::connected(app, Dialect::Session, tenant.caller(), conversation).await
}

/// proves AGNT-01, AGNT-02, CHAT-02, CHAT-10, CHAN-05
#[tokio::test]
async fn an_answer_is_stored_shown_published_and_billed() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let portal = portal(&app, &tenant, conversation).await;
    let session = session(&app, &tenant, conversation).await;
    let channel = Key::response(tenant.id, conversation);
    let mut published = RedisKeys::subscribe(&app.world.redis_url, channel.as_str()).await;
    let (message, task) = app.message(&tenant, conversation, "hello").await;
    assert_eq!(app.work(&task).await, Disposition::Done);

    let (messages, _) = history(&app.db, &tenant.caller(), conversation, None, 50).await.unwrap();
    let answer = &messages[1];
    assert_eq!((answer.content.as_str(), answer.in_reply_to), (echo("hello").as_str(), Some(message)));
    let told = endings(&portal.numbered(&app)).unwrap();
    let ending = Ending {
        in_reply_to: message.to_string(),
        answer: Some((answer.id.to_string(), echo("hello"))),
        stopped: false,
        error: None,
    };
    assert_eq!(told, [ending]);
    assert_eq!(endings(&session.numbered(&app)).unwrap(), told, "both dialects say the same");
    let publication = published.on_message().next().await.unwrap().get_payload::<String>().unwrap();
    let publication: serde_json::Value = serde_json::from_str(&publication).unwrap();
    assert_eq!(
        publication,
        json!({"type": "response", "text": echo("hello"), "conversation_id": conversation})
    );
    let sql =
        "SELECT model, prompt_tokens, completion_tokens, total_tokens, estimated, agent_id FROM llm_usage
        WHERE tenant_id = $1";
    let usage = app.root.query(sql, &[&tenant.id.0]).await.unwrap();
    assert_eq!(usage.len(), 1);
    let tokens: [i64; 3] = [usage[0].get(1), usage[0].get(2), usage[0].get(3)];
    assert_eq!((usage[0].get::<_, &str>(0), tokens), ("test-model", [11, 7, 18]));
    assert_eq!((usage[0].get::<_, bool>(4), AgentId(usage[0].get(5))), (false, tenant.agent));
    let delivered = "SELECT 1 FROM turns t JOIN web_conversations c ON c.id = t.conversation_id
        WHERE t.id = $1 AND t.state = 'ended' AND t.delivered_at IS NOT NULL AND c.last_seq = $2
          AND c.lease_until IS NULL";
    let last_seq = session.numbered(&app).last().unwrap()["seq"].as_i64().unwrap();
    assert_eq!(app.count(delivered, &[&message.0, &last_seq]).await, 1);
    assert!(!app.gateway().overlapped(), "one post in flight per connection");
}

/// proves WS-03, WS-05, AGNT-01
#[tokio::test]
async fn a_session_client_sees_the_model_asked_and_answering_around_the_pieces() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let session = session(&app, &tenant, conversation).await;
    let portal = portal(&app, &tenant, conversation).await;
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    app.work(&task).await;
    let types = |frames: &[serde_json::Value]| -> Vec<String> {
        let mut types: Vec<String> = frames.iter().map(|f| f["type"].as_str().unwrap().to_owned()).collect();
        types.dedup();
        types
    };
    let frames = session.numbered(&app);
    assert_eq!(types(&frames), ["openai_call", "assistant", "openai_response", "assistant"]);
    assert_eq!(frames.last().unwrap()["streaming"], false);
    assert_eq!(frames[0]["timestamp"], "2026-11-21T09:30:00.250Z");
    let response = &frames[frames.len() - 2];
    assert_eq!((&response["prompt_tokens"], &response["total_tokens"]), (&json!(11), &json!(18)));
    assert_eq!(types(&portal.numbered(&app)), ["chunk", "response"], "a portal did not ask for telemetry");
    let request = &app.model().asked()[0];
    assert_eq!(request.route.model, "test-model");
    let PromptMessage::System(system) = &request.messages[0] else { panic!("{request:?}") };
    assert!(system.starts_with("You are Ada, Support."));
}

/// proves CHAT-08
#[tokio::test]
async fn a_record_that_comes_again_changes_nothing() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    let client = session(&app, &tenant, conversation).await;
    assert_eq!(app.work(&task).await, Disposition::Done);
    let before = (client.frames(&app).len(), said(&app, &tenant, conversation).await);
    for _ in 0..3 {
        assert_eq!(app.work(&task).await, Disposition::Done);
    }
    assert_eq!((client.frames(&app).len(), said(&app, &tenant, conversation).await), before);
    assert_eq!(app.model().asked().len(), 1);
}

/// proves CHAT-02
#[tokio::test]
async fn a_task_without_tenant_or_conversation_is_dropped() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    let conversation = app.conversation(&tenant).await;
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    let mut nowhere = task.clone();
    nowhere.message.thread_id = ConversationId(konstruct_tests::id());
    assert_eq!(app.work(&nowhere).await, Disposition::Done);
    let mut elsewhere = task;
    elsewhere.message.tenant_id = other.id;
    assert_eq!(app.work(&elsewhere).await, Disposition::Done);
    assert_eq!(app.model().asked().len(), 0);
}

/// proves CHAT-12, AGNT-01
#[tokio::test]
async fn messages_sent_back_to_back_are_answered_in_order_each_with_its_own_prompt() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = portal(&app, &tenant, conversation).await;
    let mut tasks = Vec::new();
    for text in ["one", "two", "three"] {
        tasks.push(app.message(&tenant, conversation, text).await.1);
    }
    assert_eq!(app.work(&tasks[1]).await, Disposition::Done);
    let (one, two) = (echo("one"), echo("two"));
    assert_eq!(
        app.model().prompts(),
        [vec!["one"], vec!["one", one.as_str(), "two"]],
        "up to the record's own"
    );
    for task in &tasks {
        assert_eq!(app.work(task).await, Disposition::Done);
    }
    assert_eq!(app.model().prompts()[2], ["one", one.as_str(), "two", two.as_str(), "three"]);
    assert_eq!(app.model().asked().len(), 3);
    let answers: Vec<String> =
        endings(&client.numbered(&app)).unwrap().into_iter().map(|e| e.answer.unwrap().1).collect();
    assert_eq!(answers, ["one", "two", "three"].map(echo));
    let three = echo("three");
    let all = ["one", "two", "three", one.as_str(), two.as_str(), three.as_str()];
    assert_eq!(said(&app, &tenant, conversation).await, all, "an answer is in the history where it ended");
}

/// proves AGNT-01, CHAT-07
#[tokio::test]
async fn a_message_that_comes_during_an_answer_is_seen_at_once_and_in_no_earlier_prompt() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = portal(&app, &tenant, conversation).await;
    let go = Signal::default();
    let beats =
        vec![Beat::Say("Half ".into()), Beat::Wait(go.clone()), Beat::Say("whole.".into()), Beat::Finish];
    app.model().script([Script::Stream(beats)]);
    let (_, first) = app.message(&tenant, conversation, "one").await;
    let (worked, second) = tokio::join!(app.work(&first), async {
        client_sees(&app, &client, "Half ").await;
        let (_, second) = app.message(&tenant, conversation, "two").await;
        assert_eq!(said(&app, &tenant, conversation).await, ["one", "two"]);
        go.give();
        second
    });
    assert_eq!(worked, Disposition::Done);
    assert_eq!(app.work(&second).await, Disposition::Done);
    assert_eq!(app.model().prompts(), [vec!["one"], vec!["one", "Half whole.", "two"]]);
}

/// Waits for a piece.
pub async fn client_sees(app: &TestApp, client: &TestClient, piece: &str) {
    app.gateway().wait_for(client.connection(), |f| f["text"] == piece || f["content"] == piece).await;
}

/// proves AGNT-03
#[tokio::test]
async fn memory_is_the_threads_own_and_is_rebuilt_when_the_cache_is_empty() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let [here, there] = [app.conversation(&tenant).await, app.conversation(&tenant).await];
    for (conversation, text) in [(here, "one"), (there, "secret"), (here, "two")] {
        let (_, task) = app.message(&tenant, conversation, text).await;
        app.work(&task).await;
    }
    let key = Key::memory(tenant.id, tenant.agent, Some(tenant.user), here);
    assert!(app.keys.exists(key.as_str()).await);
    app.keys.flush(tenant.id).await;
    let (_, task) = app.message(&tenant, here, "three").await;
    app.work(&task).await;
    let (one, two) = (echo("one"), echo("two"));
    let prompts = app.model().prompts();
    assert_eq!(prompts[2], ["one", one.as_str(), "two"]);
    assert_eq!(prompts[3], ["one", one.as_str(), "two", two.as_str(), "three"]);
}

/// proves AGNT-03
#[tokio::test]
async fn memory_holds_the_last_messages_only() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let mut agent = app.agent();
    agent.limits.memory_messages = 4;
    for n in 0..5 {
        if n == 3 {
            app.keys.flush(tenant.id).await;
        }
        let (_, task) = app.message(&tenant, conversation, &n.to_string()).await;
        agent.work(&task, &konstruct_tests::app::record()).await;
    }
    // What the window loses goes into a summary, which the model is asked for as well.
    let asked_for_notes = |prompt: &Vec<String>| prompt[0].starts_with("The notes so far:");
    let prompts: Vec<_> = app.model().prompts().into_iter().filter(|p| !asked_for_notes(p)).collect();
    let expected = |from: usize, to: usize| -> Vec<String> {
        let before = (from..to).flat_map(|n| [n.to_string(), echo(&n.to_string())]);
        before.chain([to.to_string()]).collect()
    };
    assert_eq!(prompts[3], expected(1, 3), "rebuilt from Postgres");
    assert_eq!(prompts[4], expected(2, 4), "from the cache");
}

/// proves CHAT-12
#[tokio::test]
async fn of_two_agents_on_one_conversation_one_is_sent_away_and_others_do_not_wait() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let [here, there] = [app.conversation(&tenant).await, app.conversation(&tenant).await];
    let client = portal(&app, &tenant, here).await;
    let go = Signal::default();
    app.model().script([Script::Stream(vec![Beat::Say("x".into()), Beat::Wait(go.clone()), Beat::Finish])]);
    let (_, first) = app.message(&tenant, here, "one").await;
    let (_, elsewhere) = app.message(&tenant, there, "two").await;
    let (worked, ()) = tokio::join!(app.work(&first), async {
        client_sees(&app, &client, "x").await;
        let Disposition::Again(after) = app.work(&first).await else { panic!("two at work at once") };
        assert!(after > Duration::ZERO && after <= Duration::from_secs(30), "{after:?}");
        assert_eq!(app.work(&elsewhere).await, Disposition::Done, "another conversation does not wait");
        go.give();
    });
    assert_eq!(worked, Disposition::Done);
    assert_eq!(said(&app, &tenant, here).await, ["one", "x"]);
    assert_eq!(app.model().asked().len(), 2);
}

/// proves CHAT-02
#[tokio::test]
async fn an_answer_that_fits_no_frame_comes_whole_in_pieces() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    let piece = "\u{1}ü👋 ".repeat(900);
    app.model().script([Script::say(&vec![piece.as_str(); 20])]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    assert_eq!(app.work(&task).await, Disposition::Done);
    let frames = client.numbered(&app);
    assert_eq!(
        (&frames.last().unwrap()["text_omitted"], frames.last().unwrap().get("content")),
        (&json!(true), None)
    );
    assert_eq!(endings(&frames).unwrap()[0].answer.as_ref().unwrap().1, piece.repeat(20));
    assert_eq!(said(&app, &tenant, conversation).await[1], piece.repeat(20));
}

/// proves CHAT-09
#[tokio::test]
async fn an_answer_while_nobody_is_connected_is_not_lost() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let mut client = session(&app, &tenant, conversation).await;
    let (_, task) = app.message(&tenant, conversation, "one").await;
    app.work(&task).await;
    app.connections().disconnect(client.connection()).await.unwrap();
    let seen = client.numbered(&app).len();
    let (_, task) = app.message(&tenant, conversation, "two").await;
    app.work(&task).await;
    assert_eq!(client.numbered(&app).len(), seen);
    client.connect(&app).await.unwrap();
    let told: Vec<_> =
        endings(&client.numbered(&app)).unwrap().into_iter().map(|e| e.answer.unwrap().1).collect();
    assert_eq!(told, ["one", "two"].map(echo));
}
