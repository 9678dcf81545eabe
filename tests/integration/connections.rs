//! The connection manager (WS-02): who is connected, and sending to one, a conversation, a tenant, everyone. Numbered
//! frames are not its business.

use std::sync::Arc;
use std::time::Duration;

use konstruct_domain::{ConversationId, TenantId, UserId};
use konstruct_ports::PostOutcome;
use konstruct_protocol::{Dialect, ServerFrame};
use konstruct_redis::Redis;
use konstruct_redis::connections::{Connection, Identity};
use konstruct_redis::live::LiveConnection;
use konstruct_service::Connections;
use konstruct_tests::fakes::FakeGateway;
use konstruct_tests::{TestApp, id};

fn opened(session: Option<&str>) -> Connection {
    Connection {
        connected_at_ms: 1_000,
        dialect: Dialect::Session,
        query_conversation: None,
        query_session: session.map(|session| session.parse().unwrap()),
        identity: None,
    }
}

fn identity(tenant: TenantId, conversation: ConversationId) -> Identity {
    Identity {
        tenant_id: tenant,
        user_id: UserId(id()),
        conversation_id: conversation,
        expires_at: 0,
        telemetry: false,
        resumed: false,
    }
}

/// Opens, authenticates and joins a connection.
async fn join(
    app: &TestApp,
    tenant: TenantId,
    conversation: ConversationId,
    session: Option<&str>,
) -> String {
    let connection_id = format!("{}=", id().simple());
    app.connections().connect(&connection_id, &opened(session)).await.unwrap();
    let connection = Connection { identity: Some(identity(tenant, conversation)), ..opened(session) };
    assert!(app.redis.update_connection(&connection_id, &connection).await.unwrap());
    let joined = app.redis.log_state(tenant, conversation).await.unwrap().map(|s| s.last).unwrap_or_default();
    let viewer = connection.viewer().unwrap();
    let live = LiveConnection { connection_id: connection_id.clone(), joined, viewer };
    app.redis.join(tenant, &live).await.unwrap();
    connection_id
}

const PONG: ServerFrame = ServerFrame::Pong;

/// proves WS-02
#[tokio::test]
async fn a_connection_is_known_from_connect_to_disconnect() {
    let app = TestApp::start().await;
    let connections = app.connections();
    let (tenant, conversation) = (TenantId(id()), ConversationId(id()));
    let connection_id = join(&app, tenant, conversation, Some("s1")).await;
    let found = connections.find(&connection_id).await.unwrap().unwrap();
    assert_eq!(
        found.identity.as_ref().map(|i| (i.tenant_id, i.conversation_id)),
        Some((tenant, conversation))
    );
    let key = konstruct_redis::Key::connection(&connection_id);
    let ttl = app.keys.seconds_left(key.as_str()).await;
    assert!(ttl > 2 * 3600, "it outlives the longest connection: {ttl}");
    connections.disconnect(&connection_id).await.unwrap();
    assert_eq!(connections.find(&connection_id).await.unwrap(), None);
    assert_eq!(app.redis.live(tenant, conversation).await.unwrap(), Vec::new());
    assert_eq!(app.redis.live_conversations(tenant).await.unwrap(), Vec::new());
    connections.disconnect(&connection_id).await.unwrap();
    assert!(
        !app.redis.update_connection(&connection_id, &found).await.unwrap(),
        "what is gone is not made again"
    );
    assert_eq!(format!("{connections:?}"), "Connections", "nothing of anybody in a log");
}

