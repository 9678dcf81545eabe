//! Numbered frames on their way to many devices: gone, slow, throttled and in doubt. What is in the frames is the
//! turn's business.

use std::time::Duration;

use konstruct_domain::{ConversationId, TenantId};
use konstruct_ports::PostOutcome;
use konstruct_service::turn::Disposition;
use konstruct_tests::TestApp;
use konstruct_tests::fakes::model::echo;
use konstruct_tests::history::endings;

use crate::turn::{portal, session};

async fn live(app: &TestApp, tenant: TenantId, conversation: ConversationId) -> Vec<String> {
    let live = app.redis.live(tenant, conversation).await.unwrap();
    let mut ids: Vec<String> = live.into_iter().map(|c| c.connection_id).collect();
    ids.sort();
    ids
}

/// proves WS-02, CHAT-10
#[tokio::test]
async fn a_gone_connection_is_removed_and_no_other() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let gone = portal(&app, &tenant, conversation).await;
    let here = portal(&app, &tenant, conversation).await;
    app.gateway().hang_up(gone.connection());
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    assert_eq!(app.work(&task).await, Disposition::Done);
    assert_eq!(live(&app, tenant.id, conversation).await, [here.connection()]);
    assert_eq!(app.connections().find(gone.connection()).await.unwrap(), None);
    assert!(app.connections().find(here.connection()).await.unwrap().is_some());
    assert_eq!(app.gateway().closed(), [""; 0]);
    assert_eq!(endings(&here.numbered(&app)).unwrap().len(), 1);
}

/// proves CHAT-09
#[tokio::test]
async fn a_connection_in_doubt_is_closed_and_gets_nothing_twice_when_it_is_back() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let mut doubtful = session(&app, &tenant, conversation).await;
    let here = portal(&app, &tenant, conversation).await;
    app.gateway().script(doubtful.connection(), [PostOutcome::Delivered, PostOutcome::InDoubt]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    assert_eq!(app.work(&task).await, Disposition::Done);
    assert_eq!(app.gateway().closed(), [doubtful.connection()]);
    assert_eq!(live(&app, tenant.id, conversation).await, [here.connection()]);
    doubtful.connect(&app).await.unwrap();
    assert_eq!(endings(&doubtful.numbered(&app)).unwrap(), endings(&here.numbered(&app)).unwrap());
}

/// proves CHAT-10
#[tokio::test]
async fn a_throttled_post_is_tried_again_and_nothing_is_lost() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    app.gateway().script(client.connection(), [PostOutcome::Throttled; 3]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    assert_eq!(app.work(&task).await, Disposition::Done);
    let told = endings(&client.numbered(&app)).unwrap();
    assert_eq!(told[0].answer.as_ref().unwrap().1, echo("hello"));
    assert_eq!(app.gateway().closed(), [""; 0]);
}

/// proves CHAT-10
#[tokio::test]
async fn a_slow_device_gets_fewer_and_larger_pieces_and_delays_nobody() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let slow = portal(&app, &tenant, conversation).await;
    let fast = portal(&app, &tenant, conversation).await;
    app.gateway().slow_down(slow.connection(), Duration::from_millis(250));
    app.model().echo_slowly(Duration::from_millis(30));
    let (_, task) =
        app.message(&tenant, conversation, "one two three four five six seven eight nine ten").await;
    assert_eq!(app.work(&task).await, Disposition::Done);
    let (few, many) = (slow.numbered(&app), fast.numbered(&app));
    assert_eq!(endings(&few).unwrap(), endings(&many).unwrap());
    assert!(few.len() < many.len(), "{} {}", few.len(), many.len());
    let posts = app.gateway().posts();
    let end =
        |id: &str| posts.iter().position(|p| p.connection_id == id && p.frame["type"] == "response").unwrap();
    assert!(end(fast.connection()) < end(slow.connection()), "the fast one did not wait");
    assert!(!app.gateway().overlapped());
}

/// proves CHAT-10
#[tokio::test]
async fn every_device_sees_the_same_numbers() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let one = session(&app, &tenant, conversation).await;
    let two = session(&app, &tenant, conversation).await;
    app.model().echo_slowly(Duration::from_millis(25));
    for text in ["hello", "again"] {
        let (_, task) = app.message(&tenant, conversation, text).await;
        app.work(&task).await;
    }
    let ends = |frames: Vec<serde_json::Value>| -> Vec<serde_json::Value> {
        frames.into_iter().filter(|f| f["streaming"] != true).collect()
    };
    assert_eq!(ends(one.numbered(&app)), ends(two.numbered(&app)));
    assert_eq!(endings(&one.numbered(&app)).unwrap(), endings(&two.numbered(&app)).unwrap());
}

/// proves CHAT-09
#[tokio::test]
async fn a_client_that_comes_back_has_every_frame_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let mut client = session(&app, &tenant, conversation).await;
    app.model().echo_slowly(Duration::from_millis(15));
    let (_, task) = app.message(&tenant, conversation, "one two three four five six seven eight").await;
    let (worked, ()) = tokio::join!(app.work(&task), async {
        for n in 1..4 {
            let seen = client.connection().to_owned();
            app.gateway().wait_for(&seen, |f| f["streaming"] == true).await;
            app.gateway().hang_up(&seen);
            client.connect(&app).await.unwrap();
            assert_eq!(client.connections.len(), n + 1);
        }
    });
    assert_eq!(worked, Disposition::Done);
    let told = endings(&client.numbered(&app)).unwrap();
    assert_eq!(told[0].answer.as_ref().unwrap().1, echo("one two three four five six seven eight"));
}
