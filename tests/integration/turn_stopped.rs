//! Answers that are cut: by the person (`cancel`), and by a reset of the conversation. What was shown is the answer.

use std::time::Duration;

use konstruct_domain::{Access, ConversationId};
use konstruct_ports::ModelError;
use konstruct_redis::Key;
use konstruct_service::Error;
use konstruct_service::conversations::{find, history};
use konstruct_service::patience::{Patience, WEBSOCKET};
use konstruct_service::stop::stop;
use konstruct_service::turn::Disposition;
use konstruct_tests::fakes::model::{Beat, Script, Signal, echo};
use konstruct_tests::history::endings;
use konstruct_tests::{TestApp, TestTenant};
use tokio::time::timeout;

use crate::turn::{client_sees, portal, said, session};

fn say(text: &str) -> Beat {
    Beat::Say(text.to_owned())
}

async fn reset(app: &TestApp, tenant: &TestTenant, conversation: ConversationId) -> Result<(), Error> {
    let row = find(&app.db, &tenant.caller(), conversation, Access::Write).await?;
    app.on_behalf().reset(&row).await
}

/// proves CHAT-11
#[tokio::test]
async fn a_cancel_while_the_model_writes_keeps_exactly_what_was_shown() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = portal(&app, &tenant, conversation).await;
    app.model().script([Script::Stream(vec![say("One "), say("two."), Beat::Hang])]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    let (worked, ()) = tokio::join!(app.work(&task), async {
        client_sees(&app, &client, "two.").await;
        assert!(
            stop(
                &app.wake(),
                &app.connections(),
                tenant.id,
                tenant.user,
                conversation,
                Patience::of(WEBSOCKET)
            )
            .await
            .unwrap()
        );
    });
    assert_eq!(worked, Disposition::Done);
    let told = endings(&client.numbered(&app)).unwrap();
    assert_eq!((told.len(), told[0].stopped), (1, true));
    assert_eq!(told[0].answer.as_ref().unwrap().1, "One two.");
    let (messages, _) = history(&app.db, &tenant.caller(), conversation, None, 50).await.unwrap();
    assert_eq!((messages[1].content.as_str(), messages[1].stopped), ("One two.", true));
    assert_eq!(app.model().streams_open(), 0, "the model was hung up on");
    let billed = "SELECT 1 FROM llm_usage WHERE tenant_id = $1 AND estimated";
    assert_eq!(app.count(billed, &[&tenant.id.0]).await, 1);
    assert!(
        !stop(&app.wake(), &app.connections(), tenant.id, tenant.user, conversation, Patience::of(WEBSOCKET))
            .await
            .unwrap(),
        "nothing is being written"
    );
    let (_, task) = app.message(&tenant, conversation, "again").await;
    app.work(&task).await;
    assert_eq!(app.model().prompts()[1], ["hello", "One two.", "again"], "the mark stops no later answer");
    assert_eq!(said(&app, &tenant, conversation).await[3], echo("again"));
}

/// proves CHAT-11
#[tokio::test]
async fn a_cancel_before_the_first_piece_stores_an_empty_answer() {
    for script in [Script::Silence, Script::Stream(vec![Beat::Hang])] {
        let app = TestApp::start().await;
        let tenant = app.tenant().await;
        let conversation = app.conversation(&tenant).await;
        let client = session(&app, &tenant, conversation).await;
        app.model().script([script]);
        let (_, task) = app.message(&tenant, conversation, "hello").await;
        let (worked, ()) = tokio::join!(app.work(&task), async {
            app.gateway().wait_for(client.connection(), |f| f["type"] == "openai_call").await;
            assert!(
                stop(
                    &app.wake(),
                    &app.connections(),
                    tenant.id,
                    tenant.user,
                    conversation,
                    Patience::of(WEBSOCKET)
                )
                .await
                .unwrap()
            );
        });
        assert_eq!(worked, Disposition::Done);
        let told = endings(&client.numbered(&app)).unwrap();
        assert_eq!((told[0].stopped, told[0].answer.as_ref().unwrap().1.as_str()), (true, ""));
        assert_eq!(said(&app, &tenant, conversation).await, ["hello", ""]);
    }
}