/// proves WS-02
#[tokio::test]
async fn a_frame_to_one_reaches_that_one() {
    let app = TestApp::start().await;
    let (tenant, conversation) = (TenantId(id()), ConversationId(id()));
    let [one, other] =
        [join(&app, tenant, conversation, Some("s1")).await, join(&app, tenant, conversation, None).await];
    let viewer = app.connections().find(&one).await.unwrap().unwrap().viewer();
    assert!(app.connections().send(&one, viewer.as_ref(), &PONG).await);
    let frames = app.gateway().frames(&one);
    assert_eq!((frames.len(), frames[0]["session_id"].as_str()), (1, Some("s1")));
    assert_eq!(app.gateway().frames(&other).len(), 0);
    assert!(app.connections().send("fresh=", None, &PONG).await, "also before it is authenticated");
    assert_eq!(app.gateway().frames("fresh="), [serde_json::json!({"type": "pong"})]);
}

/// proves WS-02
#[tokio::test]
async fn a_missing_or_gone_connection_is_cleaned_up_and_no_error() {
    let app = TestApp::start().await;
    let connections = app.connections();
    let (tenant, conversation) = (TenantId(id()), ConversationId(id()));
    let gone = join(&app, tenant, conversation, None).await;
    let doubtful = join(&app, tenant, conversation, None).await;
    let here = join(&app, tenant, conversation, None).await;
    app.gateway().hang_up(&gone);
    app.gateway().script(&doubtful, [PostOutcome::InDoubt]);
    assert_eq!(connections.send_to_conversation(tenant, conversation, &PONG).await.unwrap(), 1);
    let live = app.redis.live(tenant, conversation).await.unwrap();
    assert_eq!(live.iter().map(|c| c.connection_id.as_str()).collect::<Vec<_>>(), [here.as_str()]);
    for dropped in [&gone, &doubtful] {
        assert_eq!(connections.find(dropped).await.unwrap(), None);
    }
    assert_eq!(app.gateway().closed(), [doubtful.as_str()], "what is gone need not be closed");
    app.gateway().hang_up("never-heard-of=");
    assert!(!connections.send("never-heard-of=", None, &PONG).await);
    connections.disconnect("never-heard-of=").await.unwrap();
    connections.close("never-heard-of=").await.unwrap();
    assert_eq!(connections.send_to_conversation(tenant, ConversationId(id()), &PONG).await.unwrap(), 0);
}

/// proves WS-02, CHAT-10
#[tokio::test]
async fn a_gone_connection_leaves_the_live_set_also_where_its_own_record_was_lost() {
    let app = TestApp::start().await;
    let (tenant, conversation) = (TenantId(id()), ConversationId(id()));
    let gone = join(&app, tenant, conversation, None).await;
    app.keys.forget_connection(&gone).await;
    app.gateway().hang_up(&gone);
    assert_eq!(app.connections().send_to_conversation(tenant, conversation, &PONG).await.unwrap(), 0);
    assert_eq!(app.redis.live(tenant, conversation).await.unwrap(), Vec::new());
}

/// proves WS-02
#[tokio::test]
async fn a_gone_connection_is_no_error_even_while_redis_is_away() {
    let gateway = Arc::new(FakeGateway::default());
    gateway.hang_up("gone=");
    gateway.script("doubtful=", [PostOutcome::InDoubt]);
    let nowhere = Redis::new("redis://127.0.0.1:1/").unwrap();
    let connections = Connections::new(nowhere, gateway.clone());
    assert!(!connections.send("gone=", None, &PONG).await);
    assert!(!connections.send("doubtful=", None, &PONG).await);
    assert!(connections.close("other=").await.is_err());
    assert_eq!(gateway.closed(), ["doubtful=", "other="], "closed all the same");
    let away = connections.send_to_all(&PONG).await.unwrap_err();
    assert!(away.is_retryable(), "{away}");
}

/// proves WS-02
#[tokio::test]
async fn a_throttled_frame_is_sent_again() {
    let app = TestApp::start().await;
    app.gateway().script("busy=", [PostOutcome::Throttled, PostOutcome::Throttled]);
    assert!(app.connections().send("busy=", None, &PONG).await);
    assert_eq!((app.gateway().attempts("busy="), app.gateway().frames("busy=").len()), (3, 1));
}

