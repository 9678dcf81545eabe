//! Storing a person's message: once, whatever comes twice, and in sight at once. No queue and no agent is at work.

use futures_util::future::join_all;
use konstruct_domain::{MessageId, TenantRole};
use konstruct_postgres::messages::Stored;
use konstruct_service::conversations;
use konstruct_tests::{TestApp, id};

/// proves CHAT-07, CHAT-08
#[tokio::test]
async fn a_message_is_stored_once_and_in_sight_at_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let message = MessageId(id());
    for copy in 0..3 {
        let stored = app.store(tenant.id, tenant.user, conversation, message, "hello").await;
        let Stored::Yes(stored) = stored else { panic!("{stored:?}") };
        assert_eq!((stored.duplicate, stored.ended), (copy > 0, false));
        let (history, more) =
            conversations::history(&app.db, &tenant.caller(), conversation, None, 50).await.unwrap();
        let seen: Vec<_> = history.iter().map(|m| (m.id, m.content.as_str(), m.from_user)).collect();
        assert_eq!((seen, more), (vec![(message, "hello", true)], false));
    }
}

/// proves CHAT-08
#[tokio::test]
async fn twenty_racing_copies_are_one_row_one_position_and_one_first() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    for _ in 0..5 {
        let message = MessageId(id());
        let copies = (0..20).map(|_| app.store(tenant.id, tenant.user, conversation, message, "hello"));
        let stored = join_all(copies).await;
        let first = stored.iter().filter(|s| matches!(s, Stored::Yes(s) if !s.duplicate)).count();
        let copies = stored.iter().filter(|s| matches!(s, Stored::Yes(s) if s.duplicate)).count();
        assert_eq!((first, copies), (1, 19), "{stored:?}");
    }
    let sql = "SELECT position FROM web_conversation_messages WHERE conversation_id = $1 ORDER BY position";
    let rows = app.root.query(sql, &[&conversation.0]).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>(),
        [1, 2, 3, 4, 5],
        "no position is wasted"
    );
}

/// proves CHAT-12
#[tokio::test]
async fn racing_messages_get_positions_without_a_hole() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let sends = (0..20).map(|_| app.store(tenant.id, tenant.user, conversation, MessageId(id()), "hello"));
    join_all(sends).await;
    let sql = "SELECT t.position = m.position AND m.position BETWEEN 1 AND 20 FROM turns t
        JOIN web_conversation_messages m ON m.tenant_id = t.tenant_id AND m.id = t.id WHERE t.conversation_id = $1";
    let rows = app.root.query(sql, &[&conversation.0]).await.unwrap();
    assert_eq!(rows.len(), 20);
    assert!(rows.iter().all(|row| row.get(0)));
}

/// proves CHAT-08
#[tokio::test]
async fn an_id_that_another_conversation_has_is_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let [here, there] = [app.conversation(&tenant).await, app.conversation(&tenant).await];
    let (message, _) = app.message(&tenant, here, "hello").await;
    assert_eq!(app.store(tenant.id, tenant.user, there, message, "hello").await, Stored::IdTaken);
    let sql =
        "INSERT INTO web_conversation_messages (tenant_id, id, conversation_id, position, role, content)
        VALUES ($1, $2, $3, 1000, 'assistant', 'an answer')";
    let answer = id();
    app.root.execute(sql, &[&tenant.id.0, &answer, &here.0]).await.unwrap();
    let taken = app.store(tenant.id, tenant.user, here, MessageId(answer), "hello").await;
    assert_eq!(taken, Stored::IdTaken, "an answer's id is taken too");
    let rows = "SELECT 1 FROM turns WHERE tenant_id = $1";
    assert_eq!(app.count(rows, &[&tenant.id.0]).await, 1);
}

/// proves CHAT-08
#[tokio::test]
async fn an_id_that_races_into_two_conversations_is_stored_in_one() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let [here, there] = [app.conversation(&tenant).await, app.conversation(&tenant).await];
    for _ in 0..20 {
        let message = MessageId(id());
        let (one, other) = tokio::join!(
            app.store(tenant.id, tenant.user, here, message, "hello"),
            app.store(tenant.id, tenant.user, there, message, "hello"),
        );
        let stored = [&one, &other].iter().filter(|s| matches!(s, Stored::Yes(_))).count();
        assert_eq!(stored, 1, "{one:?} {other:?}");
        assert!([&one, &other].contains(&&Stored::IdTaken), "{one:?} {other:?}");
        let turns = "SELECT 1 FROM turns t JOIN web_conversation_messages m
            ON m.id = t.id AND m.conversation_id = t.conversation_id WHERE t.id = $1";
        assert_eq!(app.count(turns, &[&message.0]).await, 1, "message and turn are in the same conversation");
    }
}

/// proves CHAT-04
#[tokio::test]
async fn nobody_but_a_member_writes_and_only_into_his_own_conversation() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let stranger = app.user().await;
    let store = async |user| app.store(tenant.id, user, conversation, MessageId(id()), "hello").await;
    assert_eq!(store(stranger).await, Stored::NotAMember);
    assert_eq!(store(tenant.admin).await, Stored::NotYours);
    let unknown = konstruct_domain::ConversationId(id());
    let nowhere = app.store(tenant.id, tenant.user, unknown, MessageId(id()), "hello").await;
    assert_eq!(nowhere, Stored::NoConversation);
    app.remove_member(tenant.id, tenant.user).await;
    assert_eq!(store(tenant.user).await, Stored::NotAMember, "removed is removed at the next message");
    app.join_tenant(tenant.id, tenant.user, TenantRole::Member).await;
    assert!(matches!(store(tenant.user).await, Stored::Yes(_)));
    let rows = "SELECT 1 FROM web_conversation_messages WHERE tenant_id = $1";
    assert_eq!(app.count(rows, &[&tenant.id.0]).await, 1);
}

/// proves CHAT-03
#[tokio::test]
async fn a_message_moves_its_conversation_to_the_top() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let old = "UPDATE web_conversations SET updated_at = now() - interval '1 day' WHERE id = $1";
    app.root.execute(old, &[&conversation.0]).await.unwrap();
    app.message(&tenant, conversation, "hello").await;
    let fresh = "SELECT 1 FROM web_conversations WHERE id = $1 AND updated_at > now() - interval '1 hour'";
    assert_eq!(app.count(fresh, &[&conversation.0]).await, 1);
}

/// proves CHAT-03
#[tokio::test]
async fn a_message_to_a_human_waits_for_no_answer() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let human = "UPDATE web_conversations SET status = 'human' WHERE id = $1";
    app.root.execute(human, &[&conversation.0]).await.unwrap();
    let stored = app.store(tenant.id, tenant.user, conversation, MessageId(id()), "hello").await;
    let Stored::Yes(stored) = stored else { panic!("{stored:?}") };
    assert!(stored.ended);
    let turns =
        "SELECT 1 FROM turns WHERE conversation_id = $1 AND state = 'ended' AND delivered_at IS NOT NULL";
    assert_eq!(app.count(turns, &[&conversation.0]).await, 1);
}
