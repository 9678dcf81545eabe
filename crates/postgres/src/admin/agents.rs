//! Agents with their models and grants, as operators make and change them. None is ever deleted: conversations and
//! bills name it.

use konstruct_domain::{
    Agent, AgentId, HostName, Language, ModelName, Name, Prose, Provider, TenantId, ToolName,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Administration, Made};
use crate::equipment::Grant;
use crate::error::DbError;
use crate::row::get;

/// An agent as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentDetail {
    /// Who it is.
    pub agent: Agent,
    /// Whether conversations that name no agent are with it.
    pub is_default: bool,
    /// Hosts that `http_get` may ask.
    pub http_hosts: Vec<String>,
    /// So many failures in a row, and a human gets the conversation; `None`: never.
    pub failures_until_human: Option<i32>,
    /// Which models it asks, in order: the provider and its name for the model. None: the deployment's.
    pub models: Vec<(String, String)>,
    /// What it may call, by name.
    pub grants: Vec<Grant>,
}

/// What is said of an agent; `None` is not said, and stays as it is or gets the schema's default.
#[derive(Debug, Clone, Default)]
pub struct AgentWords {
    /// What it is employed as.
    pub role: Option<Name>,
    /// How it speaks and who it is.
    pub persona: Option<Prose>,
    /// What it is to do.
    pub instructions: Option<Prose>,
    /// The language it answers in unless asked otherwise.
    pub language: Option<Language>,
    /// Whether it answers.
    pub is_active: Option<bool>,
    /// Conversations that name no agent are with it, and with no other any more.
    pub becomes_default: bool,
    /// Hosts that `http_get` may ask: all of them.
    pub http_hosts: Option<Vec<HostName>>,
    /// `Some(None)`: never.
    pub failures_until_human: Option<Option<i32>>,
    /// Which models it asks, in order: all of them.
    pub models: Option<Vec<(Provider, ModelName)>>,
    /// What it may call: all of it. Each name once; `true`: a person is asked first.
    pub grants: Option<Vec<(ToolName, bool)>>,
}

/// One after the other: names are unique and one agent is the default because each change waits for the one before.
const LOCK: &str = "SELECT 1 FROM tenants WHERE id = $1 FOR NO KEY UPDATE";

