//! The running summary: made when a conversation outgrows its window, part of the one system message, gone with a reset.

use konstruct_ports::PromptMessage;
use konstruct_service::conversations::find;
use konstruct_tests::app::record;
use konstruct_tests::fakes::model::{Script, fatal};
use konstruct_tests::{TestApp, TestTenant};

use konstruct_domain::{Access, ConversationId};

const NOTES: &str = "The notes so far:";

async fn say(app: &TestApp, tenant: &TestTenant, conversation: ConversationId, text: &str) {
    let mut agent = app.agent();
    agent.limits.memory_messages = 8;
    let (_, task) = app.message(tenant, conversation, text).await;
    agent.work(&task, &record()).await;
}

/// The system message of the last prompt that was no call for notes.
fn system(app: &TestApp) -> String {
    let asked = app.model().asked();
    let request = asked.iter().rfind(|request| !is_for_notes(&request.messages)).unwrap();
    match &request.messages[0] {
        PromptMessage::System(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn is_for_notes(messages: &[PromptMessage]) -> bool {
    matches!(messages.last(), Some(PromptMessage::User(text)) if text.starts_with(NOTES))
}

fn notes_asked(app: &TestApp) -> Vec<String> {
    app.model().prompts().into_iter().filter(|p| p[0].starts_with(NOTES)).map(|p| p[0].clone()).collect()
}

/// proves AGNT-03
#[tokio::test]
async fn what_leaves_the_window_is_in_the_summary_and_nothing_is_in_neither() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let texts: Vec<String> = (0..12).map(|n| format!("number{n}x")).collect();
    for (n, text) in texts.iter().enumerate() {
        say(&app, &tenant, conversation, text).await;
        let prompt = app.model().prompts().into_iter().rfind(|p| !p[0].starts_with(NOTES)).unwrap();
        assert!(prompt.len() <= 9, "the window holds: {prompt:?}");
        let whole = format!("{}\n{}", system(&app), prompt.join("\n"));
        for earlier in &texts[..n] {
            assert!(whole.contains(earlier.as_str()), "{earlier} is forgotten at {n}: {whole}");
        }
    }
    let asked = notes_asked(&app);
    assert!((2..8).contains(&asked.len()), "not for every message: {}", asked.len());
    let billed = "SELECT 1 FROM llm_usage WHERE tenant_id = $1 AND step = -1";
    assert_eq!(app.count(billed, &[&tenant.id.0]).await, i64::try_from(asked.len()).unwrap());

    let row = find(&app.db, &tenant.caller(), conversation, Access::Write).await.unwrap();
    app.on_behalf().reset(&row).await.unwrap();
    say(&app, &tenant, conversation, "hello").await;
    assert!(!system(&app).contains("number"), "a reset forgets it");
}

/// proves AGNT-03
#[tokio::test]
async fn a_summary_that_fails_costs_no_answer_and_is_tried_again() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    for n in 0..4 {
        say(&app, &tenant, conversation, &format!("number{n}x")).await;
    }
    app.model().script([Script::say(&["four"]), Script::Refuse(fatal()), Script::say(&["five"])]);
    say(&app, &tenant, conversation, "number4x").await;
    assert_eq!(notes_asked(&app).len(), 1);
    say(&app, &tenant, conversation, "number5x").await;
    assert_eq!(notes_asked(&app).len(), 2);
    say(&app, &tenant, conversation, "number6x").await;
    assert!(system(&app).contains("number0x"));
    let answers = "SELECT 1 FROM web_conversation_messages WHERE conversation_id = $1 AND role = 'assistant'";
    assert_eq!(app.count(answers, &[&conversation.0]).await, 7);
}