/// proves WS-02
#[tokio::test]
async fn a_connection_that_is_throttled_for_ten_seconds_is_closed() {
    let gateway = Arc::new(FakeGateway::default());
    gateway.script("busy=", [PostOutcome::Throttled; 100]);
    let connections = Connections::new(Redis::new("redis://127.0.0.1:1/").unwrap(), gateway.clone());
    let began = tokio::time::Instant::now();
    assert!(!connections.send("busy=", None, &PONG).await);
    assert!(began.elapsed() < Duration::from_secs(15));
    assert!(gateway.attempts("busy=") > 5, "{}", gateway.attempts("busy="));
    assert_eq!(gateway.closed(), ["busy="]);
}

/// proves WS-01, WS-02
#[tokio::test]
async fn what_is_sent_to_one_session_never_reaches_another() {
    let app = TestApp::start().await;
    let (tenant, one, two) = (TenantId(id()), ConversationId(id()), ConversationId(id()));
    let of_one = [join(&app, tenant, one, Some("a")).await, join(&app, tenant, one, Some("a")).await];
    let of_two = join(&app, tenant, two, Some("b")).await;
    let notice = ServerFrame::Notice { text: "for a".to_owned() };
    assert_eq!(app.connections().send_to_conversation(tenant, one, &notice).await.unwrap(), 2);
    for connection in &of_one {
        let frames = app.gateway().frames(connection);
        assert_eq!((frames.len(), frames[0]["session_id"].as_str()), (1, Some("a")));
    }
    assert_eq!(app.gateway().frames(&of_two).len(), 0);
}

/// proves WS-02, TEN-03
#[tokio::test]
async fn a_tenants_broadcast_stays_in_the_tenant() {
    let app = TestApp::start().await;
    let (tenant, other) = (TenantId(id()), TenantId(id()));
    let mut ours = Vec::new();
    for _ in 0..3 {
        ours.push(join(&app, tenant, ConversationId(id()), None).await);
    }
    let theirs = join(&app, other, ConversationId(id()), None).await;
    assert_eq!(app.connections().send_to_tenant(tenant, &PONG).await.unwrap(), 3);
    assert!(ours.iter().all(|connection| app.gateway().frames(connection).len() == 1));
    assert_eq!(app.gateway().frames(&theirs).len(), 0);
    assert_eq!(app.connections().send_to_tenant(TenantId(id()), &PONG).await.unwrap(), 0);
}

/// proves WS-02
#[tokio::test]
async fn a_broadcast_to_all_reaches_every_authenticated_connection_once() {
    let app = TestApp::alone().await;
    let mut joined = Vec::new();
    for n in 0..120 {
        let session = (n % 2 == 0).then_some("s");
        joined.push(join(&app, TenantId(id()), ConversationId(id()), session).await);
    }
    app.connections().connect("nobody=", &opened(None)).await.unwrap();
    app.gateway().hang_up(&joined[0]);
    assert_eq!(app.connections().send_to_all(&PONG).await.unwrap(), 119);
    assert!(joined.iter().skip(1).all(|connection| app.gateway().frames(connection).len() == 1));
    assert_eq!(app.gateway().attempts("nobody="), 0, "not before it is authenticated");
    assert_eq!(app.connections().find(&joined[0]).await.unwrap(), None);
    assert_eq!(app.connections().send_to_all(&PONG).await.unwrap(), 119);
}

/// proves WS-02
#[tokio::test]
async fn a_broadcast_with_nobody_there_is_no_error() {
    let app = TestApp::alone().await;
    assert_eq!(app.connections().send_to_all(&PONG).await.unwrap(), 0);
    for (key, value) in [("connection:broken%4", "no json"), ("connection:broken", "no json")] {
        app.keys.run::<()>(redis::cmd("SET").arg(key).arg(value)).await;
    }
    assert_eq!(app.connections().send_to_all(&PONG).await.unwrap(), 0, "what cannot be read is passed over");
    assert_eq!(app.connections().find("broken").await.unwrap(), None);
}