const DETAIL: &str = "
    SELECT a.tenant_id, a.id, a.name, a.role, a.persona, a.instructions, a.language, a.model, a.is_active,
        a.is_default, a.http_hosts, a.failures_until_human,
        ARRAY(SELECT m.provider FROM agent_models m WHERE m.agent_id = a.id ORDER BY m.place) AS providers,
        ARRAY(SELECT m.model FROM agent_models m WHERE m.agent_id = a.id ORDER BY m.place) AS models,
        ARRAY(SELECT t.tool FROM agent_tools t WHERE t.agent_id = a.id ORDER BY t.tool COLLATE \"C\") AS tools,
        ARRAY(SELECT t.needs_confirmation FROM agent_tools t WHERE t.agent_id = a.id
              ORDER BY t.tool COLLATE \"C\") AS confirmed
    FROM agents a WHERE ($1::text IS NULL OR a.name = $1) AND ($2::uuid IS NULL OR a.id = $2)
    ORDER BY a.name COLLATE \"C\", a.id";

/// $1 the tenant, $2 the agent, $3 providers, $4 models, in order.
const MODELS: &str = "
    INSERT INTO agent_models (tenant_id, agent_id, place, provider, model)
    SELECT $1::uuid, a.id, given.place::integer, given.provider, given.model
    FROM agents a, unnest($3::text[], $4::text[]) WITH ORDINALITY AS given (provider, model, place) WHERE a.id = $2";

/// $1 the tenant, $2 the agent, $3 tools, $4 whether a person is asked.
const GRANTS: &str = "
    INSERT INTO agent_tools (tenant_id, agent_id, tool, needs_confirmation)
    SELECT $1::uuid, a.id, given.tool, given.needs_confirmation
    FROM agents a, unnest($3::text[], $4::boolean[]) AS given (tool, needs_confirmation) WHERE a.id = $2";

impl Administration {
    /// Makes an agent under the id `fresh`, unless the tenant has one of this name. The tenant's first is its default.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn make_agent(
        &self,
        tenant: TenantId,
        fresh: AgentId,
        name: &Name,
        role: &Name,
        words: &AgentWords,
    ) -> Result<Made<AgentDetail>, DbError> {
        const YIELD: &str = "
            UPDATE agents SET is_default = false
            WHERE is_default AND $2 AND NOT EXISTS (SELECT 1 FROM agents WHERE name = $1)";
        const MAKE: &str = "
            WITH made AS (
                INSERT INTO agents (tenant_id, id, name, role, persona, instructions, language, is_default, http_hosts,
                    failures_until_human)
                SELECT $1::uuid, $2::uuid, $3::text, $4::text, $5::text, $6::text, $7::text,
                    $8 OR NOT EXISTS (SELECT 1 FROM agents WHERE is_default), $9::text[], $10::integer
                WHERE NOT EXISTS (SELECT 1 FROM agents WHERE name = $3)
                RETURNING tenant_id, id
            ), asks AS (
                INSERT INTO agent_models (tenant_id, agent_id, place, provider, model)
                SELECT made.tenant_id, made.id, given.place::integer, given.provider, given.model
                FROM made, unnest($11::text[], $12::text[]) WITH ORDINALITY AS given (provider, model, place)
            ), calls AS (
                INSERT INTO agent_tools (tenant_id, agent_id, tool, needs_confirmation)
                SELECT made.tenant_id, made.id, given.tool, given.needs_confirmation
                FROM made, unnest($13::text[], $14::boolean[]) AS given (tool, needs_confirmation)
            )
            SELECT id FROM made";
        let (name, id) = (name.as_str(), fresh.0);
        let lists = Lists::of(words);
        let [_, _, made, found] = self
            .run(
                tenant,
                [
                    (LOCK, &[&tenant.0]),
                    (YIELD, &[&name, &words.becomes_default]),
                    (
                        MAKE,
                        &[
                            &tenant.0,
                            &id,
                            &name,
                            &role.as_str(),
                            &words.persona.as_ref().map_or("", Prose::as_str),
                            &words.instructions.as_ref().map_or("", Prose::as_str),
                            &words.language.as_ref().map_or("", Language::as_str),
                            &words.becomes_default,
                            &lists.hosts,
                            &words.failures_until_human.flatten(),
                            &lists.providers,
                            &lists.models,
                            &lists.tools,
                            &lists.confirmed,
                        ],
                    ),
                    (DETAIL, &[&Some(name), &None::<Uuid>]),
                ],
            )
            .await?;
        let row = found.first().ok_or_else(|| DbError::Configuration("an agent was not made".to_owned()))?;
        Ok(Made { row: detail(row)?, created: !made.is_empty() })
    }

    /// The agents of a tenant, by name: all, or those of a name or id.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn agents(
        &self,
        tenant: TenantId,
        name: Option<&str>,
        id: Option<AgentId>,
    ) -> Result<Vec<AgentDetail>, DbError> {
        let [rows] = self.run(tenant, [(DETAIL, &[&name, &id.map(|id| id.0)])]).await?;
        rows.iter().map(detail).collect()
    }

    /// Changes an agent; as it was, and as it is. `None`: there is none.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn change_agent(
        &self,
        tenant: TenantId,
        agent: AgentId,
        words: &AgentWords,
    ) -> Result<Option<(AgentDetail, AgentDetail)>, DbError> {
        const YIELD: &str = "UPDATE agents SET is_default = false WHERE is_default AND $2 AND id <> $1";
        const CHANGE: &str = "
            UPDATE agents SET role = coalesce($2, role), persona = coalesce($3, persona),
                instructions = coalesce($4, instructions), language = coalesce($5, language),
                is_active = coalesce($6, is_active), is_default = is_default OR $7,
                http_hosts = CASE WHEN $8 THEN $9 ELSE http_hosts END,
                failures_until_human = CASE WHEN $10 THEN $11 ELSE failures_until_human END
            WHERE id = $1";
        const NO_MODELS: &str = "DELETE FROM agent_models WHERE agent_id = $1 AND $2";
        const NO_GRANTS: &str = "DELETE FROM agent_tools WHERE agent_id = $1 AND $2";
        let (id, lists) = (agent.0, Lists::of(words));
        let [_, before, _, _, _, _, _, _, after] = self
            .run(
                tenant,
                [
                    (LOCK, &[&tenant.0]),
                    (DETAIL, &[&None::<&str>, &Some(id)]),
                    (YIELD, &[&id, &words.becomes_default]),
                    (
                        CHANGE,
                        &[
                            &id,
                            &words.role.as_ref().map(Name::as_str),
                            &words.persona.as_ref().map(Prose::as_str),
                            &words.instructions.as_ref().map(Prose::as_str),
                            &words.language.as_ref().map(Language::as_str),
                            &words.is_active,
                            &words.becomes_default,
                            &words.http_hosts.is_some(),
                            &lists.hosts,
                            &words.failures_until_human.is_some(),
                            &words.failures_until_human.flatten(),
                        ],
                    ),
                    (NO_MODELS, &[&id, &words.models.is_some()]),
                    (MODELS, &[&tenant.0, &id, &lists.providers, &lists.models]),
                    (NO_GRANTS, &[&id, &words.grants.is_some()]),
                    (GRANTS, &[&tenant.0, &id, &lists.tools, &lists.confirmed]),
                    (DETAIL, &[&None::<&str>, &Some(id)]),
                ],
            )
            .await?;
        before
            .first()
            .zip(after.first())
            .map(|(before, after)| Ok((detail(before)?, detail(after)?)))
            .transpose()
    }
}

