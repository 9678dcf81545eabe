//! A tenant that is disabled: nobody gets in by any door, what was accepted ends politely, nothing is deleted, and all
//! of it comes back.

use std::sync::Arc;

use konstruct_domain::{Channel, Content, ConversationId, InboundMessage, MessageId, Sender};
use konstruct_ports::ChannelToken;
use konstruct_protocol::{Dialect, ErrorCode};
use konstruct_service::conversations::{find, history, open};
use konstruct_service::inbound::Arrival;
use konstruct_service::threads::Addressed;
use konstruct_service::turn::Disposition;
use konstruct_service::{Error, conversations};
use konstruct_tests::app::{NOW, received};
use konstruct_tests::builders::platform_admin;
use konstruct_tests::client::TestClient;
use konstruct_tests::history::endings;
use konstruct_tests::{TestApp, TestTenant, id};
use serde_json::json;

use super::Desk;

async fn slug(app: &TestApp, tenant: &TestTenant) -> String {
    let sql = "SELECT slug FROM tenants WHERE id = $1";
    app.root.query_one(sql, &[&tenant.id.0]).await.unwrap().get(0)
}

fn code<T>(result: Result<T, Error>) -> ErrorCode {
    match result {
        Err(Error::Refused(refusal)) => refusal.code,
        Err(other) => panic!("not refused but {other}"),
        Ok(_) => panic!("not refused"),
    }
}

/// proves CHAT-04
#[tokio::test]
async fn nobody_of_a_disabled_tenant_gets_in_and_everybody_of_an_enabled_one_does() {
    let app = TestApp::start().await;
    let (tenant, desk) = (app.tenant().await, Desk::open(&app).await);
    let slug = slug(&app, &tenant).await;
    let conversation = app.conversation(&tenant).await;
    let connected = TestClient::connected(&app, Dialect::Portal, tenant.caller(), conversation).await;
    app.message(&tenant, conversation, "before").await;
    assert_eq!(desk.ask("tenant disable", json!({"slug": slug})).await["outcome"], "updated");
    assert_eq!(desk.ask("tenant disable", json!({"slug": slug})).await["outcome"], "unchanged");

    let caller = tenant.caller();
    let mut client = TestClient::new(Dialect::Portal, caller.clone(), conversation);
    assert_eq!(code(client.connect(&app).await), ErrorCode::AuthFailed, "no token is good for it");
    let message = received(tenant.id, tenant.user, conversation, MessageId(id()), "hello");
    assert_eq!(
        code(app.inbound().accept(message).await),
        ErrorCode::AuthFailed,
        "a socket is out at its next message"
    );
    let read = history(&app.db, &caller, conversation, None, 50).await;
    assert_eq!(code(read), ErrorCode::Forbidden);
    let ids = app.world.ids.as_ref();
    assert_eq!(code(open(&app.db, ids, &caller, tenant.id, tenant.agent, None).await), ErrorCode::Forbidden);
    assert_eq!(code(conversations::agents(&app.db, &caller, tenant.id).await), ErrorCode::Forbidden);
    assert!(
        app.count("SELECT 1 FROM turns WHERE tenant_id = $1", &[&tenant.id.0]).await == 1,
        "nothing came of it"
    );
    // Who runs the platform still sees what is there.
    let (seen, _) = history(&app.db, &platform_admin(), conversation, None, 50).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert!(find(&app.db, &platform_admin(), conversation, konstruct_domain::Access::Read).await.is_ok());

    assert_eq!(desk.ask("tenant enable", json!({"slug": slug})).await["outcome"], "updated");
    client.connect(&app).await.unwrap();
    let message = received(tenant.id, tenant.user, conversation, MessageId(id()), "hello");
    assert!(app.inbound().accept(message).await.is_ok());
    assert!(!connected.was_closed(&app), "and the old socket is as good as ever");
}

/// proves CHAT-04, AGNT-01
#[tokio::test]
async fn what_was_accepted_before_a_tenant_was_disabled_ends_in_agent_unavailable() {
    let app = TestApp::start().await;
    let (tenant, desk) = (app.tenant().await, Desk::open(&app).await);
    let conversation = app.conversation(&tenant).await;
    let client = TestClient::connected(&app, Dialect::Portal, tenant.caller(), conversation).await;
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    desk.ask("tenant disable", json!({"slug": slug(&app, &tenant).await})).await;
    for _ in 0..2 {
        assert_eq!(app.work(&task).await, Disposition::Done);
        let ends = endings(&client.numbered(&app)).unwrap();
        assert_eq!(ends.len(), 1);
        assert_eq!(ends[0].error.as_deref(), Some("agent_unavailable"));
    }
    assert_eq!(app.model().asked().len(), 0, "no model is paid for");
}

#[tokio::test]
async fn in_a_disabled_tenants_rooms_people_are_told_and_nothing_is_stored() {
    let app = TestApp::start().await;
    let (tenant, desk) = (app.tenant().await, Desk::open(&app).await);
    desk.ask("tenant disable", json!({"slug": slug(&app, &tenant).await})).await;
    let message = InboundMessage {
        id: MessageId(id()),
        tenant_id: tenant.id,
        channel: Channel::Slack,
        channel_metadata: [("room".to_owned(), "C1".to_owned())].into(),
        sender: Sender { user_id: "U1".to_owned() },
        content: Content::parse("is anybody there?").unwrap(),
        timestamp: NOW,
        thread_id: ConversationId(id()),
        reply_to: None,
        context: None,
    };
    let arrival = Arrival {
        channel: Arc::new(app.world.channel.clone()),
        token: ChannelToken::new("xoxb-its-token".to_owned()),
        session_id: "C1:1".to_owned(),
    };
    let refused = app.inbound().receive(message.clone(), &arrival, Addressed::ToUs).await;
    assert_eq!(code(refused), ErrorCode::NotFound);
    assert_eq!(app.count("SELECT 1 FROM turns WHERE tenant_id = $1", &[&tenant.id.0]).await, 0);
    assert!(app.queue().sent().is_empty());
}
