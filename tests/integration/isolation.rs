//! Two tenants who know each other's ids: every method of a transaction is called as one with the ids of the other.
//! What a function refuses before it comes to Postgres is not tried here.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use konstruct_domain::{
    AgentId, Channel, Content, ConversationId, Epoch, Fence, Generation, MessageId, Position, Seq, TenantId,
    UserId,
};
use konstruct_postgres::channel_messages::NewChannelMessage;
use konstruct_postgres::confirmations::Ruling;
use konstruct_postgres::installations::{Installation, NewInstallation, Removal};
use konstruct_postgres::lease::{Guard, LeaseTry};
use konstruct_postgres::messages::{NewMessage, Stored, TurnOutcome};
use konstruct_postgres::replies::ReplyStored;
use konstruct_postgres::reset::Closing;
use konstruct_postgres::steps::{
    Decision, ModelStep, ModelStepTry, Parked, ToolBegins, ToolStep, ToolStepTry,
};
use konstruct_postgres::turns::{AnswerToStore, Missable, ToStop, Work};
use konstruct_postgres::usage::Usage;
use konstruct_postgres::{DbError, PlatformPool, TenantPool, TenantTx};
use konstruct_tests::app::NOW;
use konstruct_tests::services::services;
use konstruct_tests::{TestApp, id};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

/// Every row of a tenant, in one number.
async fn digest(app: &TestApp, tenant: TenantId) -> String {
    let tables = [
        "tenants",
        "tenant_members",
        "agents",
        "channel_connections",
        "web_conversations",
        "web_conversation_messages",
        "turns",
        "turn_steps",
        "llm_usage",
        "token_months",
        "agent_tools",
        "tool_servers",
    ];
    let mut all = String::new();
    for table in tables {
        let column = if table == "tenants" { "id" } else { "tenant_id" };
        let sql = format!(
            "SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '-') || count(*)
            FROM {table} t WHERE {column} = $1"
        );
        all.push_str(app.root.query_one(sql.as_str(), &[&tenant.0]).await.unwrap().get(0));
    }
    all
}

/// What the other tenant has.
struct Theirs {
    user: UserId,
    agent: AgentId,
    conversation: ConversationId,
    message: MessageId,
    guard: Guard,
    installation: Uuid,
    workspace: String,
}

impl Theirs {
    const fn work(&self) -> Work {
        Work { guard: self.guard, turn: self.message }
    }

    fn usage(&self) -> Usage {
        Usage {
            id: id(),
            agent: self.agent,
            step: 0,
            asking: 1,
            model: "m".to_owned(),
            prompt_tokens: 1,
            completion_tokens: 1,
            total_tokens: 2,
            estimated: false,
        }
    }
}

/// The methods that read, called as another tenant.
async fn reads(t: &Theirs, tx: impl AsyncFn() -> TenantTx) -> Vec<(&'static str, bool)> {
    let (c, m, u) = (t.conversation, t.message, t.user);
    let page = tx().await.history(c, u, Some(m), 50).await.unwrap();
    vec![
        ("membership", tx().await.membership(u).await.unwrap().is_none()),
        (
            "admission",
            tx().await
                .admission(u, c)
                .await
                .unwrap()
                .is_some_and(|a| a.membership.is_none() && a.owner.is_none() && !a.human),
        ),
        ("conversation", tx().await.conversation(c, u).await.unwrap() == (None, None)),
        (
            "conversations",
            tx().await.conversations(u, true, None, None, 50).await.unwrap() == (None, Vec::new()),
        ),
        ("agents", tx().await.agents(u).await.unwrap().1.iter().all(|agent| agent.id != t.agent)),
        ("history", page.conversation.is_none() && page.messages.is_empty() && page.before_unknown),
        ("turn_outcome", tx().await.turn_outcome(m).await.unwrap() == TurnOutcome::WithoutAnswer),
        ("said_before", tx().await.said_before(c, Position(99), 9).await.unwrap().is_empty()),
        ("said_between", tx().await.said_between(c, Position(0), Position(99), 9).await.unwrap().is_empty()),
        ("search", tx().await.search(c, Position(99), "s", 9).await.unwrap().is_empty()),
        ("standing", tx().await.standing(c).await.unwrap().is_none()),
        ("steps", tx().await.steps(m).await.unwrap().is_empty()),
        ("calls_known", tx().await.calls_known(c, &["a"]).await.unwrap().is_empty()),
        ("usage", tx().await.usage(u, OffsetDateTime::UNIX_EPOCH, NOW).await.unwrap() == (None, Vec::new())),
        ("next_turn", tx().await.next_turn(c, None).await.unwrap().is_none()),
        ("missable", tx().await.missable(c).await.unwrap() == Missable { due: false, shown: false }),
        ("turn_to_stop", tx().await.turn_to_stop(c, u).await.unwrap() == ToStop::NotAMember),
        ("inbound", tx().await.inbound(m).await.unwrap().is_none()),
        ("thread_admission", tx().await.thread_admission(c).await.unwrap().is_some_and(|a| !a.human)),
        ("installations", tx().await.installations(u).await.unwrap() == (None, Vec::new())),
    ]
}

