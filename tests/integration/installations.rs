//! Links to channels from the first click to the last trace of a token. Slack's own words are tested where they are
//! read.

use std::sync::Arc;

use futures_util::future::join_all;
use konstruct_domain::{Channel, Principal, Role, TenantRole, UserId};
use konstruct_ports::InstallError;
use konstruct_postgres::installations::{Installation, NewInstallation, Removal};
use konstruct_postgres::{DbError, TenantPool};
use konstruct_protocol::ErrorCode;
use konstruct_redis::Key;
use konstruct_secrets::{LocalKeys, Secrets};
use konstruct_service::Error;
use konstruct_service::installations::{Installing, begin, list, remove, token, uninstalled};
use konstruct_tests::app::NOW;
use konstruct_tests::builders::{TestTenant, platform_admin, principal};
use konstruct_tests::fakes::FakeInstaller;
use konstruct_tests::services::services;
use konstruct_tests::{TestApp, id};
use serde_json::{Value, json};
use time::Duration;
use uuid::Uuid;

const CHANNEL: Channel = Channel::Slack;
/// The bytes 0 to 31.
const MASTER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A deployment with an app.
struct Desk {
    app: TestApp,
    /// As konstruct_channels.
    db: TenantPool,
    secrets: Secrets,
    slack: Arc<FakeInstaller>,
}

impl Desk {
    async fn open() -> Self {
        let app = TestApp::start().await;
        let db = TenantPool::new(&app.world.postgres_url("konstruct_channels"), 8).unwrap();
        let secrets = Secrets::new(Arc::new(LocalKeys::new(MASTER, true).unwrap()));
        Self { app, db, secrets, slack: Arc::default() }
    }

    fn installing(&self) -> Installing {
        Installing {
            db: self.db.clone(),
            redis: self.app.redis.clone(),
            secrets: self.secrets.clone(),
            installer: self.slack.clone(),
            clock: self.app.world.clock.clone(),
            ids: self.app.world.ids.clone(),
            channel: CHANNEL,
        }
    }

    async fn begin(&self, caller: &Principal, tenant: &TestTenant) -> Result<String, Error> {
        begin(&self.app.db, &self.app.redis, &*self.app.world.ids, caller, tenant.id, CHANNEL).await
    }

    /// The whole of it, by the tenant's admin.
    async fn install(&self, tenant: &TestTenant, workspace: &str, token: &str) -> Result<Uuid, Error> {
        let state = self.begin(&admin(tenant), tenant).await.unwrap();
        let code = id().to_string();
        self.slack.grant(&code, workspace, token);
        self.installing().complete(&code, &state).await
    }

