//! Conversations as REST sees them: made once, paged without a hole, and seen by whom they may be. HTTP is not
//! spoken here.

use futures_util::future::join_all;
use konstruct_domain::{Access, AgentId, ConversationId, MessageId, Principal, Role, TenantId, TenantRole};
use konstruct_postgres::conversations::{ListCursor, SummaryRow};
use konstruct_protocol::ErrorCode;
use konstruct_service::Error;
use konstruct_service::conversations::{Filter, agents, find, history, list, open};
use konstruct_tests::builders::{platform_admin, principal};
use konstruct_tests::services::services;
use konstruct_tests::{TestApp, id};

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    match result {
        Err(Error::Refused(refusal)) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

/// proves CHAT-03
#[tokio::test]
async fn fifty_callers_that_race_get_one_conversation() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let caller = tenant.caller();
    for session in [None, Some("s1".parse().unwrap())] {
        let ids = app.world.ids.as_ref();
        let calls = (0..50).map(|_| open(&app.db, ids, &caller, tenant.id, tenant.agent, session.as_ref()));
        let opened: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(opened.iter().filter(|(_, made)| *made).count(), 1, "one of them made it");
        assert!(opened.iter().all(|(row, _)| row.conversation.id == opened[0].0.conversation.id));
        assert_eq!(opened[0].0.conversation.session_id, session);
    }
    let rows = "SELECT 1 FROM web_conversations WHERE tenant_id = $1";
    assert_eq!(app.count(rows, &[&tenant.id.0]).await, 2, "a session is a conversation of its own");
}

/// All pages of a list.
async fn pages(app: &TestApp, caller: &Principal, tenant: Option<TenantId>, limit: u16) -> Vec<SummaryRow> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let (page, more) =
            list(&app.db, &app.platform, caller, Filter { tenant, human: None, cursor, limit })
                .await
                .unwrap();
        assert!(page.len() <= usize::from(limit) && (!more || page.len() == usize::from(limit)));
        cursor = page.last().map(|row| ListCursor { updated_at: row.updated_at, id: row.conversation.id });
        all.extend(page);
        if !more {
            return all;
        }
    }
}

/// proves CHAT-03
#[tokio::test]
async fn paging_conversations_skips_and_repeats_none() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    for n in 0..23 {
        app.conversation_of(&tenant, tenant.user, &format!("s{n}")).await;
    }
    let sql = "UPDATE web_conversations SET updated_at = date_trunc('hour', now()) WHERE tenant_id = $1 AND session_id <> 's7'";
    app.root.execute(sql, &[&tenant.id.0]).await.unwrap();
    for limit in [1, 5, 22, 23, 24] {
        let all = pages(&app, &tenant.caller(), Some(tenant.id), limit).await;
        let mut ids: Vec<ConversationId> = all.iter().map(|row| row.conversation.id).collect();
        assert!(all.windows(2).all(|pair| pair[0].updated_at >= pair[1].updated_at), "newest first");
        ids.sort();
        ids.dedup();
        assert_eq!((all.len(), ids.len()), (23, 23), "in pages of {limit}");
    }
}

/// proves CHAT-03
#[tokio::test]
async fn paging_the_history_skips_and_repeats_none_also_with_equal_times() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let mut stored = Vec::new();
    for n in 0..17 {
        stored.push(app.message(&tenant, conversation, &n.to_string()).await.0);
    }
    let sql = "UPDATE web_conversation_messages SET created_at = date_trunc('hour', now()) WHERE conversation_id = $1";
    app.root.execute(sql, &[&conversation.0]).await.unwrap();
    for limit in [1, 4, 16, 17, 18] {
        let (mut seen, mut before): (Vec<MessageId>, Option<MessageId>) = (Vec::new(), None);
        loop {
            let (page, more) = history(&app.db, &tenant.caller(), conversation, before, limit).await.unwrap();
            before = page.first().map(|message| message.id);
            seen.splice(0..0, page.into_iter().map(|message| message.id));
            if !more {
                break;
            }
        }
        assert_eq!(seen, stored, "in pages of {limit}");
    }
    let unknown = history(&app.db, &tenant.caller(), conversation, Some(MessageId(id())), 5).await;
    assert_eq!(code(unknown), ErrorCode::NotFound);
}

/// proves CHAT-04
#[tokio::test]
async fn others_see_their_own_conversations_only() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    let conversation = app.conversation(&tenant).await;
    let read = async |caller: &Principal, id| find(&app.db, caller, id, Access::Read).await;
    assert!(read(&tenant.caller(), conversation).await.is_ok());
    let admin = principal(Role::TenantAdmin, tenant.admin, Some(tenant.id));
    assert_eq!(code(read(&admin, conversation).await), ErrorCode::Forbidden);
    assert_eq!(code(history(&app.db, &admin, conversation, None, 5).await), ErrorCode::Forbidden);
    assert_eq!(pages(&app, &admin, Some(tenant.id), 50).await.len(), 0);
    assert_eq!(
        code(read(&other.caller(), conversation).await),
        ErrorCode::NotFound,
        "as if it did not exist"
    );
    assert_eq!(code(read(&tenant.caller(), ConversationId(id())).await), ErrorCode::NotFound);
}