/// The methods that write, called as another tenant.
async fn writes(t: &Theirs, tx: impl AsyncFn() -> TenantTx) -> Vec<(&'static str, bool)> {
    let (c, m, u, work) = (t.conversation, t.message, t.user, t.work());
    let content = Content::parse("stolen").unwrap();
    let new = NewMessage { id: MessageId(id()), conversation: c, user: u, content: &content };
    let request = json!({});
    let tool_step = ToolStep { number: 1, call_id: "a", request: &request, begins: ToolBegins::Running };
    let ruling =
        Ruling { conversation: c, person: "p", call_id: None, decision: Decision::Approved, message: None };
    let closing = Closing { waiting: "w", begun: "b" };
    let fresh = ConversationId(id());
    let opened = tx().await.open_conversation(fresh, u, Some(t.agent), None).await.unwrap();
    let lease = tx().await.take_lease(c, None, Duration::from_secs(1)).await.unwrap();
    vec![
        ("open_conversation", opened.membership.is_none() && opened.row.is_none()),
        ("store_message", tx().await.store_message(new).await.unwrap() == Stored::NotAMember),
        ("take_lease", lease == LeaseTry::NoConversation),
        ("renew_lease", !tx().await.renew_lease(t.guard, Duration::from_secs(9)).await.unwrap()),
        ("release_lease", tx().await.release_lease(t.guard).await.is_ok()),
        ("set_generation", tx().await.set_generation(c, None, Generation(7)).await.unwrap().is_none()),
        (
            "begin_tool_step",
            tx().await.begin_tool_step(work, tool_step).await.unwrap() == ToolStepTry::Fenced,
        ),
        ("begin_answer", !tx().await.begin_answer(work, m, 0).await.unwrap()),
        ("finish_tool_step", !tx().await.finish_tool_step(work, 0, &json!({})).await.unwrap()),
        ("claim_tool_step", !tx().await.claim_tool_step(work, 0).await.unwrap()),
        ("park", tx().await.park(work, Seq(9)).await.unwrap() == Parked::Fenced),
        ("decide", tx().await.decide(ruling).await.unwrap().is_none()),
        ("expire_confirmations", tx().await.expire_confirmations(c).await.unwrap().is_empty()),
        ("cancel_confirmations", tx().await.cancel_confirmations(c, "p").await.unwrap().is_empty()),
        (
            "store_reply",
            tx().await.store_reply(c, MessageId(id()), &content).await.unwrap()
                == ReplyStored::NoConversation,
        ),
        ("hand_over_told", tx().await.hand_over_told(c, Epoch(9), Seq(9)).await.is_ok()),
        ("keep_summary", tx().await.keep_summary(c, Epoch(0), Position(9), "x").await.is_ok()),
        ("settle", tx().await.settle(m, 0, 9).await.is_ok()),
        ("keep_channel_posts", !tx().await.keep_channel_posts(work, "{}").await.unwrap()),
        ("count_failure", tx().await.count_failure(work, 0, 1).await.unwrap().is_none()),
        ("end_with_error", !tx().await.end_with_error(work, "agent_failed", 0, true).await.unwrap()),
        ("delivered", tx().await.delivered(c, m, Seq(9), None).await.unwrap().is_none()),
        ("raise_epoch", tx().await.raise_epoch(c, Some(true)).await.unwrap().is_none()),
        ("end_on_behalf", !tx().await.end_on_behalf(c, m, MessageId(id()), "x", closing).await.unwrap()),
        ("delete_messages", tx().await.delete_messages(c, Epoch(0)).await.is_ok()),
        (
            "remove_installation",
            tx().await.remove_installation(t.user, t.installation).await.unwrap() == Removal::NotAdmin(None),
        ),
    ]
}