    /// What a row keeps, and its status, seen as superuser.
    async fn row(&self, id: Uuid) -> (String, Value) {
        let sql = "SELECT status, config FROM channel_connections WHERE id = $1";
        let row = self.app.root.query_one(sql, &[&id]).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// The token of a tenant's active installation, as a function that calls Slack gets it.
    async fn token(&self, tenant: &TestTenant, workspace: &str) -> Option<String> {
        let (owner, id) = self.db.installation(CHANNEL, workspace).await.unwrap()?;
        assert_eq!(owner, tenant.id);
        let tx = self.db.begin(owner).await.unwrap();
        let (row, config) = tx.installation_config(CHANNEL, workspace).await.unwrap()?;
        assert_eq!(row, id);
        Some(token(&self.secrets, owner, CHANNEL, id, &config).await.unwrap().reveal().to_owned())
    }
}

fn admin(tenant: &TestTenant) -> Principal {
    principal(Role::TenantAdmin, tenant.admin, Some(tenant.id))
}

/// A workspace of no other test.
fn workspace() -> String {
    format!("T{}", id().simple().to_string().to_uppercase())
}

fn code_of<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    match result {
        Err(Error::Refused(refusal)) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

/// proves SLACK-06
#[tokio::test]
async fn an_installation_keeps_its_token_sealed_for_its_own_row() {
    let desk = Desk::open().await;
    let tenant = desk.app.tenant().await;
    let workspace = workspace();
    let state = desk.begin(&admin(&tenant), &tenant).await.unwrap();
    let nonce = state.strip_prefix(&format!("{}.", tenant.id)).unwrap();
    let key = Key::install(tenant.id, CHANNEL, nonce);
    assert!((590..=600).contains(&desk.app.keys.seconds_left(key.as_str()).await));
    desk.slack.grant("c", &workspace, "xoxb-very-secret");
    let id = desk.installing().complete("c", &state).await.unwrap();
    assert!(!desk.app.keys.exists(key.as_str()).await);
    let (status, config) = desk.row(id).await;
    assert_eq!((status.as_str(), &config["bot_user_id"]), ("active", &json!("U00FAKEBOT01")));
    assert_eq!(config["bot_token"]["key"], "local");
    assert_eq!(config["installed_at"], json!(NOW.unix_timestamp()));
    assert!(!config.to_string().contains("very-secret"));
    assert_eq!(desk.token(&tenant, &workspace).await.as_deref(), Some("xoxb-very-secret"));
    let other = desk.app.tenant().await;
    for (owner, row) in [(other.id, id), (tenant.id, Uuid::nil())] {
        let moved = token(&desk.secrets, owner, CHANNEL, row, &config).await;
        assert!(matches!(moved, Err(Error::Bug(_))), "{moved:?}");
    }
    let another_purpose = token(&desk.secrets, tenant.id, Channel::Telegram, id, &config).await;
    assert!(another_purpose.is_err());
    assert!(token(&desk.secrets, tenant.id, CHANNEL, id, &json!({})).await.is_err());
}

/// proves SLACK-06
#[tokio::test]
async fn a_state_is_good_once_whatever_came_of_it() {
    let desk = Desk::open().await;
    let tenant = desk.app.tenant().await;
    let installing = desk.installing();
    for outcome in ["granted", "refused", "away", "cancelled"] {
        let state = desk.begin(&admin(&tenant), &tenant).await.unwrap();
        match outcome {
            "granted" => {
                desk.slack.grant("c", &workspace(), "xoxb-1");
                installing.complete("c", &state).await.unwrap();
            }
            "refused" => {
                let refused = code_of(installing.complete("x", &state).await);
                assert_eq!(refused, ErrorCode::InvalidMessage);
            }
            "away" => {
                desk.slack.fail("c", InstallError::Away);
                assert!(installing.complete("c", &state).await.unwrap_err().is_retryable());
            }
            _ => installing.cancel(&state).await.unwrap(),
        }
        let asked = desk.slack.asked().len();
        desk.slack.grant("again", &workspace(), "xoxb-2");
        assert_eq!(
            code_of(installing.complete("again", &state).await),
            ErrorCode::InvalidMessage,
            "{outcome}"
        );
        assert_eq!(code_of(installing.cancel(&state).await), ErrorCode::InvalidMessage);
        assert_eq!(desk.slack.asked().len(), asked, "the code was not exchanged");
    }
}

/// proves SLACK-06
#[tokio::test]
async fn of_many_who_bring_the_same_state_one_installs() {
    let desk = Desk::open().await;
    let tenant = desk.app.tenant().await;
    let state = desk.begin(&admin(&tenant), &tenant).await.unwrap();
    let installing = desk.installing();
    let codes: Vec<String> = (0..8).map(|n| format!("c{n}")).collect();
    codes.iter().for_each(|code| desk.slack.grant(code, &workspace(), "xoxb-1"));
    let done = join_all(codes.iter().map(|code| installing.complete(code, &state))).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1, "{done:?}");
    assert_eq!(list(&desk.app.db, &admin(&tenant), tenant.id).await.unwrap().len(), 1);
}

/// proves SLACK-06
#[tokio::test]
async fn a_state_that_is_forged_moved_or_too_old_is_refused_before_slack_is_asked() {
    let desk = Desk::open().await;
    let (tenant, other) = (desk.app.tenant().await, desk.app.tenant().await);
    let installing = desk.installing();
    let state = desk.begin(&admin(&tenant), &tenant).await.unwrap();
    let nonce = state.split_once('.').unwrap().1;
    desk.slack.grant("c", &workspace(), "xoxb-1");
    let forged = [
        format!("{}.{nonce}", other.id),
        format!("{}.{}", tenant.id, "0".repeat(64)),
        format!("{state} "),
        String::new(),
        nonce.to_owned(),
        format!("{}.{nonce}*", tenant.id),
    ];
    for state in forged {
        assert_eq!(code_of(installing.complete("c", &state).await), ErrorCode::InvalidMessage, "{state}");
    }
    // What ten minutes do.
    desk.app.keys.delete(Key::install(tenant.id, CHANNEL, nonce).as_str()).await;
    assert_eq!(code_of(installing.complete("c", &state).await), ErrorCode::InvalidMessage);
    assert!(desk.slack.asked().is_empty());
}

/// proves SLACK-06
#[tokio::test]
async fn only_an_admin_of_the_tenant_itself_installs_and_he_must_still_be_one() {
    let desk = Desk::open().await;
    let (tenant, other) = (desk.app.tenant().await, desk.app.tenant().await);
    let member = tenant.caller();
    let claims_admin = principal(Role::TenantAdmin, tenant.user, Some(tenant.id));
    for caller in [member, claims_admin, admin(&other), platform_admin()] {
        assert_eq!(code_of(desk.begin(&caller, &tenant).await), ErrorCode::Forbidden);
    }
    assert!(desk.app.keys.of_tenant(tenant.id).await.is_empty());
    let state = desk.begin(&admin(&tenant), &tenant).await.unwrap();
    desk.slack.grant("c", &workspace(), "xoxb-1");
    desk.app.remove_member(tenant.id, tenant.admin).await;
    assert_eq!(code_of(desk.installing().complete("c", &state).await), ErrorCode::Forbidden);
    assert!(desk.slack.asked().is_empty());
}

/// proves SLACK-06
#[tokio::test]
async fn a_workspace_is_one_tenants_until_it_lets_go() {
    let desk = Desk::open().await;
    let (first, second) = (desk.app.tenant().await, desk.app.tenant().await);
    let workspace = workspace();
    let id = desk.install(&first, &workspace, "xoxb-first").await.unwrap();
    assert_eq!(code_of(desk.install(&second, &workspace, "xoxb-second").await), ErrorCode::Forbidden);
    assert_eq!(desk.token(&first, &workspace).await.as_deref(), Some("xoxb-first"));
    assert!(list(&desk.app.db, &admin(&second), second.id).await.unwrap().is_empty());
    remove(&desk.app.db, &admin(&first), None, id).await.unwrap();
    desk.install(&second, &workspace, "xoxb-second").await.unwrap();
    assert_eq!(desk.token(&second, &workspace).await.as_deref(), Some("xoxb-second"));
    assert_eq!(code_of(desk.install(&first, &workspace, "xoxb-third").await), ErrorCode::Forbidden);
    assert_eq!(desk.row(id).await, ("removed".to_owned(), json!({})));
}

/// proves SLACK-06
#[tokio::test]
async fn tenants_who_race_for_a_workspace_end_with_one_of_them() {
    let desk = Desk::open().await;
    let tenants = join_all((0..4).map(|_| desk.app.tenant())).await;
    for _ in 0..5 {
        let workspace = workspace();
        let done = join_all(tenants.iter().map(|tenant| desk.install(tenant, &workspace, "xoxb-1"))).await;
        assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1, "{done:?}");
        let sql = "SELECT 1 FROM channel_connections WHERE workspace_id = $1";
        assert_eq!(desk.app.count(sql, &[&workspace]).await, 1);
    }
}

