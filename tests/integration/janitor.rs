//! The janitor's rescue: what is due and nobody is at work on is queued again, and nothing else. In a database of its
//! own: it looks at all tenants.

use konstruct_protocol::TaskKind;
use konstruct_service::janitor::rescue;
use konstruct_service::turn::{Disposition, Record};
use konstruct_tests::app::{NOW, record};
use konstruct_tests::fakes::model::echo;
use konstruct_tests::{TestApp, TestTenant};
use time::Duration;

use crate::turn::said;

/// As if every turn had been accepted a minute earlier.
async fn a_minute_passes(app: &TestApp) {
    let sql = "UPDATE turns SET created_at = created_at - interval '1 minute', ended_at = ended_at - interval '1 minute'";
    app.root.execute(sql, &[]).await.unwrap();
}

async fn run(app: &TestApp) -> usize {
    rescue(&app.wake()).await.unwrap()
}

/// proves CHAT-08, CHAN-04
#[tokio::test]
async fn a_turn_whose_record_was_lost_is_woken_under_a_group_and_id_of_its_own() {
    let app = TestApp::alone().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let (message, _) = app.message(&tenant, conversation, "hello").await;
    assert_eq!(run(&app).await, 0, "a fresh turn has its record");
    a_minute_passes(&app).await;
    assert_eq!(run(&app).await, 1);
    let sent = app.queue().sent();
    assert_eq!(sent[0].group_id, format!("{}:{conversation}:rescue", tenant.id));
    let minute = NOW.unix_timestamp() / 60;
    assert_eq!(sent[0].deduplication_id, format!("{message}:s{minute}"));
    let task = sent[0].task();
    assert_eq!(
        (task.task, task.message.id, task.message.content.as_str()),
        (TaskKind::Message, message, "hello")
    );
    assert_eq!(task.message.sender.user_id, tenant.user.to_string());
    run(&app).await;
    app.world.clock.set(NOW + Duration::minutes(1));
    run(&app).await;
    let ids: Vec<_> = app.queue().sent().into_iter().map(|sent| sent.deduplication_id).collect();
    assert_eq!(ids[0], ids[1], "SQS drops the second of a minute");
    assert_eq!(ids[2], format!("{message}:s{}", minute + 1));
    let rescued = Record { rescue: true, ..record() };
    assert_eq!(app.agent().work(&task, &rescued).await, Disposition::Done);
    assert_eq!(said(&app, &tenant, conversation).await, ["hello".to_owned(), echo("hello")]);
    a_minute_passes(&app).await;
    assert_eq!(run(&app).await, 0, "what is delivered is done");
}

/// proves CHAT-08
#[tokio::test]
async fn a_rescue_answers_whatever_is_due_in_the_conversation() {
    let app = TestApp::alone().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let (_, first) = app.message(&tenant, conversation, "one").await;
    app.message(&tenant, conversation, "two").await;
    let rescued = Record { rescue: true, ..record() };
    assert_eq!(app.agent().work(&first, &rescued).await, Disposition::Done);
    assert_eq!(app.model().asked().len(), 2);
}

async fn set(app: &TestApp, tenant: &TestTenant, sql: &str) {
    assert!(app.root.execute(sql, &[&tenant.id.0]).await.unwrap() > 0, "{sql}");
}

/// proves CHAT-08
#[tokio::test]
async fn what_is_leased_waits_or_is_delivered_is_left_alone_and_what_ended_undelivered_is_not() {
    let app = TestApp::alone().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    app.message(&tenant, conversation, "hello").await;
    a_minute_passes(&app).await;
    set(
        &app,
        &tenant,
        "UPDATE web_conversations SET lease_until = now() + interval '1 minute' WHERE tenant_id = $1",
    )
    .await;
    assert_eq!(run(&app).await, 0, "leased");
    set(
        &app,
        &tenant,
        "UPDATE web_conversations SET lease_until = now() - interval '1 s' WHERE tenant_id = $1",
    )
    .await;
    assert_eq!(run(&app).await, 1, "its lease ran out");
    set(&app, &tenant, "UPDATE turns SET state = 'waiting' WHERE tenant_id = $1").await;
    assert_eq!(run(&app).await, 0, "it waits for a person");
    let ended =
        "UPDATE turns SET state = 'ended', ended_at = now() - interval '1 minute' WHERE tenant_id = $1";
    set(&app, &tenant, ended).await;
    assert_eq!(run(&app).await, 1, "ended and not delivered");
    set(&app, &tenant, "UPDATE turns SET delivered_at = now() WHERE tenant_id = $1").await;
    assert_eq!(run(&app).await, 0, "delivered");
}

/// proves CHAT-08, TEN-01
#[tokio::test]
async fn every_tenants_turns_are_found_oldest_first() {
    let app = TestApp::alone().await;
    let mut expected = Vec::new();
    for _ in 0..4 {
        let tenant = app.tenant().await;
        let conversation = app.conversation(&tenant).await;
        expected.push(app.message(&tenant, conversation, "hello").await.0.to_string());
    }
    a_minute_passes(&app).await;
    assert_eq!(run(&app).await, 4);
    let woken: Vec<_> = app.queue().sent().iter().map(|sent| sent.task().message.id.to_string()).collect();
    assert_eq!(woken, expected);
    let some = app.db.due_turns(std::time::Duration::from_secs(45), 3).await.unwrap();
    assert_eq!(some.len(), 3, "no more than asked for");
}