/// proves CHAT-11
#[tokio::test]
async fn a_cancel_between_two_tries_ends_the_turn() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    let later = ModelError::Retryable { reason: "busy".into(), retry_after: Some(Duration::from_secs(60)) };
    app.model().script([Script::Stream(vec![
        say("Half "),
        Beat::Pause(Duration::from_millis(50)),
        Beat::Fail(later),
    ])]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    let (worked, ()) = tokio::join!(app.work(&task), async {
        app.gateway().wait_for(client.connection(), |f| f["type"] == "discard").await;
        assert!(
            stop(
                &app.wake(),
                &app.connections(),
                tenant.id,
                tenant.user,
                conversation,
                Patience::of(WEBSOCKET)
            )
            .await
            .unwrap()
        );
    });
    assert_eq!(worked, Disposition::Done);
    let told = endings(&client.numbered(&app)).unwrap();
    assert_eq!((told.len(), told[0].stopped), (1, true));
    assert_eq!(said(&app, &tenant, conversation).await, ["hello", ""], "the pieces were void");
}

/// proves CHAT-11
#[tokio::test]
async fn a_cancel_that_nobody_was_alive_to_see_is_found_by_the_next_invocation() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = portal(&app, &tenant, conversation).await;
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    assert!(
        stop(&app.wake(), &app.connections(), tenant.id, tenant.user, conversation, Patience::of(WEBSOCKET))
            .await
            .unwrap()
    );
    let (_, later) = app.message(&tenant, conversation, "later").await;
    assert_eq!(app.work(&later).await, Disposition::Done);
    assert_eq!(app.work(&task).await, Disposition::Done);
    let told = endings(&client.numbered(&app)).unwrap();
    assert_eq!(
        told.iter().map(|e| e.stopped).collect::<Vec<_>>(),
        [true, false],
        "messages that wait are answered"
    );
    assert_eq!(app.model().prompts(), [["hello", "later"]]);
}

/// proves CHAT-03
#[tokio::test]
async fn a_reset_empties_history_log_and_memory_and_the_numbers_go_on() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    let (message, task) = app.message(&tenant, conversation, "hello").await;
    app.work(&task).await;
    let before = client.last_seq(&app);
    let (waiting, waits) = app.message(&tenant, conversation, "waits").await;
    reset(&app, &tenant, conversation).await.unwrap();
    assert_eq!(said(&app, &tenant, conversation).await, [""; 0]);
    let memory = Key::memory(tenant.id, tenant.agent, Some(tenant.user), conversation);
    assert!(!app.keys.exists(memory.as_str()).await);
    assert!(!app.keys.exists(Key::frames(tenant.id, conversation).as_str()).await);
    let kept =
        "SELECT 1 FROM turns WHERE conversation_id = $1 AND state = 'ended' AND delivered_at IS NOT NULL";
    assert_eq!(app.count(kept, &[&conversation.0]).await, 2, "a resend remains a copy");
    assert_eq!(
        app.count("SELECT 1 FROM llm_usage WHERE tenant_id = $1", &[&tenant.id.0]).await,
        1,
        "the bill stays"
    );
    for (id, text) in [(message, "hello"), (waiting, "waits")] {
        let stored = app.store(tenant.id, tenant.user, conversation, id, text).await;
        let konstruct_postgres::messages::Stored::Yes(stored) = stored else { panic!("{stored:?}") };
        assert!(stored.duplicate && stored.ended);
    }
    assert_eq!(said(&app, &tenant, conversation).await, [""; 0], "nothing was stored");
    assert_eq!(app.work(&waits).await, Disposition::Done);
    assert_eq!(app.model().asked().len(), 1, "what had not begun is not answered any more");
    let (_, next) = app.message(&tenant, conversation, "next").await;
    assert_eq!(app.work(&next).await, Disposition::Done);
    assert_eq!(app.model().prompts()[1], ["next"], "nothing of before is remembered");
    let first_after =
        client.numbered(&app).iter().filter_map(|f| f["seq"].as_i64()).find(|seq| *seq > before);
    assert_eq!(first_after, Some(before + 1));
}