/// proves CHAT-04
#[tokio::test]
async fn who_is_no_member_gets_nothing_whatever_his_token_says() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    for role in [Role::TenantMember, Role::TenantAdmin] {
        let stranger = principal(role, app.user().await, Some(tenant.id));
        assert_eq!(code(find(&app.db, &stranger, conversation, Access::Read).await), ErrorCode::Forbidden);
        assert_eq!(code(history(&app.db, &stranger, conversation, None, 5).await), ErrorCode::Forbidden);
        assert_eq!(code(agents(&app.db, &stranger, tenant.id).await), ErrorCode::Forbidden);
        let listed = list(
            &app.db,
            &app.platform,
            &stranger,
            Filter { tenant: Some(tenant.id), limit: 5, ..Filter::default() },
        )
        .await;
        assert_eq!(code(listed), ErrorCode::Forbidden);
        assert_eq!(
            code(list(&app.db, &app.platform, &stranger, Filter { limit: 5, ..Filter::default() }).await),
            ErrorCode::Forbidden
        );
        let ids = app.world.ids.as_ref();
        let opened = open(&app.db, ids, &stranger, tenant.id, tenant.agent, None).await;
        assert_eq!(code(opened), ErrorCode::Forbidden);
    }
    app.remove_member(tenant.id, tenant.user).await;
    let removed = find(&app.db, &tenant.caller(), conversation, Access::Read).await;
    assert_eq!(code(removed), ErrorCode::Forbidden, "a removed member is out at the next request");
}

/// proves CHAT-04
#[tokio::test]
async fn a_platform_admin_reads_every_tenant_and_writes_in_none() {
    let app = TestApp::alone().await;
    let (one, two) = (app.tenant().await, app.tenant().await);
    let conversations = [app.conversation(&one).await, app.conversation(&two).await];
    app.message(&one, conversations[0], "the beginning").await;
    let admin = platform_admin();
    let mut seen: Vec<ConversationId> =
        pages(&app, &admin, None, 1).await.iter().map(|row| row.conversation.id).collect();
    seen.sort();
    let mut all = conversations;
    all.sort();
    assert_eq!(seen, all, "all tenants' where he names none");
    let of_one = pages(&app, &admin, Some(one.id), 50).await;
    assert_eq!(of_one.iter().map(|row| row.preview.as_deref()).collect::<Vec<_>>(), [Some("the beginning")]);
    assert!(find(&app.db, &admin, conversations[1], Access::Read).await.is_ok());
    assert_eq!(history(&app.db, &admin, conversations[0], None, 5).await.unwrap().0.len(), 1);
    assert_eq!(agents(&app.db, &admin, two.id).await.unwrap().len(), 1);
    assert_eq!(code(find(&app.db, &admin, conversations[1], Access::Write).await), ErrorCode::Forbidden);
    let opened = open(&app.db, app.world.ids.as_ref(), &admin, one.id, one.agent, None).await;
    assert_eq!(code(opened), ErrorCode::Forbidden);
    assert_eq!(code(find(&app.db, &admin, ConversationId(id()), Access::Read).await), ErrorCode::NotFound);
}

/// proves CHAT-04, TEN-01
#[tokio::test]
async fn the_service_itself_has_no_door_to_all_tenants() {
    let app = TestApp::alone().await;
    let tenant = app.tenant().await;
    app.conversation(&tenant).await;
    let raw = services().schema.connect_as("konstruct_app", &app.world.database).await;
    assert_eq!(raw.query("SELECT id FROM web_conversations", &[]).await.unwrap().len(), 0);
    let platform = services().schema.connect_as("konstruct_platform", &app.world.database).await;
    assert_eq!(platform.query("SELECT id FROM web_conversations", &[]).await.unwrap().len(), 1);
    for sql in [
        "SELECT epoch FROM web_conversations",
        "SELECT email FROM portal_users",
        "SELECT persona FROM agents",
        "UPDATE web_conversations SET status = 'human'",
        "DELETE FROM web_conversation_messages",
    ] {
        let refused = platform.batch_execute(sql).await.unwrap_err();
        assert_eq!(refused.code().map(|code| code.code()), Some("42501"), "{sql}");
    }
}

/// proves CHAT-03
#[tokio::test]
async fn an_unknown_agent_or_another_tenants_is_not_found() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    for agent in [AgentId(id()), other.agent] {
        let opened = open(&app.db, app.world.ids.as_ref(), &tenant.caller(), tenant.id, agent, None).await;
        assert_eq!(code(opened), ErrorCode::NotFound);
    }
    let inactive = app.agent_of(tenant.id, "Zoe", false).await;
    let listed = agents(&app.db, &tenant.caller(), tenant.id).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|a| (a.id, a.is_active)).collect();
    assert_eq!(listed, [(tenant.agent, true), (inactive, false)], "inactive ones too");
    app.join_tenant(other.id, tenant.user, TenantRole::Member).await;
    let wrong = open(&app.db, app.world.ids.as_ref(), &tenant.caller(), tenant.id, other.agent, None).await;
    assert_eq!(code(wrong), ErrorCode::NotFound, "a member of both finds an agent where it is");
}
