//! Waiting for an answer over REST: subscribe, look, look again. A publication only wakes.

use std::time::Duration;

use konstruct_domain::MessageId;
use konstruct_service::wait::{answer, subscribe};
use konstruct_tests::fakes::model::{Script, echo, fatal};
use konstruct_tests::{TestApp, id};
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(20);

/// proves CHAT-02
#[tokio::test]
async fn an_answer_that_is_published_is_had_at_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let (message, task) = app.message(&tenant, conversation, "hello").await;
    let subscription = subscribe(&app.redis, tenant.id, conversation).await;
    assert!(subscription.is_some());
    let began = Instant::now();
    let (got, ()) =
        tokio::join!(answer(&app.db, subscription, tenant.id, message, Instant::now() + LONG), async {
            app.work_until_done(&task).await;
        });
    assert_eq!(got.map(|(_, text)| text), Some(echo("hello")));
    assert!(began.elapsed() < Duration::from_secs(2), "it was woken, not found by looking");
}

/// proves CHAT-02
#[tokio::test]
async fn an_answer_to_another_message_wakes_and_is_not_taken() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let (_, first) = app.message(&tenant, conversation, "one").await;
    let (second, later) = app.message(&tenant, conversation, "two").await;
    let subscription = subscribe(&app.redis, tenant.id, conversation).await;
    let (got, ()) =
        tokio::join!(answer(&app.db, subscription, tenant.id, second, Instant::now() + LONG), async {
            app.work_until_done(&first).await;
            app.work_until_done(&later).await;
        });
    assert_eq!(got.map(|(_, text)| text), Some(echo("two")));
}

/// proves CHAT-02
#[tokio::test]
async fn an_answer_whose_publication_was_lost_is_found_by_looking() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    for subscribed in [true, false] {
        let (message, task) = app.message(&tenant, conversation, "hello").await;
        let subscription = match subscribed {
            // To a conversation in which nothing is ever published.
            true => subscribe(&app.redis, tenant.id, konstruct_domain::ConversationId(id())).await,
            false => None,
        };
        let (got, ()) =
            tokio::join!(answer(&app.db, subscription, tenant.id, message, Instant::now() + LONG), async {
                app.work_until_done(&task).await;
            });
        assert_eq!(got.map(|(_, text)| text), Some(echo("hello")));
    }
}

/// proves CHAT-02
#[tokio::test]
async fn an_answer_that_was_there_before_is_had_without_waiting() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let (message, task) = app.message(&tenant, conversation, "hello").await;
    app.work_until_done(&task).await;
    let got = answer(&app.db, None, tenant.id, message, Instant::now() + Duration::ZERO).await;
    assert_eq!(got.map(|(_, text)| text), Some(echo("hello")));
}

/// proves CHAT-02
#[tokio::test]
async fn time_runs_out_and_a_turn_that_ends_in_an_error_is_not_waited_for() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let (message, task) = app.message(&tenant, conversation, "hello").await;
    let subscription = subscribe(&app.redis, tenant.id, conversation).await;
    let short = Duration::from_millis(100);
    assert_eq!(answer(&app.db, subscription, tenant.id, message, Instant::now() + short).await, None);
    app.model().script([Script::Refuse(fatal())]);
    app.work_until_done(&task).await;
    let began = Instant::now();
    assert_eq!(answer(&app.db, None, tenant.id, message, Instant::now() + LONG).await, None);
    assert_eq!(answer(&app.db, None, tenant.id, MessageId(id()), Instant::now() + LONG).await, None);
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// proves CHAT-02
#[tokio::test]
async fn no_subscription_outlives_its_use() {
    let app = TestApp::alone().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let (message, _) = app.message(&tenant, conversation, "hello").await;
    let subscription = subscribe(&app.redis, tenant.id, conversation).await;
    let channel = konstruct_redis::Key::response(tenant.id, conversation);
    let mut count = redis::cmd("PUBSUB");
    count.arg("NUMSUB").arg(channel.as_str());
    assert_eq!(app.keys.run::<(String, i64)>(&count).await.1, 1);
    let waiting =
        answer(&app.db, subscription, tenant.id, message, Instant::now() + Duration::from_millis(50));
    assert_eq!(waiting.await, None);
    let gone = async {
        while app.keys.run::<(String, i64)>(&count).await.1 > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the subscription is closed");
}
