//! Puts in place what a test begins with, behind the service's back. What a test is about goes through the service.

use konstruct_domain::{
    AgentId, Content, ConversationId, MessageId, Principal, Role, TenantId, TenantRole, UserId,
};
use konstruct_ports::SecretContext;
use konstruct_postgres::messages::{NewMessage, Stored, StoredMessage};
use konstruct_protocol::Task;
use uuid::Uuid;

use crate::app::{TestApp, in_trace, received, secrets, task};

/// A random id, of whatever type.
#[must_use]
pub fn id() -> Uuid {
    Uuid::new_v4()
}

/// A tenant with a default agent, an admin and a member.
#[derive(Debug, Clone, Copy)]
pub struct TestTenant {
    pub id: TenantId,
    pub agent: AgentId,
    pub admin: UserId,
    pub user: UserId,
}

impl TestTenant {
    /// The member's token.
    #[must_use]
    pub fn caller(&self) -> Principal {
        principal(Role::TenantMember, self.user, Some(self.id))
    }
}

/// What a verified token says.
#[must_use]
pub fn principal(role: Role, user_id: UserId, tenant_id: Option<TenantId>) -> Principal {
    Principal { user_id, role, tenant_id, expires_at: 4_102_444_800 }
}

/// A platform admin who is a member nowhere.
#[must_use]
pub fn platform_admin() -> Principal {
    principal(Role::PlatformAdmin, UserId(id()), None)
}

impl TestApp {
    pub async fn tenant(&self) -> TestTenant {
        let tenant = TenantId(id());
        let sql = "INSERT INTO tenants (id, slug, name, messages_per_minute) VALUES ($1, $2, 'Test', 1000)";
        let slug = format!("t-{}", tenant.0.simple());
        self.root.execute(sql, &[&tenant.0, &slug]).await.unwrap();
        let agent = self.agent_of(tenant, "Ada", true).await;
        let default = "UPDATE agents SET is_default = true WHERE id = $1";
        self.root.execute(default, &[&agent.0]).await.unwrap();
        let admin = self.member(tenant, TenantRole::Admin).await;
        let user = self.member(tenant, TenantRole::Member).await;
        TestTenant { id: tenant, agent, admin, user }
    }

    /// A portal user who is a member nowhere.
    pub async fn user(&self) -> UserId {
        let user = id();
        let email = format!("{}@example.com", user.simple());
        self.root
            .execute("INSERT INTO portal_users (id, email) VALUES ($1, $2)", &[&user, &email])
            .await
            .unwrap();
        UserId(user)
    }

    pub async fn member(&self, tenant: TenantId, role: TenantRole) -> UserId {
        let user = self.user().await;
        self.join_tenant(tenant, user, role).await;
        user
    }

    pub async fn join_tenant(&self, tenant: TenantId, user: UserId, role: TenantRole) {
        let role = if role == TenantRole::Admin { "tenant_admin" } else { "tenant_member" };
        let sql = "INSERT INTO tenant_members (tenant_id, user_id, role) VALUES ($1, $2, $3)";
        self.root.execute(sql, &[&tenant.0, &user.0, &role]).await.unwrap();
    }

    /// As an operator removes a member.
    pub async fn remove_member(&self, tenant: TenantId, user: UserId) {
        let sql = "DELETE FROM tenant_members WHERE tenant_id = $1 AND user_id = $2";
        assert_eq!(self.root.execute(sql, &[&tenant.0, &user.0]).await.unwrap(), 1);
    }

    pub async fn agent_of(&self, tenant: TenantId, name: &str, is_active: bool) -> AgentId {
        let agent = id();
        let sql =
            "INSERT INTO agents (tenant_id, id, name, role, is_active) VALUES ($1, $2, $3, 'Support', $4)";
        self.root.execute(sql, &[&tenant.0, &agent, &name, &is_active]).await.unwrap();
        AgentId(agent)
    }

