//! Invocations that die, and a Redis that loses its data, in the middle of an answer. Whatever dies in between: each
//! message is answered exactly once, in order, and nobody sees a number twice.

use std::time::Duration;

use konstruct_domain::Seq;
use konstruct_service::patience::{Patience, WEBSOCKET};
use konstruct_service::turn::Disposition;
use konstruct_tests::crash::invoke_until;
use konstruct_tests::fakes::FakeModel;
use konstruct_tests::fakes::model::{Beat, Script, Signal, echo};
use konstruct_tests::history::endings;
use konstruct_tests::{TestApp, TestTenant};

use crate::turn::{client_sees, portal, said, session};

const LEASE: Duration = Duration::from_millis(300);

/// A world whose leases end soon.
async fn hasty() -> TestApp {
    let mut app = TestApp::start().await;
    app.world.limits.lease = LEASE;
    app
}

/// proves CHAT-08, CHAT-09
#[tokio::test]
async fn an_invocation_that_dies_while_it_writes_is_begun_anew_by_the_next() {
    let app = hasty().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let mut client = session(&app, &tenant, conversation).await;
    app.model().script([Script::Stream(vec![Beat::Say("Half ".into()), Beat::Hang])]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    let dies = Signal::default();
    let dead = invoke_until(&app.world, &task, dies.clone());
    client_sees(&app, &client, "Half ").await;
    dies.give();
    assert_eq!(tokio::task::spawn_blocking(|| dead.join()).await.unwrap().unwrap(), None);
    app.keys.push_lease_runs_out(tenant.id, conversation).await;
    app.work_until_done(&task).await;
    assert_eq!(said(&app, &tenant, conversation).await, ["hello".to_owned(), echo("hello")]);
    assert!(client.was_closed(&app), "it is not known what it got");
    client.connect(&app).await.unwrap();
    let told = endings(&client.numbered(&app)).unwrap();
    assert_eq!((told.len(), told[0].answer.as_ref().unwrap().1.clone()), (1, echo("hello")));
    assert!(client.numbered(&app).iter().any(|f| f["type"] == "discard"));
}

/// proves CHAT-08, CHAT-11
#[tokio::test]
async fn an_answer_that_is_stopped_after_its_invocation_died_is_what_was_shown() {
    let app = hasty().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let mut client = session(&app, &tenant, conversation).await;
    app.model().script([Script::Stream(vec![Beat::Say("Half ".into()), Beat::Hang])]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    let dies = Signal::default();
    let dead = invoke_until(&app.world, &task, dies.clone());
    client_sees(&app, &client, "Half ").await;
    dies.give();
    assert_eq!(tokio::task::spawn_blocking(|| dead.join()).await.unwrap().unwrap(), None);
    let stopped = konstruct_service::stop::stop(
        &app.wake(),
        &app.connections(),
        tenant.id,
        tenant.user,
        conversation,
        Patience::of(WEBSOCKET),
    )
    .await;
    assert!(stopped.unwrap());
    app.keys.push_lease_runs_out(tenant.id, conversation).await;
    app.work_until_done(&task).await;
    assert_eq!(said(&app, &tenant, conversation).await, ["hello", "Half "]);
    client.connect(&app).await.unwrap();
    let told = endings(&client.numbered(&app)).unwrap();
    assert_eq!((told.len(), told[0].stopped), (1, true));
    assert_eq!(app.model().asked().len(), 1);
}

/// proves CHAT-08
#[tokio::test]
async fn a_message_that_kills_every_invocation_ends_in_agent_failed() {
    let app = hasty().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    for n in 1..=5 {
        app.model().script([Script::Silence]);
        let dies = Signal::default();
        let dead = invoke_until(&app.world, &task, dies.clone());
        asked(app.model(), n).await;
        dies.give();
        assert_eq!(tokio::task::spawn_blocking(|| dead.join()).await.unwrap().unwrap(), None);
        app.keys.push_lease_runs_out(tenant.id, conversation).await;
        lease_runs_out(&app, &tenant).await;
    }
    app.work_until_done(&task).await;
    assert_eq!(app.model().asked().len(), 5);
    let failed = "SELECT 1 FROM web_conversation_messages m JOIN turns t ON t.id = m.id
        WHERE m.tenant_id = $1 AND m.error = 'agent_failed' AND t.attempts = 5";
    assert_eq!(app.count(failed, &[&tenant.id.0]).await, 1);
}

async fn asked(model: &FakeModel, times: usize) {
    let asked = async {
        while model.asked().len() < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.expect("the model is asked");
}

/// What time does to the lease of a dead invocation.
async fn lease_runs_out(app: &TestApp, tenant: &TestTenant) {
    let sql = "UPDATE web_conversations SET lease_until = now() WHERE tenant_id = $1";
    app.root.execute(sql, &[&tenant.id.0]).await.unwrap();
}

/// proves CHAT-09
#[tokio::test]
async fn a_redis_that_loses_its_data_costs_no_answer_and_no_number_is_used_again() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let mut client = portal(&app, &tenant, conversation).await;
    let go = Signal::default();
    let beats =
        vec![Beat::Say("Half ".into()), Beat::Wait(go.clone()), Beat::Say("whole.".into()), Beat::Finish];
    app.model().script([Script::Stream(beats)]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    let (worked, ()) = tokio::join!(app.work(&task), async {
        client_sees(&app, &client, "Half ").await;
        app.keys.flush(tenant.id).await;
        go.give();
    });
    assert_eq!(worked, Disposition::Done);
    assert_eq!(said(&app, &tenant, conversation).await, ["hello", "Half whole."]);
    assert!(client.was_closed(&app), "it does not know yet that it must come back");
    let before = client.last_seq(&app);
    client.connect(&app).await.unwrap();
    assert!(client.frames(&app).iter().any(|f| f["code"] == "replay_gap"));
    let (_, task) = app.message(&tenant, conversation, "again").await;
    assert_eq!(app.work(&task).await, Disposition::Done);
    let numbers: Vec<i64> = client.numbered(&app).iter().map(|f| f["seq"].as_i64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert!(numbers.iter().all(|n| *n <= before || *n > 1_000_000_000), "{numbers:?}");
}

/// proves CHAT-09
#[tokio::test]
async fn a_client_that_comes_back_during_an_answer_after_a_flush_gets_its_end() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let mut client = portal(&app, &tenant, conversation).await;
    let (go, on) = (Signal::default(), Signal::default());
    let say = |text: &str| Beat::Say(text.to_owned());
    let beats = vec![
        say("One "),
        Beat::Wait(go.clone()),
        say("two "),
        Beat::Wait(on.clone()),
        say("three."),
        Beat::Finish,
    ];
    app.model().script([Script::Stream(beats)]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    let (worked, ()) = tokio::join!(app.work(&task), async {
        client_sees(&app, &client, "One ").await;
        app.keys.flush(tenant.id).await;
        // The model is silent: the poster finds out by itself.
        app.gateway().wait_closed(client.connection()).await;
        client.connect(&app).await.unwrap();
        go.give();
        on.give();
    });
    assert_eq!(worked, Disposition::Done);
    let last = client.numbered(&app).last().cloned().unwrap();
    assert_eq!((last["type"].as_str(), last["text"].as_str()), (Some("response"), Some("One two three.")));
    assert_eq!(endings(&client.told(&app)).unwrap().len(), 1);
}

/// proves CHAT-09
#[tokio::test]
async fn frames_that_a_dead_invocation_logged_and_nobody_posted_are_posted_by_the_next() {
    use konstruct_domain::{Epoch, Fence, Generation, MessageId};
    use konstruct_protocol::Event;
    use konstruct_redis::frame_log::{Append, Writer};
    let app = hasty().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    // An invocation that began the first log, wrote to it, and died before it had the push lease.
    let sql = "UPDATE web_conversations SET fence = 1, log_generation = 0 WHERE id = $1";
    app.root.execute(sql, &[&conversation.0]).await.unwrap();
    app.redis.begin_log(tenant.id, conversation, Generation(0), Fence(1), Epoch(0)).await.unwrap();
    let (message, task) = app.message(&tenant, conversation, "hello").await;
    let void = MessageId(konstruct_tests::id());
    let events = [Event::Piece { message_id: void, text: "Void".to_owned() }];
    let fence = Some(Fence(1));
    let name = "f1".to_owned();
    let writer = Writer { generation: Generation(0), fence, epoch: Epoch(0), name, number: 1, known: Seq(0) };
    let append = Append { events: &events, unless_stopped: None, keep_from: None };
    app.redis.append(tenant.id, conversation, &writer, append).await.unwrap();
    let begun = "UPDATE turns SET answer_id = $2, began_at = now(), in_progress = true WHERE id = $1";
    app.root.execute(begun, &[&message.0, &void.0]).await.unwrap();
    app.work_until_done(&task).await;
    let numbers: Vec<i64> = client.numbered(&app).iter().map(|f| f["seq"].as_i64().unwrap()).collect();
    assert_eq!(numbers.first(), Some(&1), "{:#?}", client.numbered(&app));
    assert_eq!(endings(&client.numbered(&app)).unwrap().len(), 1);
}
