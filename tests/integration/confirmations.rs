//! Calls that wait for a yes: bound to the person, decided once, run at most once, while messages behind them go on.

use konstruct_domain::{ConversationId, MessageId, TenantRole, UserId};
use konstruct_protocol::{Task, TaskKind};
use konstruct_service::confirm::{MemberYes, Outcome, Yes, decide, decide_as_member};
use konstruct_service::janitor::expire;
use konstruct_service::patience::{Patience, WEBSOCKET};
use konstruct_service::stop::stop;
use konstruct_service::turn::Disposition;
use konstruct_tests::client::TestClient;
use konstruct_tests::fakes::model::{Script, echo};
use konstruct_tests::history::endings;
use konstruct_tests::seeds::{Chance, seeds};
use konstruct_tests::{TestApp, TestTenant, id};
use serde_json::json;

use crate::tools::{frame, kinds, shop};
use crate::turn::{said, session};

/// A call that waits, and whoever sees it.
struct Waiting {
    tenant: TestTenant,
    conversation: ConversationId,
    client: TestClient,
    message: MessageId,
}

impl Waiting {
    async fn new(app: &TestApp) -> Self {
        let tenant = shop(app).await;
        let conversation = app.conversation(&tenant).await;
        Self::with(app, tenant, conversation).await
    }

    async fn with(app: &TestApp, tenant: TestTenant, conversation: ConversationId) -> Self {
        let client = session(app, &tenant, conversation).await;
        app.model().clear_scripts();
        app.model().script([Script::call(
            &format!("c{}", id().simple()),
            "shop_buy",
            r#"{"what": "a hat"}"#,
        )]);
        let (message, task) = app.message(&tenant, conversation, "buy me a hat").await;
        assert_eq!(app.work(&task).await, Disposition::Done, "the record is acknowledged while it waits");
        Self { tenant, conversation, client, message }
    }

    fn call_id(&self, app: &TestApp) -> String {
        frame(&self.client, app, "tool_confirm")["tool_call_id"].as_str().unwrap().to_owned()
    }

    async fn says(&self, app: &TestApp, user: UserId, call_id: &str, approve: bool) -> bool {
        let yes = MemberYes { conversation: self.conversation, user, call_id, approve };
        decide_as_member(&app.wake(), self.tenant.id, yes, Patience::of(WEBSOCKET)).await.unwrap()
    }

    /// Works what decisions have queued.
    async fn go_on(&self, app: &TestApp) -> Task {
        let sent = app.queue().sent();
        let task = sent.iter().map(|sent| sent.task()).rfind(|task| task.message.id == self.message).unwrap();
        app.work_until_done(&task).await;
        task
    }
}

/// proves AGNT-05, WS-03
#[tokio::test]
async fn a_yes_runs_the_tool_once_and_the_agent_answers() {
    let app = TestApp::start().await;
    let waiting = Waiting::new(&app).await;
    assert_eq!(kinds(&waiting.client, &app), ["openai_call", "openai_response", "tool_call", "tool_confirm"]);
    let asked = frame(&waiting.client, &app, "tool_confirm");
    assert_eq!((&asked["tool_name"], &asked["arguments"]), (&json!("shop_buy"), &json!({"what": "a hat"})));
    let in_15_minutes = "SELECT 1 FROM turn_steps WHERE turn_id = $1 AND state = 'waiting'
        AND expires_at BETWEEN now() + interval '14 minutes' AND now() + interval '15 minutes'";
    assert_eq!(app.count(in_15_minutes, &[&waiting.message.0]).await, 1);
    let pointed = app.redis.waiting_calls(waiting.tenant.id, waiting.conversation).await.unwrap();
    let call_id = waiting.call_id(&app);
    assert_eq!(pointed, std::slice::from_ref(&call_id));
    assert_eq!(app.tools().times("buy"), 0);

    app.model().script([Script::say(&["It is yours."])]);
    assert!(waiting.says(&app, waiting.tenant.user, &call_id, true).await);
    assert!(!waiting.says(&app, waiting.tenant.user, &call_id, false).await, "decided is decided");
    let task = waiting.go_on(&app).await;
    assert_eq!(task.task, TaskKind::Continue);
    let sent = app.queue().sent();
    assert_eq!(sent.last().unwrap().deduplication_id, format!("{}:{call_id}", waiting.message));
    assert_eq!(app.tools().runs().last().unwrap().1["what"], "a hat");
    assert_eq!(app.tools().times("buy"), 1);
    assert_eq!(kinds(&waiting.client, &app)[4..], ["tool_result", "openai_call", "openai_response", "whole"]);
    let told = endings(&waiting.client.numbered(&app)).unwrap();
    assert_eq!(told[0].answer.as_ref().unwrap().1, "It is yours.");
    assert!(app.redis.waiting_calls(waiting.tenant.id, waiting.conversation).await.unwrap().is_empty());
    app.work(&task).await;
    assert_eq!(app.tools().times("buy"), 1, "a record that comes again runs nothing");
}