/// proves SLACK-06
#[tokio::test]
async fn installing_again_keeps_the_row_and_replaces_all_it_kept() {
    let desk = Desk::open().await;
    let tenant = desk.app.tenant().await;
    let workspace = workspace();
    let id = desk.install(&tenant, &workspace, "xoxb-1").await.unwrap();
    assert_eq!(desk.install(&tenant, &workspace, "xoxb-2").await.unwrap(), id);
    assert_eq!(desk.token(&tenant, &workspace).await.as_deref(), Some("xoxb-2"));
    remove(&desk.app.db, &admin(&tenant), None, id).await.unwrap();
    assert_eq!(desk.token(&tenant, &workspace).await, None);
    assert_eq!(desk.install(&tenant, &workspace, "xoxb-3").await.unwrap(), id);
    assert_eq!(desk.token(&tenant, &workspace).await.as_deref(), Some("xoxb-3"));
    // Two windows at once: whichever is last, its token is the one that opens.
    let ids = join_all((0..6).map(|_| desk.install(&tenant, &workspace, "xoxb-4"))).await;
    assert!(ids.iter().all(|done| matches!(done, Ok(same) if *same == id)), "{ids:?}");
    assert_eq!(desk.token(&tenant, &workspace).await.as_deref(), Some("xoxb-4"));
}

