//! Turns that go wrong: agents that are not there, models that fail, stall or die while they write. What is ours to
//! fail (Postgres, Redis, an invocation) is not tried here.

use std::time::Duration;

use konstruct_domain::MessageId;
use konstruct_ports::ModelError;
use konstruct_protocol::Dialect;
use konstruct_service::conversations::history;
use konstruct_service::turn::Disposition;
use konstruct_tests::app::record;
use konstruct_tests::client::TestClient;
use konstruct_tests::fakes::model::{Beat, Script, echo, fatal, retryable};
use konstruct_tests::history::{Ending, endings};
use konstruct_tests::{TestApp, TestTenant};

use crate::turn::{said, session};

fn failed(message: MessageId, code: &str) -> Ending {
    Ending { in_reply_to: message.to_string(), answer: None, stopped: false, error: Some(code.to_owned()) }
}

/// Works a message to its end in an error, and once more.
async fn ends_in(app: &TestApp, tenant: &TestTenant, code: &str) {
    let conversation = app.conversation(tenant).await;
    let client = session(app, tenant, conversation).await;
    let (message, task) = app.message(tenant, conversation, "hello").await;
    for _ in 0..2 {
        assert_eq!(app.work(&task).await, Disposition::Done);
        assert_eq!(endings(&client.numbered(app)).unwrap(), [failed(message, code)]);
    }
    let (messages, _) = history(&app.db, &tenant.caller(), conversation, None, 50).await.unwrap();
    let seen: Vec<_> = messages.iter().map(|m| (m.content.as_str(), m.error.as_deref())).collect();
    assert_eq!(seen, [("hello", Some(code))], "the person's message stays");
    let mut late = TestClient::new(Dialect::Portal, tenant.caller(), conversation);
    late.connections.push("never".to_owned());
    late.connect(app).await.unwrap();
    assert_eq!(endings(&late.numbered(app)).unwrap(), [failed(message, code)], "it is replayed");
}

/// proves AGNT-01
#[tokio::test]
async fn an_agent_that_is_not_active_answers_nobody() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let sql = "UPDATE agents SET is_active = false WHERE tenant_id = $1";
    app.root.execute(sql, &[&tenant.id.0]).await.unwrap();
    ends_in(&app, &tenant, "agent_unavailable").await;
    assert_eq!(app.model().asked().len(), 0);
}

/// proves AGNT-02
#[tokio::test]
async fn a_model_that_refuses_is_asked_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    app.model().script([Script::Refuse(fatal())]);
    ends_in(&app, &tenant, "agent_failed").await;
    assert_eq!(app.model().asked().len(), 1);
}

/// proves AGNT-02
#[tokio::test]
async fn a_model_that_keeps_failing_is_asked_three_times() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    app.model().script([Script::busy(), Script::busy(), Script::busy()]);
    ends_in(&app, &tenant, "agent_failed").await;
    assert_eq!(app.model().asked().len(), 3);
}

/// proves AGNT-02
#[tokio::test]
async fn a_model_that_fails_twice_and_then_works_answers() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    app.model().script([Script::busy(), Script::busy()]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    assert_eq!(app.work(&task).await, Disposition::Done);
    assert_eq!(said(&app, &tenant, conversation).await, ["hello".to_owned(), echo("hello")]);
    let told = endings(&client.numbered(&app)).unwrap();
    assert_eq!(told.len(), 1);
    assert!(
        !client.numbered(&app).iter().any(|f| f["type"] == "discard"),
        "nothing was shown that could be void"
    );
    let rows = "SELECT 1 FROM llm_usage WHERE tenant_id = $1";
    assert_eq!(app.count(rows, &[&tenant.id.0]).await, 1, "a call that gave nothing is not billed");
}

/// proves AGNT-02, CHAT-08
#[tokio::test]
async fn a_model_that_dies_while_it_writes_begins_anew_under_a_new_id() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    let beats =
        vec![Beat::Say("Half ".into()), Beat::Pause(Duration::from_millis(60)), Beat::Fail(retryable())];
    app.model().script([Script::Stream(beats)]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    assert_eq!(app.work(&task).await, Disposition::Done);
    let frames = client.numbered(&app);
    let first =
        frames.iter().find(|f| f["content"] == "Half ").expect("the first piece")["message_id"].clone();
    let discards: Vec<_> = frames.iter().filter(|f| f["type"] == "discard").collect();
    assert_eq!(discards.len(), 1);
    assert_eq!(discards[0]["message_id"], first);
    let told = endings(&frames).unwrap();
    let (id, text) = told[0].answer.clone().unwrap();
    assert_eq!((told.len(), text), (1, echo("hello")));
    assert_ne!(first, id.as_str());
    let sql = "SELECT asking, estimated FROM llm_usage WHERE tenant_id = $1 ORDER BY asking";
    let billed = app.root.query(sql, &[&tenant.id.0]).await.unwrap();
    let billed: Vec<(i32, bool)> = billed.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(billed, [(1, true), (2, false)], "what was shown is billed by our estimate");
}

/// proves AGNT-02
#[tokio::test]
async fn a_model_that_never_answers_is_given_up() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    app.model().script([Script::Silence]);
    let mut agent = app.agent();
    agent.limits.model_silence = Duration::from_millis(200);
    let (message, task) = app.message(&tenant, conversation, "hello").await;
    assert_eq!(agent.work(&task, &record()).await, Disposition::Done);
    assert_eq!(endings(&client.numbered(&app)).unwrap(), [failed(message, "agent_failed")]);
}

/// proves AGNT-02
#[tokio::test]
async fn a_model_that_begins_and_writes_nothing_is_given_up() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    app.model().script([Script::Stream(vec![Beat::Hang])]);
    let mut agent = app.agent();
    agent.limits.model_silence = Duration::from_millis(200);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    assert_eq!(agent.work(&task, &record()).await, Disposition::Done);
    assert_eq!(app.model().streams_open(), 0, "it was hung up on");
}

/// proves AGNT-02
#[tokio::test]
async fn a_failed_turn_is_context_for_the_next() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let no = ModelError::Fatal { reason: "no".to_owned() };
    app.model().script([Script::Refuse(no)]);
    for text in ["one", "two", "three"] {
        let (_, task) = app.message(&tenant, conversation, text).await;
        assert_eq!(app.work(&task).await, Disposition::Done);
    }
    let two = echo("two");
    let prompts = app.model().prompts();
    assert_eq!(prompts[1], ["one", "two"]);
    assert_eq!(prompts[2], ["one", "two", two.as_str(), "three"]);
}

/// proves AGNT-02
#[tokio::test]
async fn with_too_little_time_left_no_turn_is_begun() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    let mut late = record();
    late.deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    assert_eq!(app.agent().work(&task, &late).await, Disposition::Again(Duration::ZERO));
    assert_eq!(app.model().asked().len(), 0);
    assert_eq!(app.work(&task).await, Disposition::Done, "the lease was given back");
}
