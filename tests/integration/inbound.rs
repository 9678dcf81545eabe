//! Accepting a message: typing, then stored, then queued, each once, whatever fails in between. The agent is not
//! woken here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use konstruct_domain::{MessageId, TenantId};
use konstruct_ports::{BoxFuture, ConnectionGateway, NewRecord, PostOutcome, QueueError, TaskQueue};
use konstruct_protocol::{Dialect, ErrorCode, TaskKind};
use konstruct_redis::Key;
use konstruct_service::connections::Writer;
use konstruct_service::inbound::{Accepted, Author, Inbound};
use konstruct_service::{Connections, Error};
use konstruct_tests::app::received;
use konstruct_tests::client::TestClient;
use konstruct_tests::services::services;
use konstruct_tests::{TestApp, TestTenant, id};
use serde_json::json;

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> (ErrorCode, Option<u64>) {
    match result {
        Err(Error::Refused(refusal)) => (refusal.code, refusal.retry_after),
        other => panic!("not refused: {other:?}"),
    }
}

/// Looks into Postgres whenever something is sent: what was stored by then?
struct Witness {
    root: tokio_postgres::Client,
    tenant: TenantId,
    seen: Mutex<Vec<(&'static str, i64)>>,
}

impl Witness {
    async fn look(&self, what: &'static str) {
        let sql = "SELECT count(*) FROM web_conversation_messages WHERE tenant_id = $1";
        let stored = self.root.query_one(sql, &[&self.tenant.0]).await.unwrap().get(0);
        self.seen.lock().unwrap().push((what, stored));
    }
}

impl ConnectionGateway for Witness {
    fn post<'a>(&'a self, _: &'a str, frame: &'a str) -> BoxFuture<'a, PostOutcome> {
        Box::pin(async move {
            assert!(frame.contains(r#""type":"typing""#), "{frame}");
            self.look("typing").await;
            PostOutcome::Delivered
        })
    }

    fn close<'a>(&'a self, _: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

impl TaskQueue for Witness {
    fn send<'a>(&'a self, _: NewRecord<'a>) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async move {
            self.look("queued").await;
            Ok(())
        })
    }

    fn set_visibility<'a>(&'a self, _: &'a str, _: i32) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async { Ok(()) })
    }
}

/// proves CHAN-01, CHAT-05
#[tokio::test]
async fn a_message_is_announced_then_stored_then_queued() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    TestClient::connected(&app, Dialect::Portal, tenant.caller(), conversation).await;
    let root = services().schema.superuser(&app.world.database).await;
    let witness = Arc::new(Witness { root, tenant: tenant.id, seen: Mutex::default() });
    let inbound = Inbound {
        connections: Connections::new(app.redis.clone(), witness.clone()),
        queue: witness.clone(),
        ..app.inbound()
    };
    let message = received(tenant.id, tenant.user, conversation, MessageId(id()), "hello");
    for copy in [false, true] {
        assert_eq!(inbound.accept(message.clone()).await.unwrap(), Accepted { duplicate: copy });
    }
    let seen = witness.seen.lock().unwrap().clone();
    assert_eq!(
        seen,
        [("typing", 0), ("queued", 1), ("queued", 1)],
        "a copy is queued again and not announced"
    );
}

/// proves CHAT-01, CHAN-01
#[tokio::test]
async fn the_task_is_the_whole_message_under_the_threads_group() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let message = MessageId(id());
    app.inbound().accept(received(tenant.id, tenant.user, conversation, message, "hé 👋")).await.unwrap();
    let sent = app.queue().sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].group_id, format!("{}:{conversation}", tenant.id));
    assert_eq!(sent[0].deduplication_id, message.to_string());
    assert!(sent[0].body.is_ascii());
    let body: serde_json::Value = serde_json::from_str(&sent[0].body).unwrap();
    let expected = json!({
        "v": 1, "task": "message", "epoch": 0, "id": message, "tenant_id": tenant.id, "channel": "web",
        "channel_metadata":
            {"portal_user_id": tenant.user, "tenant_id": tenant.id, "conversation_id": conversation},
        "sender": {"user_id": tenant.user}, "content": "hé 👋", "timestamp": "2026-11-21T09:30:00.25Z",
        "thread_id": conversation, "reply_to": null, "context": null,
    });
    assert_eq!(body, expected);
    assert_eq!(sent[0].task().task, TaskKind::Message);
}