/// proves SLACK-06
#[tokio::test]
async fn an_admin_lists_and_removes_and_the_secret_is_gone() {
    let desk = Desk::open().await;
    let (tenant, other) = (desk.app.tenant().await, desk.app.tenant().await);
    let db = &desk.app.db;
    let workspace = workspace();
    let id = desk.install(&tenant, &workspace, "xoxb-1").await.unwrap();
    for caller in [tenant.caller(), admin(&other)] {
        assert_eq!(code_of(list(db, &caller, tenant.id).await), ErrorCode::Forbidden);
        assert_eq!(code_of(remove(db, &caller, Some(tenant.id), id).await), ErrorCode::Forbidden);
    }
    assert_eq!(code_of(remove(db, &admin(&other), None, id).await), ErrorCode::NotFound);
    assert_eq!(code_of(remove(db, &admin(&tenant), None, Uuid::nil()).await), ErrorCode::NotFound);
    assert_eq!(list(db, &platform_admin(), tenant.id).await.unwrap().len(), 1);
    for tenant in [Some(tenant.id), None] {
        assert_eq!(code_of(remove(db, &platform_admin(), tenant, id).await), ErrorCode::Forbidden);
    }
    assert_eq!(desk.token(&tenant, &workspace).await.as_deref(), Some("xoxb-1"));
    for _ in 0..2 {
        remove(db, &admin(&tenant), None, id).await.unwrap();
        assert_eq!(desk.row(id).await, ("removed".to_owned(), json!({})));
    }
    let rows = list(db, &admin(&tenant), tenant.id).await.unwrap();
    let row = rows.first().unwrap();
    assert_eq!(
        (row.id, row.channel, row.workspace_id.as_str(), row.active),
        (id, CHANNEL, &*workspace, false)
    );
    assert_eq!(desk.db.installation(CHANNEL, &workspace).await.unwrap(), None);
}

