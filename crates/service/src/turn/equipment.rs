//! What an agent works with in a turn: the models it asks in order, with whose key, and its tools. Secrets are opened
//! here, late, and kept for the turn only.

use konstruct_domain::{Position, Provider, TenantId};
use konstruct_ports::{ApiKey, Route, SecretContext, ToolServer, ToolSpec};
use konstruct_postgres::equipment::{EquipmentRow, ToolServerRow};
use konstruct_postgres::turns::TurnRow;
use serde_json::Value;
use uuid::Uuid;

use super::toolbox::Toolbox;
use super::{Agent, OUTAGE};
use crate::error::Error;
use crate::patience::Patience;

/// What a provider's key is sealed for.
pub const PROVIDER_KEY: &str = "provider_key";
/// What a server's key is sealed for.
pub const TOOL_SERVER_KEY: &str = "tool_server_key";

/// Models, tools and limits of an agent in one conversation.
#[derive(Debug)]
pub(super) struct Equipment {
    /// In order of preference; empty where no key opens.
    pub(super) routes: Vec<Route>,
    pub(super) toolbox: Toolbox,
    /// In the order of the toolbox' places.
    pub(super) servers: Vec<ToolServerRow>,
    pub(super) http_hosts: Vec<String>,
    pub(super) failures_until_human: Option<i32>,
    pub(super) failures_in_a_row: i64,
    pub(super) summary: String,
    pub(super) summary_until: Position,
    /// What is left of the month's budget; `None`: there is none.
    pub(super) tokens_left: Option<i64>,
}

impl Agent {
    /// What this turn's agent works with.
    pub(super) async fn equipment(&self, tenant: TenantId, turn: &TurnRow) -> Result<Equipment, Error> {
        let (agent, conversation) = (turn.agent.id, turn.conversation);
        let read = || async { self.db.begin(tenant).await?.equipment(agent, conversation).await };
        let row = Patience::of(OUTAGE).retry(read).await?;
        let routes = self.routes(tenant, turn, &row).await?;
        let lists = self.tool_lists(tenant, &row).await;
        let named = row.servers.iter().map(|server| server.name.clone()).zip(lists).collect::<Vec<_>>();
        Ok(Equipment {
            routes,
            toolbox: Toolbox::new(&named, &row.grants),
            servers: row.servers,
            http_hosts: row.http_hosts,
            failures_until_human: row.failures_until_human,
            failures_in_a_row: row.failures_in_a_row,
            summary: row.summary,
            summary_until: row.summary_until,
            tokens_left: row.tokens_left,
        })
    }

    /// The agent's models, else the deployment's; with the tenant's keys where it has some.
    async fn routes(
        &self,
        tenant: TenantId,
        turn: &TurnRow,
        row: &EquipmentRow,
    ) -> Result<Vec<Route>, Error> {
        let own = |model: &String| vec![(self.limits.default_provider, model.clone())];
        let models = match (row.models.as_slice(), &turn.agent.model) {
            ([], Some(model)) => own(model),
            ([], None) => own(&self.limits.default_model),
            (models, _) => models.to_vec(),
        };
        let mut routes = Vec::with_capacity(models.len());
        for (provider, model) in models {
            let sealed = row.keys.iter().find(|(_, of, _)| *of == provider);
            let key = match sealed {
                Some((id, _, sealed)) => match self.open(tenant, *id, PROVIDER_KEY, sealed).await {
                    Ok(key) => Some(key),
                    Err(error) if error.is_retryable() => return Err(error),
                    // Never with the platform's in its place: that is at somebody else's expense.
                    Err(error) => {
                        tracing::error!(%error, provider = provider.as_str(), "a tenant's key does not open");
                        continue;
                    }
                },
                None => None,
            };
            routes.push(Route { provider, model, key });
        }
        Ok(routes)
    }

    /// What servers offer, each in its place. One that does not answer offers nothing for now.
    async fn tool_lists(&self, tenant: TenantId, row: &EquipmentRow) -> Vec<Vec<ToolSpec>> {
        // Only those that the agent may call something of are asked.
        let wanted: Vec<bool> = row
            .servers
            .iter()
            .map(|server| {
                let prefix = format!("{}_", server.name);
                row.grants.iter().any(|grant| grant.tool.starts_with(&prefix))
            })
            .collect();
        let ids: Vec<Uuid> = row.servers.iter().map(|server| server.id).collect();
        let known = self.connections.redis.tool_lists(tenant, &ids).await.unwrap_or_default();
        let mut known = known.into_iter();
        let asked = row.servers.iter().zip(wanted).map(|(server, wanted)| {
            let known = known.next().flatten();
            async move {
                match known {
                    _ if !wanted => Vec::new(),
                    Some(list) => serde_json::from_value(list).unwrap_or_default(),
                    None => self.list_anew(tenant, server).await,
                }
            }
        });
        futures_util::future::join_all(asked).await
    }

    async fn list_anew(&self, tenant: TenantId, server: &ToolServerRow) -> Vec<ToolSpec> {
        let listed = async {
            let server = self.tool_server(tenant, server).await?;
            let list = self.tools.list(&server, self.limits.tool_list).await;
            list.map_err(|error| Error::Away(error.to_string()))
        };
        let list = match listed.await {
            Ok(list) => Some(list),
            Err(error) => {
                tracing::warn!(%error, server_id = %server.id, "a server of tools did not tell what it has");
                None
            }
        };
        let json = list.as_ref().map_or(Value::Null, |list| serde_json::to_value(list).unwrap_or_default());
        if let Err(error) = self.connections.redis.keep_tool_list(tenant, server.id, &json).await {
            tracing::warn!(%error, "a list of tools could not be kept");
        }
        list.unwrap_or_default()
    }

    /// A server of tools, with its key.
    pub(super) async fn tool_server(
        &self,
        tenant: TenantId,
        row: &ToolServerRow,
    ) -> Result<ToolServer, Error> {
        let key = match &row.key {
            Some(sealed) => Some(self.open(tenant, row.id, TOOL_SERVER_KEY, sealed).await?),
            None => None,
        };
        Ok(ToolServer { url: row.url.clone(), key })
    }

    async fn open(
        &self,
        tenant: TenantId,
        row: Uuid,
        purpose: &str,
        sealed: &Value,
    ) -> Result<ApiKey, Error> {
        let context = SecretContext { tenant: tenant.0, row, purpose };
        let open = || async { self.outgoing.secrets.open(&context, sealed).await };
        let plain = Patience::of(OUTAGE).retry(open).await?;
        Ok(ApiKey::new(plain.to_string()))
    }
}

impl Equipment {
    /// The summary, where it holds nothing from this position on: a turn that waited may be older than it.
    pub(super) fn summary_before(&self, position: Position) -> &str {
        if self.summary_until < position { &self.summary } else { "" }
    }

    /// The model that is asked first.
    pub(super) fn first_route(&self) -> Route {
        self.route_after(0)
    }

    /// The model whose turn it is after so many failures.
    pub(super) fn route_after(&self, failures: i32) -> Route {
        let place = usize::try_from(failures).unwrap_or(0) % self.routes.len().max(1);
        let default = || Route { provider: Provider::OpenAi, model: String::new(), key: None };
        self.routes.get(place).cloned().unwrap_or_else(default)
    }
}