/// proves AGNT-05
#[tokio::test]
async fn a_no_runs_nothing_and_the_agent_answers() {
    let app = TestApp::start().await;
    let waiting = Waiting::new(&app).await;
    app.model().script([Script::say(&["As you wish."])]);
    let call_id = waiting.call_id(&app);
    assert!(waiting.says(&app, waiting.tenant.user, &call_id, false).await);
    waiting.go_on(&app).await;
    assert_eq!(app.tools().times("buy"), 0);
    assert_eq!(frame(&waiting.client, &app, "tool_result")["result"], "not run: denied");
    assert_eq!(said(&app, &waiting.tenant, waiting.conversation).await, ["buy me a hat", "As you wish."]);
}

/// proves AGNT-05
#[tokio::test]
async fn messages_meanwhile_are_answered_and_say_yes_to_nothing() {
    let app = TestApp::start().await;
    let waiting = Waiting::new(&app).await;
    let (_, task) = app.message(&waiting.tenant, waiting.conversation, "yes").await;
    assert_eq!(app.work(&task).await, Disposition::Done);
    assert_eq!(app.tools().times("buy"), 0);
    assert_eq!(
        said(&app, &waiting.tenant, waiting.conversation).await,
        ["buy me a hat".to_owned(), "yes".to_owned(), echo("yes")]
    );
    app.model().script([Script::say(&["Bought."])]);
    let call_id = waiting.call_id(&app);
    assert!(waiting.says(&app, waiting.tenant.user, &call_id, true).await);
    waiting.go_on(&app).await;
    assert_eq!(app.tools().times("buy"), 1);
    let prompt = app.model().prompts().pop().unwrap();
    assert!(
        !prompt.contains(&"yes".to_owned()),
        "what came after the message is not in its prompt: {prompt:?}"
    );
    let (_, task) = app.message(&waiting.tenant, waiting.conversation, "and now?").await;
    app.work(&task).await;
    assert_eq!(
        app.model().prompts().pop().unwrap(),
        ["buy me a hat", "Bought.", "yes", &echo("yes"), "and now?"],
        "each answer stands behind its question"
    );
}