    /// As if whoever has the conversation's lease had died a while ago.
    pub async fn lease_runs_out(&self, conversation: ConversationId) {
        let sql = "UPDATE web_conversations SET lease_until = NULL WHERE id = $1";
        self.root.execute(sql, &[&conversation.0]).await.unwrap();
    }

    /// Lets the tenant's agent call a tool; `asks`: a person says yes first.
    pub async fn grant(&self, tenant: &TestTenant, tool: &str, asks: bool) {
        let sql =
            "INSERT INTO agent_tools (tenant_id, agent_id, tool, needs_confirmation) VALUES ($1, $2, $3, $4)";
        self.root.execute(sql, &[&tenant.id.0, &tenant.agent.0, &tool, &asks]).await.unwrap();
    }

    /// A server of tools of the tenant's.
    pub async fn tool_server(&self, tenant: &TestTenant, name: &str, url: &str) {
        let sql = "INSERT INTO tool_servers (tenant_id, id, name, url) VALUES ($1, $2, $3, $4)";
        self.root.execute(sql, &[&tenant.id.0, &id(), &name, &url]).await.unwrap();
    }

    /// A Slack workspace of the tenant's, with a sealed token.
    pub async fn install(&self, tenant: &TestTenant, workspace: &str, token: &str) -> Uuid {
        let row = id();
        let context = SecretContext { tenant: tenant.id.0, row, purpose: "slack_bot_token" };
        let sealed = secrets().seal(&context, token).await.unwrap().to_json();
        let config = serde_json::json!({"bot_user_id": "UBOT", "bot_token": sealed});
        let sql = "INSERT INTO channel_connections (tenant_id, id, channel, workspace_id, config)
            VALUES ($1, $2, 'slack', $3, $4)";
        self.root.execute(sql, &[&tenant.id.0, &row, &workspace, &config]).await.unwrap();
        row
    }

    /// A conversation of the tenant's member.
    pub async fn conversation(&self, tenant: &TestTenant) -> ConversationId {
        self.conversation_of(tenant, tenant.user, &id().simple().to_string()).await
    }

    pub async fn conversation_of(&self, tenant: &TestTenant, user: UserId, session: &str) -> ConversationId {
        let conversation = id();
        let sql = "INSERT INTO web_conversations (tenant_id, id, agent_id, user_id, session_id)
            VALUES ($1, $2, $3, $4, $5)";
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&tenant.id.0, &conversation, &tenant.agent.0, &user.0, &session];
        self.root.execute(sql, &values).await.unwrap();
        ConversationId(conversation)
    }

    /// Stores a message through the service; what came of it.
    pub async fn store(
        &self,
        tenant: TenantId,
        user: UserId,
        conversation: ConversationId,
        message: MessageId,
        text: &str,
    ) -> Stored {
        let content = Content::parse(text).unwrap();
        let new = NewMessage { id: message, conversation, user, content: &content, trace: in_trace().id };
        self.db.begin(tenant).await.unwrap().store_message(new).await.unwrap()
    }

    /// A message of the conversation's member that is stored, and the task that wakes the agent for it.
    pub async fn message(
        &self,
        tenant: &TestTenant,
        conversation: ConversationId,
        text: &str,
    ) -> (MessageId, Task) {
        let message = MessageId(id());
        let stored = self.store(tenant.id, tenant.user, conversation, message, text).await;
        let Stored::Yes(StoredMessage { duplicate: false, epoch, .. }) = stored else {
            panic!("not stored: {stored:?}")
        };
        let mut task = task(received(tenant.id, tenant.user, conversation, message, text));
        task.epoch = epoch;
        (message, task)
    }

    /// How many rows a query finds, as superuser.
    pub async fn count(&self, sql: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> i64 {
        let sql = format!("SELECT count(*) FROM ({sql}) AS found");
        self.root.query_one(sql.as_str(), values).await.unwrap().get(0)
    }
}
