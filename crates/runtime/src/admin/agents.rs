//! Commands about a tenant's agents: who they are, which models they ask, what they may call. An agent keeps its name
//! and is never deleted: conversations and bills name it.

use konstruct_domain::{AgentId, HostName, ModelName, Name, Provider, Slug, TenantId, ToolName};
use konstruct_postgres::admin::agents::{AgentDetail, AgentWords};
use konstruct_service::turn::toolbox::is_built_in;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::refusal::Refusal;
use super::{Answer, Office, changed, created_or_not, set_or_not};

/// Most failures in a row that are waited for.
const FAILURES_MAX: i64 = 1_000;

impl Office<'_> {
    pub(super) async fn create_agent(&self, arguments: &Arguments<'_>) -> Answer {
        let (slug, name): (Slug, Name) = (arguments.required("tenant")?, arguments.required("name")?);
        let (id, words): (Option<AgentId>, _) = (arguments.optional("id")?, words(arguments)?);
        let role = words.role.clone().ok_or_else(|| Refusal::invalid("role", "is missing"))?;
        arguments.complete()?;
        let tenant = self.tenant("tenant", &slug).await?;
        self.tools_exist(tenant.id, &words).await?;
        if let Some(id) = id {
            let known = self.door.agents(tenant.id, None, Some(id)).await?;
            if known.iter().any(|known| known.agent.name != name.as_str()) {
                return Err(Refusal::conflict("id", "another agent has this id"));
            }
        }
        let fresh = id.unwrap_or_else(|| AgentId(self.ids.new_id()));
        let made = self.door.make_agent(tenant.id, fresh, &name, &role, &words).await?;
        let differs = id.is_some_and(|id| id != made.row.agent.id).then_some("id");
        if let Some(field) = differs.or_else(|| differing(&words, &made.row)).filter(|_| !made.created) {
            let message = format!("{slug} has an agent {name} with another {field}; `agent set` changes it");
            return Err(Refusal::conflict(field, message));
        }
        Ok(changed(created_or_not(made.created), "agent", agent(&made.row)))
    }

    pub(super) async fn list_agents(&self, arguments: &Arguments<'_>) -> Answer {
        let slug: Slug = arguments.required("tenant")?;
        arguments.complete()?;
        let tenant = self.tenant("tenant", &slug).await?;
        Ok(self.door.agents(tenant.id, None, None).await?.iter().map(agent).collect())
    }

    pub(super) async fn show_agent(&self, arguments: &Arguments<'_>) -> Answer {
        let (_, found) = self.named(arguments).await?;
        Ok(agent(&found))
    }

    pub(super) async fn set_agent(&self, arguments: &Arguments<'_>) -> Answer {
        let words = words(arguments)?;
        let (tenant, found) = self.named(arguments).await?;
        self.tools_exist(tenant, &words).await?;
        self.change_agent(tenant, &found, &words).await
    }

    pub(super) async fn switch_agent(&self, arguments: &Arguments<'_>, on: bool) -> Answer {
        let (tenant, found) = self.named(arguments).await?;
        let words = AgentWords { is_active: Some(on), ..AgentWords::default() };
        self.change_agent(tenant, &found, &words).await
    }

    async fn change_agent(&self, tenant: TenantId, found: &AgentDetail, words: &AgentWords) -> Answer {
        let Some((before, after)) = self.door.change_agent(tenant, found.agent.id, words).await? else {
            return Err(Refusal::not_found("name", "the agent is gone"));
        };
        Ok(changed(set_or_not(&before, &after), "agent", agent(&after)))
    }

    /// The agent that a command names, by its name or its id. The last that is read of its arguments.
    async fn named(&self, arguments: &Arguments<'_>) -> Result<(TenantId, AgentDetail), Refusal> {
        let slug: Slug = arguments.required("tenant")?;
        let (name, id): (Option<Name>, Option<AgentId>) =
            (arguments.optional("name")?, arguments.optional("id")?);
        arguments.complete()?;
        if name.is_none() && id.is_none() {
            return Err(Refusal::invalid("name", "is missing"));
        }
        let tenant = self.tenant("tenant", &slug).await?;
        let found = self.door.agents(tenant.id, name.as_ref().map(Name::as_str), id).await?;
        match <[AgentDetail; 1]>::try_from(found) {
            Ok([found]) => Ok((tenant.id, found)),
            Err(found) if found.is_empty() => {
                Err(Refusal::not_found("name", format!("{slug} has no such agent")))
            }
            // The schema lets two have one name; the commands make none.
            Err(_) => {
                Err(Refusal::conflict("name", format!("{slug} has several agents of this name: say the id")))
            }
        }
    }

    /// A grant of what there is not would lie in wait for a server of that name.
    async fn tools_exist(&self, tenant: TenantId, words: &AgentWords) -> Result<(), Refusal> {
        let of_servers = |(tool, _): &&(ToolName, bool)| !is_built_in(tool.as_str());
        let mut others = words.grants.iter().flatten().filter(of_servers).peekable();
        if others.peek().is_none() {
            return Ok(());
        }
        let servers = self.door.servers(tenant, None).await?;
        let unknown = others.find(|(tool, _)| {
            let of = |name: &str| {
                tool.as_str().strip_prefix(name).is_some_and(|rest| rest.len() > 1 && rest.starts_with('_'))
            };
            !servers.iter().any(|server| server.is_active && of(&server.name))
        });
        unknown.map_or(Ok(()), |(tool, _)| {
            let problem = format!("has {tool}, which is neither built in nor of one of the tenant's servers");
            Err(Refusal::invalid("tools", problem))
        })
    }
}