/// proves SLACK-06
#[tokio::test]
async fn what_slack_uninstalls_is_gone_but_not_what_was_installed_since() {
    let desk = Desk::open().await;
    let tenant = desk.app.tenant().await;
    let workspace = workspace();
    let id = desk.install(&tenant, &workspace, "xoxb-1").await.unwrap();
    let before = NOW - Duration::seconds(1);
    assert!(!uninstalled(&desk.db, CHANNEL, &workspace, before).await.unwrap(), "an event that came late");
    assert!(!uninstalled(&desk.db, CHANNEL, "T0UNKNOWN", NOW).await.unwrap());
    assert_eq!(desk.token(&tenant, &workspace).await.as_deref(), Some("xoxb-1"));
    assert!(uninstalled(&desk.db, CHANNEL, &workspace, NOW).await.unwrap());
    assert_eq!(desk.row(id).await, ("removed".to_owned(), json!({})));
    assert!(!uninstalled(&desk.db, CHANNEL, &workspace, NOW).await.unwrap(), "once");
    // A row that an operator made does not say since when.
    let bare = "UPDATE channel_connections SET status = 'active', config = '{\"bot_user_id\": \"U1\"}' WHERE id = $1";
    desk.app.root.execute(bare, &[&id]).await.unwrap();
    assert!(uninstalled(&desk.db, CHANNEL, &workspace, before).await.unwrap());
}

/// proves SLACK-06
#[tokio::test]
async fn only_the_role_of_the_functions_that_call_slack_reads_a_sealed_token() {
    let desk = Desk::open().await;
    let tenant = desk.app.tenant().await;
    let workspace = workspace();
    let id = desk.install(&tenant, &workspace, "xoxb-1").await.unwrap();
    let denied = |result: Result<(), DbError>| match result {
        Err(DbError::Query(why)) => assert!(why.starts_with("42501"), "{why}"),
        other => panic!("not denied: {other:?}"),
    };
    let tx = async || desk.app.db.begin(tenant.id).await.unwrap();
    denied(tx().await.installation_config(CHANNEL, &workspace).await.map(drop));
    denied(tx().await.uninstall(id, i64::MAX).await.map(drop));
    let config = json!({});
    let new = NewInstallation {
        id,
        channel: CHANNEL,
        workspace_id: &workspace,
        config: &config,
        admin: tenant.admin,
    };
    denied(tx().await.install(new).await.map(drop));
    for role in ["konstruct_app", "konstruct_platform"] {
        let raw = services().schema.connect_as(role, &desk.app.world.database).await;
        for sql in ["SELECT config FROM channel_connections", "SELECT * FROM channel_connections"] {
            assert!(raw.query(sql, &[]).await.is_err(), "{role}: {sql}");
        }
    }
    assert_eq!(desk.token(&tenant, &workspace).await.as_deref(), Some("xoxb-1"));
}

#[tokio::test]
async fn what_postgres_says_of_an_installation_names_who_and_why() {
    let desk = Desk::open().await;
    let (tenant, other) = (desk.app.tenant().await, desk.app.tenant().await);
    let (workspace, config) = (workspace(), json!({"a": 1}));
    let (own, more) = (id(), id());
    let colleague = desk.app.member(tenant.id, TenantRole::Admin).await;
    let kept = async |tenant: &TestTenant, id: Uuid, admin: UserId| {
        let new = NewInstallation { id, channel: CHANNEL, workspace_id: &workspace, config: &config, admin };
        desk.db.begin(tenant.id).await.unwrap().install(new).await.unwrap()
    };
    assert_eq!(kept(&tenant, own, tenant.user).await, Installation::NotAdmin(Some(TenantRole::Member)));
    assert_eq!(kept(&tenant, own, other.admin).await, Installation::NotAdmin(None));
    assert_eq!(kept(&tenant, own, colleague).await, Installation::Done);
    assert_eq!(kept(&tenant, more, tenant.admin).await, Installation::HasRow(own));
    assert_eq!(kept(&tenant, own, tenant.admin).await, Installation::Done);
    assert_eq!(kept(&other, more, other.admin).await, Installation::Taken);
    let removed =
        async |user| desk.app.db.begin(tenant.id).await.unwrap().remove_installation(user, own).await;
    assert_eq!(removed(tenant.user).await.unwrap(), Removal::NotAdmin(Some(TenantRole::Member)));
    assert_eq!(removed(other.admin).await.unwrap(), Removal::NotAdmin(None));
    assert_eq!(desk.row(own).await, ("active".to_owned(), config.clone()));
}