/// The methods for `konstruct_channels` alone, called as another tenant.
async fn secret_methods(t: &Theirs, tx: impl AsyncFn() -> TenantTx) -> Vec<(&'static str, bool)> {
    let config = json!({"bot_token": "stolen"});
    let (channel, workspace_id, admin) = (Channel::Slack, t.workspace.as_str(), t.user);
    let new = NewInstallation { id: t.installation, channel, workspace_id, config: &config, admin };
    let found = tx().await.installation_config(channel, workspace_id).await.unwrap();
    vec![
        ("installation_config", found.is_none()),
        ("install", tx().await.install(new).await.unwrap() == Installation::NotAdmin(None)),
        ("lost_streaming", tx().await.lost_streaming(t.installation).await.is_ok()),
        ("withdraw_placeholder", tx().await.withdraw_placeholder(t.conversation, t.message).await.is_ok()),
        ("uninstall", !tx().await.uninstall(t.installation, i64::MAX).await.unwrap()),
    ]
}

/// The methods for `konstruct_agent` alone, called as another tenant.
async fn agent_methods(t: &Theirs, tx: impl AsyncFn() -> TenantTx) -> Vec<(&'static str, bool)> {
    let (m, work) = (t.message, t.work());
    let step = ModelStep {
        number: 0,
        answer_id: m,
        model: "m",
        prompt_tokens: 1,
        tokens_max: 1,
        tokens_min: 1,
        deaths: 0,
    };
    let answer = AnswerToStore {
        id: MessageId(id()),
        text: "x",
        stopped: false,
        step_result: json!({}),
        to_human: true,
    };
    let ended = tx().await.end_with_answer(work, &answer, Some(&t.usage())).await;
    let finished = tx().await.finish_model_step(work, 0, &json!({}), &t.usage()).await;
    vec![
        ("equipment", tx().await.equipment(t.agent, t.conversation).await.is_err()),
        ("begin_model_step", tx().await.begin_model_step(work, step).await.unwrap() == ModelStepTry::Fenced),
        // A bill for another tenant's agent breaks a reference, and everything is rolled back.
        ("end_with_answer", matches!(ended, Ok(false) | Err(DbError::Query(_)))),
        ("finish_model_step", matches!(finished, Ok(false) | Err(DbError::Query(_)))),
        ("record_usage", matches!(tx().await.record_usage(m, &t.usage()).await, Err(DbError::Query(_)))),
    ]
}

/// A thread's first message makes its conversation. Under another tenant's ids it makes one of one's own, which is
/// taken away again here; the other's is not touched.
async fn stores_for_itself(app: &TestApp, t: &Theirs, tx: impl AsyncFn() -> TenantTx) -> &'static str {
    let (content, metadata) = (Content::parse("stolen").unwrap(), std::collections::BTreeMap::new());
    let new = NewChannelMessage {
        id: t.message,
        conversation: t.conversation,
        channel: Channel::Slack,
        session_id: "C1:1.000000",
        content: &content,
        metadata: &metadata,
        posts: None,
    };
    let tx = tx().await;
    let ours = tx.tenant();
    let stored = tx.store_channel_message(new).await.unwrap();
    assert!(matches!(stored, Stored::Yes(stored) if !stored.duplicate), "{stored:?}");
    let sql = "DELETE FROM web_conversations WHERE tenant_id = $1 AND id = $2";
    assert_eq!(app.root.execute(sql, &[&ours.0, &t.conversation.0]).await.unwrap(), 1);
    "store_channel_message"
}

/// The names of all methods that a transaction has.
fn methods() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/postgres/src");
    let mut names = BTreeSet::new();
    // What is below a folder has a door of its own (admin).
    let files =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for method in text.split("    pub async fn ").skip(1) {
            let (name, rest) = method.split_once('(').unwrap();
            if rest.trim_start().starts_with("self") {
                names.insert(name.split('<').next().unwrap().to_owned());
            }
        }
    }
    names
}