/// proves CHAT-05, CHAT-10
#[tokio::test]
async fn typing_reaches_every_device_of_the_conversation_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let mut devices = Vec::new();
    for dialect in [Dialect::Portal, Dialect::Session] {
        devices.push(TestClient::connected(&app, dialect, tenant.caller(), conversation).await);
    }
    let elsewhere = app.conversation(&tenant).await;
    let other = TestClient::connected(&app, Dialect::Portal, tenant.caller(), elsewhere).await;
    let message = received(tenant.id, tenant.user, conversation, MessageId(id()), "hello");
    for _ in 0..3 {
        app.inbound().accept(message.clone()).await.unwrap();
    }
    let typings = |client: &TestClient| client.frames(&app).iter().filter(|f| f["type"] == "typing").count();
    assert_eq!(devices.iter().map(typings).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(typings(&other), 0);
}

async fn tokens(app: &TestApp, tenant: &TestTenant) -> i64 {
    let key = Key::rate_limit(tenant.id, konstruct_domain::Channel::Web);
    let tokens = app.keys.field(key.as_str(), "tokens").await.unwrap();
    tokens.split('.').next().unwrap().parse().unwrap()
}

/// proves CHAN-04, CHAT-08
#[tokio::test]
async fn a_message_that_could_not_be_queued_is_completed_by_its_resend() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = TestClient::connected(&app, Dialect::Portal, tenant.caller(), conversation).await;
    let inbound = Inbound { patience: Duration::from_millis(120), ..app.inbound() };
    app.queue().fail_next(1_000);
    let message = received(tenant.id, tenant.user, conversation, MessageId(id()), "hello");
    let failed = inbound.accept(message.clone()).await.unwrap_err();
    assert!(failed.is_retryable(), "{failed}");
    let charged = tokens(&app, &tenant).await;
    app.queue().fail_next(0);
    let accepted = inbound.accept(message).await.unwrap();
    assert_eq!(accepted, Accepted { duplicate: true });
    assert_eq!(app.queue().sent().len(), 1);
    assert!(tokens(&app, &tenant).await >= charged, "a resend is not charged");
    assert_eq!(client.frames(&app).iter().filter(|f| f["type"] == "typing").count(), 1);
    let rows = "SELECT 1 FROM web_conversation_messages WHERE tenant_id = $1";
    assert_eq!(app.count(rows, &[&tenant.id.0]).await, 1);
}

/// proves CHAN-01
#[tokio::test]
async fn a_short_failure_of_the_queue_is_not_seen() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    app.queue().fail_next(2);
    let message = received(tenant.id, tenant.user, conversation, MessageId(id()), "hello");
    assert_eq!(app.inbound().accept(message).await.unwrap(), Accepted { duplicate: false });
    assert_eq!(app.queue().sent().len(), 1);
}

/// proves CHAT-08
#[tokio::test]
async fn a_message_that_is_answered_is_not_queued_again() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let message = received(tenant.id, tenant.user, conversation, MessageId(id()), "hello");
    app.inbound().accept(message.clone()).await.unwrap();
    app.work_until_done(&app.queue().sent()[0].task()).await;
    assert_eq!(app.inbound().accept(message).await.unwrap(), Accepted { duplicate: true });
    assert_eq!(app.queue().sent().len(), 1);
    assert_eq!(app.model().asked().len(), 1);
}

/// proves CHAN-03
#[tokio::test]
async fn over_the_limit_nothing_is_stored_or_queued_and_the_person_is_told_when() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let sql = "UPDATE tenants SET messages_per_minute = 2 WHERE id = $1";
    app.root.execute(sql, &[&tenant.id.0]).await.unwrap();
    let send = async || {
        let message = received(tenant.id, tenant.user, conversation, MessageId(id()), "hello");
        app.inbound().accept(message).await
    };
    for _ in 0..2 {
        send().await.unwrap();
    }
    let (refused, retry_after) = code(send().await);
    assert_eq!(refused, ErrorCode::RateLimited);
    assert!(retry_after.is_some_and(|seconds| (1..=30).contains(&seconds)), "{retry_after:?}");
    assert_eq!(app.queue().sent().len(), 2);
    let rows = "SELECT 1 FROM web_conversation_messages WHERE tenant_id = $1";
    assert_eq!(app.count(rows, &[&tenant.id.0]).await, 2);
}