/// proves AGNT-05
#[tokio::test]
async fn nobody_else_decides_and_nothing_decides_it_later_or_elsewhere() {
    let app = TestApp::start().await;
    let waiting = Waiting::new(&app).await;
    let call_id = waiting.call_id(&app);
    let colleague = app.member(waiting.tenant.id, TenantRole::Member).await;
    assert!(!waiting.says(&app, colleague, &call_id, true).await, "another member");
    assert!(!waiting.says(&app, waiting.tenant.admin, &call_id, true).await, "not even an admin");
    let other = app.conversation_of(&waiting.tenant, waiting.tenant.user, "other").await;
    let elsewhere =
        MemberYes { conversation: other, user: waiting.tenant.user, call_id: &call_id, approve: true };
    let patience = Patience::of(WEBSOCKET);
    assert!(!decide_as_member(&app.wake(), waiting.tenant.id, elsewhere, patience).await.unwrap());
    let stranger = app.tenant().await;
    let yes = Yes {
        conversation: waiting.conversation,
        person: &waiting.tenant.user.to_string(),
        call_id: Some(&call_id),
        approve: true,
        message: None,
    };
    let outcome = decide(&app.wake(), stranger.id, yes, patience).await.unwrap();
    assert_eq!(outcome, Outcome::Nothing, "another tenant");
    app.remove_member(waiting.tenant.id, waiting.tenant.user).await;
    let gone = MemberYes {
        conversation: waiting.conversation,
        user: waiting.tenant.user,
        call_id: &call_id,
        approve: true,
    };
    assert!(
        decide_as_member(&app.wake(), waiting.tenant.id, gone, patience).await.is_err(),
        "no member any more"
    );
    assert_eq!(app.tools().times("buy"), 0);
}

/// proves AGNT-05
#[tokio::test]
async fn what_nobody_decides_expires_and_cannot_be_decided_then() {
    let app = TestApp::alone().await;
    let waiting = Waiting::new(&app).await;
    let call_id = waiting.call_id(&app);
    assert_eq!(expire(&app.wake()).await.unwrap(), 0);
    let late = "UPDATE turn_steps SET expires_at = now() - interval '1 second' WHERE turn_id = $1 AND state = 'waiting'";
    app.root.execute(late, &[&waiting.message.0]).await.unwrap();
    assert!(!waiting.says(&app, waiting.tenant.user, &call_id, true).await, "too late");
    assert_eq!(expire(&app.wake()).await.unwrap(), 1);
    assert_eq!(expire(&app.wake()).await.unwrap(), 0);
    app.model().script([Script::say(&["It took too long."])]);
    waiting.go_on(&app).await;
    assert_eq!(frame(&waiting.client, &app, "tool_result")["result"], "not run: expired");
    assert_eq!(
        said(&app, &waiting.tenant, waiting.conversation).await,
        ["buy me a hat", "It took too long."]
    );
    assert_eq!(app.tools().times("buy"), 0);
}

/// proves AGNT-05
#[tokio::test]
async fn arguments_or_grants_that_changed_behind_the_yes_run_nothing() {
    let app = TestApp::start().await;
    let changes = [
        "UPDATE turn_steps SET request = jsonb_set(request, '{arguments}', '\"{\\\"what\\\": \\\"a car\\\"}\"') WHERE turn_id = $1 AND kind = 'tool'",
        "DELETE FROM agent_tools WHERE tool = 'shop_buy' AND agent_id = (SELECT c.agent_id FROM turns t
            JOIN web_conversations c ON c.id = t.conversation_id WHERE t.id = $1)",
    ];
    for (change, why) in changes
        .into_iter()
        .zip(["not run: invalid arguments: they are not those that were agreed to", "not run: not granted"])
    {
        let waiting = Waiting::new(&app).await;
        assert_eq!(app.root.execute(change, &[&waiting.message.0]).await.unwrap(), 1);
        let call_id = waiting.call_id(&app);
        assert!(waiting.says(&app, waiting.tenant.user, &call_id, true).await);
        waiting.go_on(&app).await;
        assert_eq!(frame(&waiting.client, &app, "tool_result")["result"], why);
        assert_eq!(app.tools().times("buy"), 0);
    }
}

/// proves AGNT-05, CHAT-11
#[tokio::test]
async fn a_cancel_with_nothing_at_work_denies_what_waits_and_stops_its_answer() {
    let app = TestApp::start().await;
    let waiting = Waiting::new(&app).await;
    let (user, patience) = (waiting.tenant.user, Patience::of(WEBSOCKET));
    let (wake, connections, tenant) = (app.wake(), app.connections(), waiting.tenant.id);
    assert!(stop(&wake, &connections, tenant, user, waiting.conversation, patience).await.unwrap());
    waiting.go_on(&app).await;
    assert_eq!(frame(&waiting.client, &app, "tool_result")["result"], "not run: denied");
    let told = endings(&waiting.client.numbered(&app)).unwrap();
    assert!(told[0].stopped);
    assert_eq!(app.tools().times("buy"), 0);
}