/// What is said of an agent.
fn words(arguments: &Arguments<'_>) -> Result<AgentWords, Refusal> {
    let models: Option<Vec<Model>> = arguments.list("models")?;
    Ok(AgentWords {
        role: arguments.optional("role")?,
        persona: arguments.optional("persona")?,
        instructions: arguments.optional("instructions")?,
        language: arguments.optional("language")?,
        is_active: None,
        becomes_default: arguments.flag("default")?,
        http_hosts: arguments.list("http_hosts")?,
        failures_until_human: arguments.number_or_none("failures_until_human", 1, FAILURES_MAX)?,
        models: models.map(|models| models.into_iter().map(|model| (model.provider, model.name)).collect()),
        grants: grants(arguments)?,
    })
}

/// `tools` are all that the agent may call, `confirm` those of them that a person is asked about first.
fn grants(arguments: &Arguments<'_>) -> Result<Option<Vec<(ToolName, bool)>>, Refusal> {
    let (tools, confirm): (Option<Vec<ToolName>>, Option<Vec<ToolName>>) =
        (arguments.list("tools")?, arguments.list("confirm")?);
    let asked = confirm.unwrap_or_default();
    let granted = tools.as_deref().unwrap_or_default();
    if let Some(other) = asked.iter().find(|tool| !granted.contains(tool)) {
        return Err(Refusal::invalid("confirm", format!("has {other}, which is not among tools")));
    }
    Ok(tools.map(|tools| tools.into_iter().map(|tool| (tool.clone(), asked.contains(&tool))).collect()))
}

/// `provider:model`.
#[derive(PartialEq)]
struct Model {
    provider: Provider,
    name: ModelName,
}

impl std::str::FromStr for Model {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let named =
            text.split_once(':').and_then(|(provider, name)| Some((Provider::parse(provider)?, name)));
        let (provider, name) =
            named.ok_or("has a model without openai:, anthropic: or bedrock: before its name")?;
        let name = name.parse().map_err(|why| format!("has a model whose name {why}"))?;
        Ok(Self { provider, name })
    }
}

/// The first thing said of an agent that is not so.
fn differing(words: &AgentWords, there: &AgentDetail) -> Option<&'static str> {
    let said = |said: Option<&str>, there: &str| said.is_some_and(|said| said != there);
    let mut hosts: Option<Vec<&str>> =
        words.http_hosts.as_ref().map(|hosts| hosts.iter().map(HostName::as_str).collect());
    hosts.iter_mut().for_each(|hosts| hosts.sort_unstable());
    let mut hosts_there: Vec<&str> = there.http_hosts.iter().map(String::as_str).collect();
    hosts_there.sort_unstable();
    let models = words.models.as_ref().is_some_and(|models| {
        let models = models.iter().map(|(provider, name)| (provider.as_str(), name.as_str()));
        !models.eq(there.models.iter().map(|(provider, name)| (provider.as_str(), name.as_str())))
    });
    let grants = words.grants.as_ref().is_some_and(|grants| {
        let mut grants: Vec<(&str, bool)> =
            grants.iter().map(|(tool, asks)| (tool.as_str(), *asks)).collect();
        grants.sort_unstable();
        !grants
            .into_iter()
            .eq(there.grants.iter().map(|grant| (grant.tool.as_str(), grant.needs_confirmation)))
    });
    let all = [
        ("role", said(words.role.as_ref().map(Name::as_str), &there.agent.role)),
        ("persona", said(words.persona.as_ref().map(|text| text.as_str()), &there.agent.persona)),
        (
            "instructions",
            said(words.instructions.as_ref().map(|text| text.as_str()), &there.agent.instructions),
        ),
        ("language", said(words.language.as_ref().map(|text| text.as_str()), &there.agent.language)),
        ("default", words.becomes_default && !there.is_default),
        ("models", models),
        ("tools", grants),
        ("http_hosts", hosts.is_some_and(|hosts| hosts != hosts_there)),
        (
            "failures_until_human",
            words.failures_until_human.is_some_and(|failures| failures != there.failures_until_human),
        ),
    ];
    all.into_iter().find(|(_, differs)| *differs).map(|(field, _)| field)
}

fn agent(row: &AgentDetail) -> Value {
    let models: Vec<String> =
        row.models.iter().map(|(provider, name)| format!("{provider}:{name}")).collect();
    let tools: Vec<&str> = row.grants.iter().map(|grant| grant.tool.as_str()).collect();
    let asked = row.grants.iter().filter(|grant| grant.needs_confirmation);
    let confirm: Vec<&str> = asked.map(|grant| grant.tool.as_str()).collect();
    json!({
        "name": row.agent.name,
        "role": row.agent.role,
        "id": row.agent.id,
        "is_active": row.agent.is_active,
        "is_default": row.is_default,
        "models": models,
        "tools": tools,
        "confirm": confirm,
        "http_hosts": row.http_hosts,
        "failures_until_human": row.failures_until_human,
        "language": row.agent.language,
        "persona": row.agent.persona,
        "instructions": row.agent.instructions,
    })
}