/// proves CHAN-04, CHAT-08
#[tokio::test]
async fn a_mark_that_is_lost_stores_nothing_twice() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let id = MessageId(id());
    let message = received(tenant.id, tenant.user, conversation, id, "hello");
    app.inbound().accept(message.clone()).await.unwrap();
    app.keys.delete(Key::dedup(tenant.id, id).as_str()).await;
    assert_eq!(app.inbound().accept(message.clone()).await.unwrap(), Accepted { duplicate: true });
    app.keys.flush(tenant.id).await;
    assert_eq!(app.inbound().accept(message).await.unwrap(), Accepted { duplicate: true });
    let rows = "SELECT 1 FROM web_conversation_messages WHERE tenant_id = $1";
    assert_eq!(app.count(rows, &[&tenant.id.0]).await, 1);
}

/// proves CHAT-08
#[tokio::test]
async fn copies_that_race_are_accepted_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let message = received(tenant.id, tenant.user, conversation, MessageId(id()), "hello");
    let inbound = app.inbound();
    let copies = (0..20).map(|_| inbound.accept(message.clone()));
    let accepted = futures_util::future::join_all(copies).await;
    let fresh = accepted.iter().filter(|a| !a.as_ref().unwrap().duplicate).count();
    assert_eq!(fresh, 1);
    assert!(app.queue().sent().iter().all(|sent| sent.deduplication_id == message.message.id.to_string()));
}

/// proves CHAT-04, TEN-01
#[tokio::test]
async fn who_may_not_write_is_refused_before_anything_happens() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    let conversation = app.conversation(&tenant).await;
    let send = async |tenant, user| {
        let message = received(tenant, user, conversation, MessageId(id()), "hello");
        code(app.inbound().accept(message).await).0
    };
    assert_eq!(send(tenant.id, tenant.admin).await, ErrorCode::Forbidden, "another's");
    assert_eq!(send(other.id, other.user).await, ErrorCode::NotFound, "another tenant's");
    assert_eq!(send(tenant.id, other.user).await, ErrorCode::AuthFailed, "no member");
    assert_eq!(send(TenantId(id()), tenant.user).await, ErrorCode::AuthFailed, "no tenant");
    app.remove_member(tenant.id, tenant.user).await;
    assert_eq!(send(tenant.id, tenant.user).await, ErrorCode::AuthFailed, "removed");
    assert_eq!(app.queue().sent().len(), 0);
    assert!(app.keys.of_tenant(tenant.id).await.is_empty(), "nobody was charged");
}

/// proves CHAT-08
#[tokio::test]
async fn an_id_of_another_conversation_is_refused_by_name() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let [here, there] = [app.conversation(&tenant).await, app.conversation(&tenant).await];
    let (message, _) = app.message(&tenant, here, "hello").await;
    let refused = app.inbound().accept(received(tenant.id, tenant.user, there, message, "hello")).await;
    let Err(Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!((refusal.code, refusal.field), (ErrorCode::InvalidMessage, Some("id")));
}

/// proves CHAT-05
#[tokio::test]
async fn a_client_that_writes_before_its_connection_has_joined_is_shown_typing_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let joined = TestClient::connected(&app, Dialect::Session, tenant.caller(), conversation).await;
    let live = app.redis.live(tenant.id, conversation).await.unwrap().remove(0);
    for (connection_id, early) in [("early=".to_owned(), true), (live.connection_id, false)] {
        let mut message = received(tenant.id, tenant.user, conversation, MessageId(id()), "hello");
        let writer = Writer { connection_id: connection_id.clone(), viewer: live.viewer.clone() };
        message.author = Author::Member(tenant.user, Some(writer));
        let before = app.gateway().frames(joined.connection()).len();
        app.inbound().accept(message).await.unwrap();
        let shown = app.gateway().frames(&connection_id);
        assert_eq!(shown.last().unwrap()["type"], "typing", "{early}");
        assert_eq!(app.gateway().frames(joined.connection()).len(), before + 1, "{early}");
    }
    assert_eq!(app.gateway().frames("early=").len(), 1);
}