/// proves TEN-01, TEN-02
#[tokio::test]
async fn no_method_of_a_transaction_reaches_another_tenant() {
    let app = TestApp::start().await;
    let (ours, theirs) = (app.tenant().await, app.tenant().await);
    let conversation = app.conversation(&theirs).await;
    let (message, _) = app.message(&theirs, conversation, "secret").await;
    let guard = Guard { conversation, fence: Fence(0), epoch: Epoch(0) };
    let (installation, workspace) = (id(), format!("T{}", id().simple()));
    let sql = "INSERT INTO channel_connections (tenant_id, id, channel, workspace_id, config)
        VALUES ($1, $2, 'slack', $3, '{\"bot_token\": \"secret\"}')";
    app.root.execute(sql, &[&theirs.id.0, &installation, &workspace]).await.unwrap();
    let (user, agent) = (theirs.admin, theirs.agent);
    let t = Theirs { user, agent, conversation, message, guard, installation, workspace };
    let (before, own) = (digest(&app, theirs.id).await, digest(&app, ours.id).await);
    let tx = async || app.db.begin(ours.id).await.unwrap();
    let channels = TenantPool::new(&app.world.postgres_url("konstruct_channels"), 2).unwrap();
    let secret_tx = async || channels.begin(ours.id).await.unwrap();
    let agents = TenantPool::new(&app.world.postgres_url("konstruct_agent"), 2).unwrap();
    let agent_tx = async || agents.begin(ours.id).await.unwrap();
    let secrets = secret_methods(&t, secret_tx).await;
    let called =
        [reads(&t, tx).await, writes(&t, tx).await, secrets, agent_methods(&t, agent_tx).await].concat();
    for (method, blind) in &called {
        assert!(blind, "{method} reached another tenant");
    }
    let own_copy = stores_for_itself(&app, &t, tx).await;
    assert_eq!(digest(&app, theirs.id).await, before, "nothing of theirs has changed");
    assert_eq!(digest(&app, ours.id).await, own, "and nothing of ours");
    let called: BTreeSet<String> =
        called.into_iter().map(|(name, _)| name.to_owned()).chain([own_copy.to_owned()]).collect();
    assert_eq!(called, methods(), "every method is tried here");
}

/// proves TEN-01
#[tokio::test]
async fn without_a_tenant_nothing_is_seen_and_nothing_written() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    app.message(&tenant, conversation, "secret").await;
    let raw = services().schema.connect_as("konstruct_app", &app.world.database).await;
    for connection in ["fresh", "reused"] {
        for table in [
            "tenants",
            "portal_users",
            "tenant_members",
            "agents",
            "web_conversations",
            "web_conversation_messages",
            "turns",
        ] {
            let rows = raw.query(&format!("SELECT 1 FROM {table}"), &[]).await.unwrap();
            assert_eq!(rows.len(), 0, "{table} on a {connection} connection");
        }
        let sql = "INSERT INTO web_conversations (tenant_id, id, agent_id) VALUES ($1, $2, $3)";
        let refused = raw.execute(sql, &[&tenant.id.0, &id(), &tenant.agent.0]).await.unwrap_err();
        assert_eq!(refused.code().map(|code| code.code()), Some("42501"), "{connection}: {refused:?}");
        assert_eq!(raw.execute("UPDATE web_conversations SET status = 'human'", &[]).await.unwrap(), 0);
        assert_eq!(raw.execute("DELETE FROM web_conversation_messages", &[]).await.unwrap(), 0);
        // What a pool hands out after a transaction of some tenant: the setting is '' and not NULL.
        let set = format!("BEGIN; SELECT set_config('app.current_tenant', '{}', true); COMMIT", tenant.id);
        raw.batch_execute(&set).await.unwrap();
    }
    assert!(raw.batch_execute("SET row_security = off; SELECT 1 FROM agents").await.is_err());
    assert!(raw.batch_execute("ALTER TABLE agents DISABLE ROW LEVEL SECURITY").await.is_err());
    assert!(raw.batch_execute("SET ROLE konstruct_owner").await.is_err());
}

/// proves TEN-01
#[tokio::test]
async fn rows_cannot_be_written_for_or_moved_to_another_tenant() {
    let app = TestApp::start().await;
    let (ours, theirs) = (app.tenant().await, app.tenant().await);
    let own = app.conversation(&ours).await;
    let mut raw = services().schema.connect_as("konstruct_app", &app.world.database).await;
    let statements = [
        format!(
            "INSERT INTO web_conversations (tenant_id, id, agent_id) VALUES ('{}', '{}', '{}')",
            theirs.id,
            id(),
            theirs.agent
        ),
        format!("UPDATE web_conversations SET tenant_id = '{}' WHERE id = '{own}'", theirs.id),
        format!("UPDATE web_conversations SET agent_id = '{}' WHERE id = '{own}'", theirs.agent),
    ];
    for statement in statements {
        let tx = raw.transaction().await.unwrap();
        tx.batch_execute(&format!("SELECT set_config('app.current_tenant', '{}', true)", ours.id))
            .await
            .unwrap();
        assert!(tx.batch_execute(&statement).await.is_err(), "{statement}");
    }
    let moved = "SELECT 1 FROM web_conversations WHERE tenant_id = $1";
    assert_eq!(app.count(moved, &[&theirs.id.0]).await, 0);
}

