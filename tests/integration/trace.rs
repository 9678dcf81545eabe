//! The trace of a message: the one it was accepted in, whoever queues it again and whoever works on it.

use konstruct_domain::{MessageId, TraceId};
use konstruct_postgres::turns::TurnRow;
use konstruct_protocol::{TaskKind, TraceParent};
use konstruct_service::confirm::{MemberYes, decide_as_member};
use konstruct_service::inbound::Normalised;
use konstruct_service::janitor::rescue;
use konstruct_service::patience::{Patience, WEBSOCKET};
use konstruct_tests::app::{in_trace, received};
use konstruct_tests::fakes::Sent;
use konstruct_tests::fakes::model::Script;
use konstruct_tests::{TestApp, id};

use crate::tools::{frame, shop};
use crate::turn::session;

/// Another invocation's.
fn later() -> TraceParent {
    TraceParent::parse("00-1234567890abcdef1234567890abcdef-aaaaaaaaaaaaaaaa-01").unwrap()
}

/// What records say of their trace, in the order they were sent.
fn told(app: &TestApp) -> Vec<(TaskKind, Option<TraceId>)> {
    let told = |sent: Sent| {
        let place = sent.traceparent.as_deref().and_then(TraceParent::parse);
        (sent.task().task, place.map(|place| place.id))
    };
    app.queue().sent().into_iter().map(told).collect()
}

/// proves OPS-04
#[tokio::test]
async fn a_copy_is_queued_in_the_trace_of_the_first() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let first = received(tenant.id, tenant.user, conversation, MessageId(id()), "hello");
    app.inbound().accept(first.clone()).await.unwrap();
    app.inbound().accept(Normalised { trace: later(), ..first }).await.unwrap();
    let trace = Some(in_trace().id);
    assert_eq!(told(&app), [(TaskKind::Message, trace), (TaskKind::Message, trace)]);
}

/// proves OPS-04
#[tokio::test]
async fn a_rescue_and_a_decision_wake_the_agent_in_the_messages_own_trace() {
    let app = TestApp::alone().await;
    let tenant = shop(&app).await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    app.model().script([Script::call("c1", "shop_buy", r#"{"what": "a hat"}"#)]);
    let (_, task) = app.message(&tenant, conversation, "buy me a hat").await;
    app.work(&task).await;
    let call_id = frame(&client, &app, "tool_confirm")["tool_call_id"].as_str().unwrap().to_owned();
    let yes = MemberYes { conversation, user: tenant.user, call_id: &call_id, approve: true };
    assert!(decide_as_member(&app.wake(), tenant.id, yes, Patience::of(WEBSOCKET)).await.unwrap());
    let minute = "UPDATE turns SET created_at = created_at - interval '1 minute'";
    app.root.execute(minute, &[]).await.unwrap();
    assert_eq!(rescue(&app.wake()).await.unwrap(), 1);
    let trace = Some(in_trace().id);
    assert_eq!(told(&app), [(TaskKind::Continue, trace), (TaskKind::Message, trace)]);
}

/// proves OPS-04
#[tokio::test]
async fn a_turn_from_before_there_were_traces_is_worked_on_without_one() {
    let app = TestApp::alone().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let (message, task) = app.message(&tenant, conversation, "hello").await;
    let older = "UPDATE turns SET trace_id = NULL, created_at = created_at - interval '1 minute'";
    app.root.execute(older, &[]).await.unwrap();
    assert_eq!(rescue(&app.wake()).await.unwrap(), 1);
    assert_eq!(told(&app), [(TaskKind::Message, None)]);
    let row: Option<TurnRow> =
        app.db.begin(tenant.id).await.unwrap().next_turn(conversation, Some(message)).await.unwrap();
    assert_eq!(row.unwrap().trace, None);
    app.work_until_done(&task).await;
    let delivered = "SELECT 1 FROM turns WHERE id = $1 AND delivered_at IS NOT NULL";
    assert_eq!(app.count(delivered, &[&message.0]).await, 1);
}