/// proves AGNT-05
#[tokio::test]
async fn a_yes_whose_task_was_lost_is_found_by_the_janitor() {
    let app = TestApp::alone().await;
    let waiting = Waiting::new(&app).await;
    app.model().script([Script::say(&["It is yours."])]);
    app.queue().fail_next(1_000);
    let yes = MemberYes {
        conversation: waiting.conversation,
        user: waiting.tenant.user,
        call_id: &waiting.call_id(&app),
        approve: true,
    };
    let patience = Patience::of(std::time::Duration::from_millis(100));
    assert!(decide_as_member(&app.wake(), waiting.tenant.id, yes, patience).await.is_err());
    app.queue().fail_next(0);
    let old = "UPDATE turns SET created_at = created_at - interval '2 minutes'";
    app.root.execute(old, &[]).await.unwrap();
    assert_eq!(konstruct_service::janitor::rescue(&app.wake()).await.unwrap(), 1);
    waiting.go_on(&app).await;
    assert_eq!(app.tools().times("buy"), 1);
}

/// proves AGNT-05
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_races_between_yes_and_no_one_decides_and_the_tool_runs_so_often() {
    let app = TestApp::start().await;
    let seed = seeds(1).first().copied().unwrap_or(0);
    println!("TEST_SEED={seed}");
    let mut chance = Chance::of(seed);
    let (mut approved, mut denied) = (0, 0);
    for _ in 0..100 {
        let waiting = Waiting::new(&app).await;
        let before = app.tools().times("buy");
        let call_id = waiting.call_id(&app);
        // Two devices, and a message on a channel that names no call.
        let says = (0..6).map(|_| (chance.below(2) == 0, chance.below(3) == 0));
        let races = says.collect::<Vec<_>>().into_iter().map(|(approve, by_message)| {
            let (wake, tenant, conversation) = (app.wake(), waiting.tenant, waiting.conversation);
            let call_id = call_id.clone();
            tokio::spawn(async move {
                let person = tenant.user.to_string();
                let call_id = (!by_message).then_some(call_id.as_str());
                let message = by_message.then(|| MessageId(id()));
                let yes = Yes { conversation, person: &person, call_id, approve, message };
                let outcome = decide(&wake, tenant.id, yes, Patience::of(WEBSOCKET)).await.unwrap();
                (outcome == Outcome::Decided, approve)
            })
        });
        let mut decided = Vec::new();
        for race in races.collect::<Vec<_>>() {
            let (won, approve) = race.await.unwrap();
            decided.extend(won.then_some(approve));
        }
        assert_eq!(decided.len(), 1, "one decision");
        app.model().script([Script::say(&["Done."])]);
        // SQS delivers the record twice at once.
        let task = app
            .queue()
            .sent()
            .into_iter()
            .map(|s| s.task())
            .rfind(|t| t.message.id == waiting.message)
            .unwrap();
        let (one, two) = (app.world.agent(), app.world.agent());
        let (first, second) = (konstruct_tests::app::record(), konstruct_tests::app::record());
        let _ = tokio::join!(one.work(&task, &first), two.work(&task, &second));
        waiting.go_on(&app).await;
        let runs = app.tools().times("buy") - before;
        assert_eq!(runs, usize::from(decided[0]), "it runs once after a yes, never after a no");
        approved += usize::from(decided[0]);
        denied += usize::from(!decided[0]);
    }
    println!("of 100 races yes won {approved} and no {denied}; the tool ran {approved} times");
    assert!(approved > 10 && denied > 10);
}