/// proves TEN-02
#[tokio::test]
async fn a_pool_refuses_every_role_that_could_see_more() {
    let app = TestApp::start().await;
    let url = app.world.postgres_url("konstruct_app");
    let root = services().schema.url("postgres", &app.world.database);
    let owner = services().schema.url("konstruct_owner", &app.world.database);
    let role = format!("bypass_{}", id().simple());
    let sql = format!("CREATE ROLE {role} LOGIN BYPASSRLS PASSWORD 'x'");
    app.root.batch_execute(&sql).await.unwrap();
    let rest = url.split_once('@').unwrap().1;
    let bypasses = format!("postgres://{role}:x@{rest}");
    for unsafe_url in [&root, &owner, &bypasses] {
        let begun = TenantPool::new(unsafe_url, 1).unwrap().begin(TenantId(id())).await;
        assert!(matches!(begun, Err(DbError::UnsafeRole(_))), "{begun:?}");
        let listed = PlatformPool::new(unsafe_url).unwrap().conversations(UserId(id()), None, None, 1).await;
        assert!(matches!(listed, Err(DbError::UnsafeRole(_))), "{listed:?}");
    }
    app.root.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
    assert!(TenantPool::new(&url, 1).unwrap().begin(TenantId(id())).await.is_ok());
}

/// proves TEN-01, TEN-02
#[tokio::test]
async fn a_query_that_is_dropped_half_way_leaves_no_tenant_in_the_pool() {
    let app = TestApp::start().await;
    let (ours, theirs) = (app.tenant().await, app.tenant().await);
    let conversation = app.conversation(&ours).await;
    let (message, _) = app.message(&ours, conversation, "secret").await;
    // One connection, so that the next transaction gets the one that was dropped.
    let pool = TenantPool::new(&app.world.postgres_url("konstruct_app"), 1).unwrap();
    for polls in 0..40_u32 {
        let mut left = polls % 8;
        let reading =
            async { pool.begin(ours.id).await.unwrap().history(conversation, ours.user, None, 50).await };
        let mut reading = Box::pin(reading);
        let dropped = std::future::poll_fn(|context| {
            if left == 0 {
                return std::task::Poll::Ready(());
            }
            left -= 1;
            reading.as_mut().poll(context).map(|_| ())
        });
        dropped.await;
        drop(reading);
        let blind = pool.begin(theirs.id).await.unwrap().inbound(message).await.unwrap();
        assert_eq!(blind, None, "after {polls} polls");
        let seen = pool.begin(ours.id).await.unwrap().inbound(message).await.unwrap();
        assert!(seen.is_some(), "after {polls} polls");
    }
    drop(pool);
    let tx = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND usename = 'konstruct_app'
        AND state LIKE 'idle in transaction%'";
    assert_eq!(app.count(tx, &[]).await, 0);
}

/// proves TEN-01
#[tokio::test]
async fn tenants_that_share_a_pool_at_once_see_their_own_only() {
    let app = TestApp::start().await;
    let (one, two) = (app.tenant().await, app.tenant().await);
    let conversations = [app.conversation(&one).await, app.conversation(&two).await];
    let tenants = [one, two];
    let pool = TenantPool::new(&app.world.postgres_url("konstruct_app"), 3).unwrap();
    let looks = (0..200).map(|n| {
        let (tenant, pool) = (tenants[n % 2], pool.clone());
        async move {
            let tx = pool.begin(tenant.id).await.unwrap();
            tx.conversations(tenant.user, true, None, None, 50).await.unwrap().1
        }
    });
    for (n, seen) in join_all(looks).await.into_iter().enumerate() {
        let ids: Vec<_> = seen.iter().map(|row| row.conversation.id).collect();
        assert_eq!(ids, [conversations[n % 2]]);
    }
}