/// What is said of an agent, as Postgres takes it.
struct Lists<'a> {
    hosts: Vec<&'a str>,
    providers: Vec<&'static str>,
    models: Vec<&'a str>,
    tools: Vec<&'a str>,
    confirmed: Vec<bool>,
}

impl<'a> Lists<'a> {
    fn of(words: &'a AgentWords) -> Self {
        let models = words.models.iter().flatten();
        let grants = words.grants.iter().flatten();
        Self {
            hosts: words.http_hosts.iter().flatten().map(HostName::as_str).collect(),
            providers: models.clone().map(|(provider, _)| provider.as_str()).collect(),
            models: models.map(|(_, model)| model.as_str()).collect(),
            tools: grants.clone().map(|(tool, _)| tool.as_str()).collect(),
            confirmed: grants.map(|(_, confirmed)| *confirmed).collect(),
        }
    }
}

fn detail(row: &Row) -> Result<AgentDetail, DbError> {
    let (providers, models): (Vec<String>, Vec<String>) = (get(row, "providers")?, get(row, "models")?);
    let (tools, confirmed): (Vec<String>, Vec<bool>) = (get(row, "tools")?, get(row, "confirmed")?);
    Ok(AgentDetail {
        agent: Agent {
            id: AgentId(get(row, "id")?),
            tenant_id: TenantId(get(row, "tenant_id")?),
            name: get(row, "name")?,
            role: get(row, "role")?,
            persona: get(row, "persona")?,
            instructions: get(row, "instructions")?,
            language: get(row, "language")?,
            model: get(row, "model")?,
            is_active: get(row, "is_active")?,
        },
        is_default: get(row, "is_default")?,
        http_hosts: get(row, "http_hosts")?,
        failures_until_human: get(row, "failures_until_human")?,
        models: providers.into_iter().zip(models).collect(),
        grants: (tools.into_iter().zip(confirmed))
            .map(|(tool, needs_confirmation)| Grant { tool, needs_confirmation })
            .collect(),
    })
}