/// proves CHAT-03
#[tokio::test]
async fn a_reset_stops_an_answer_under_way_before_everything_is_gone() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    let go = Signal::default();
    let beats = vec![say("Half "), Beat::Wait(go.clone()), say("whole."), Beat::Finish];
    app.model().script([Script::Stream(beats)]);
    let (message, task) = app.message(&tenant, conversation, "hello").await;
    let (worked, ()) = tokio::join!(app.work(&task), async {
        client_sees(&app, &client, "Half ").await;
        // The model writes on while the reset is under way.
        let (done, ()) = tokio::join!(reset(&app, &tenant, conversation), async {
            app.gateway().wait_for(client.connection(), |f| f["stopped"] == true).await;
            go.give();
        });
        done.unwrap();
    });
    assert_eq!(worked, Disposition::Again(Duration::ZERO), "it gave up silently");
    assert_eq!(app.work(&task).await, Disposition::Done);
    let told = endings(&client.numbered(&app)).unwrap();
    assert_eq!((told.len(), told[0].stopped, told[0].in_reply_to.clone()), (1, true, message.to_string()));
    assert_eq!(told[0].answer.as_ref().unwrap().1, "Half ");
    assert_eq!(said(&app, &tenant, conversation).await, [""; 0]);
    assert_eq!(app.model().streams_open(), 0);
}

/// proves CHAT-03
#[tokio::test]
async fn a_reset_does_not_wait_for_a_model_that_thinks() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    let go = Signal::default();
    app.model().script([Script::Stream(vec![say("Half "), Beat::Wait(go.clone()), Beat::Finish])]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    let (_, done) = tokio::join!(app.work(&task), async {
        client_sees(&app, &client, "Half ").await;
        // The agent holds the push lease and posts what others append: nothing is to be waited for.
        let done = timeout(Duration::from_secs(5), reset(&app, &tenant, conversation)).await;
        go.give();
        done
    });
    done.expect("the reset waited for the push lease").unwrap();
    assert_eq!(endings(&client.numbered(&app)).unwrap().len(), 1);
}

/// proves CHAT-03
#[tokio::test]
async fn a_reset_between_two_tries_shows_nothing_of_what_was_void() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    let later = ModelError::Retryable { reason: "busy".into(), retry_after: Some(Duration::from_secs(2)) };
    app.model().script([Script::Stream(vec![
        say("Half "),
        Beat::Pause(Duration::from_millis(50)),
        Beat::Fail(later),
    ])]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    let (_, done) = tokio::join!(app.work(&task), async {
        app.gateway().wait_for(client.connection(), |f| f["type"] == "discard").await;
        reset(&app, &tenant, conversation).await
    });
    done.unwrap();
    let told = endings(&client.numbered(&app)).unwrap();
    assert_eq!((told.len(), told[0].answer.as_ref().unwrap().1.as_str()), (1, ""));
}

/// proves CHAT-04, CHAT-11
#[tokio::test]
async fn who_is_no_member_any_more_stops_nothing() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    app.remove_member(tenant.id, tenant.user).await;
    let patience = Patience::of(WEBSOCKET);
    let refused = stop(&app.wake(), &app.connections(), tenant.id, tenant.user, conversation, patience).await;
    let Err(Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, konstruct_protocol::ErrorCode::AuthFailed);
    assert_eq!(app.work(&task).await, Disposition::Done);
    let stopped = "SELECT 1 FROM web_conversation_messages WHERE tenant_id = $1 AND stopped";
    assert_eq!(app.count(stopped, &[&tenant.id.0]).await, 0);
}
