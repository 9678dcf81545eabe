//! What is typed, and the command it makes. Forms and limits are not checked here: whoever carries the command out does,
//! and names the argument.

use std::io::{IsTerminal as _, Read as _};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Tenants, their people and their agents.
///
/// Every command can be repeated: what is so already is `unchanged`. `create` never changes what is there otherwise: that
/// is refused, and `set` does it. Exit status: 0 done, 1 refused, 2 wrong usage, 3 out of reach.
#[derive(Debug, Parser)]
#[command(name = "konstruct", version, disable_help_subcommand = true)]
pub struct Konstruct {
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Print the answer as JSON: an object, or of a list an array.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub about: About,
}

/// Who carries commands out: a function in AWS, else a database, else the local stack that runs (STATE_DIR).
#[derive(Debug, Args)]
#[command(next_help_heading = "Where")]
pub struct PlaceArguments {
    /// The function `migrate` of a deployment: its name or ARN (output MigrateFunctionName).
    #[arg(long, global = true, value_name = "NAME")]
    pub function: Option<String>,
    /// The function's region; else as AWS's own tools find it.
    #[arg(long, global = true, requires = "function")]
    pub region: Option<String>,
    /// Another address than AWS's own for Lambda.
    #[arg(long, global = true, value_name = "URL", requires = "function")]
    pub endpoint_url: Option<String>,
    /// A database, as the owner of its schema; else DATABASE_OWNER_URL.
    #[arg(long, global = true, value_name = "URL", conflicts_with = "function")]
    pub database_url: Option<String>,
}

/// What a command is about.
#[derive(Debug, Subcommand)]
pub enum About {
    /// Companies.
    #[command(subcommand)]
    Tenant(Tenant),
    /// People of a tenant.
    #[command(subcommand)]
    User(User),
    /// Agents of a tenant.
    #[command(subcommand)]
    Agent(Agent),
    /// Servers of tools (MCP) of a tenant.
    #[command(subcommand)]
    Server(Server),
    /// A tenant's own keys, for models and servers of tools.
    #[command(subcommand)]
    Key(Key),
}

#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// Makes a tenant.
    Create(TenantCreate),
    /// Every tenant, by its slug.
    List(Nothing),
    /// A tenant, how many people and agents it has, and what this month cost.
    Show(Slug),
    /// Changes a tenant's name or limits.
    Set(TenantSet),
    /// Lets nobody in any more, and answers nothing that is not begun. Nothing is deleted.
    Disable(Slug),
    /// Lets people in again.
    Enable(Slug),
}

#[derive(Debug, Subcommand)]
pub enum User {
    /// Makes a person a member of a tenant.
    Create(UserCreate),
    /// The members of a tenant, by address.
    List(OfTenant),
    /// Gives a member another role.
    Set(UserSet),
    /// Removes a member: out at the next request, message or connection. What was said stays.
    #[command(visible_alias = "disable")]
    Remove(UserRemove),
}

#[derive(Debug, Subcommand)]
pub enum Agent {
    /// Makes an agent. A tenant's first is its default.
    Create(AgentWords),
    /// The agents of a tenant, by name.
    List(OfTenant),
    /// An agent with its persona and instructions.
    Show(NamedAgent),
    /// Changes what is given, and nothing else.
    Set(AgentWords),
    /// Every message to it ends in `agent_unavailable`.
    Disable(NamedAgent),
    /// Lets it answer again.
    Enable(NamedAgent),
}

#[derive(Debug, Subcommand)]
pub enum Server {
    /// Adds a server; its tools are granted to agents as NAME_TOOL.
    Create(ServerWords),
    /// The servers of a tenant, by name, removed ones too.
    List(OfTenant),
    /// Gives a server another address.
    Set(ServerWords),
    /// Offers its tools no more, and forgets its key.
    Remove(NamedServer),
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Seals and keeps a key that is read from standard input.
    Set(KeyFor),
    /// For whom a tenant has keys; never the keys.
    List(OfTenant),
    /// Forgets a key.
    Remove(KeyFor),
}

#[derive(Debug, Args, Serialize)]
pub struct Nothing {}

#[derive(Debug, Args, Serialize)]
pub struct Slug {
    slug: String,
}

#[derive(Debug, Args, Serialize)]
pub struct OfTenant {
    /// The tenant's slug.
    #[arg(long, value_name = "SLUG")]
    tenant: String,
}

#[derive(Debug, Args, Serialize)]
pub struct TenantCreate {
    /// What commands call it: a-z 0-9 -, never changed.
    #[arg(long)]
    slug: String,
    /// What people call it.
    #[arg(long)]
    name: String,
    /// The tenant_id of its tokens, where your identity provider has one already.
    #[arg(long, value_name = "UUID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    limits: Limits,
}

#[derive(Debug, Args, Serialize)]
pub struct TenantSet {
    slug: String,
    /// What people call it.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    limits: Limits,
}

#[derive(Debug, Args, Serialize)]
pub struct Limits {
    /// Messages a minute and channel (30).
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    messages_per_minute: Option<i64>,
    /// What a calendar month (UTC) may cost, or `none`.
    #[arg(long, value_name = "N|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_month: Option<Limit>,
}

#[derive(Debug, Args, Serialize)]
pub struct UserCreate {
    #[command(flatten)]
    #[serde(flatten)]
    member: UserSet,
    /// The person's id: the `sub` of the tokens your identity provider gives. None: one is made.
    #[arg(long, value_name = "UUID", visible_alias = "subject")]
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

#[derive(Debug, Args, Serialize)]
pub struct UserSet {
    /// The tenant's slug.
    #[arg(long, value_name = "SLUG")]
    tenant: String,
    #[arg(long)]
    email: String,
    /// tenant_admin or tenant_member.
    #[arg(long)]
    role: String,
}

#[derive(Debug, Args, Serialize)]
pub struct UserRemove {
    /// The tenant's slug.
    #[arg(long, value_name = "SLUG")]
    tenant: String,
    #[arg(long)]
    email: String,
}

#[derive(Debug, Args, Serialize)]
pub struct NamedAgent {
    /// The tenant's slug.
    #[arg(long, value_name = "SLUG")]
    tenant: String,
    /// Its name, as people see it.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its id, in place of the name.
    #[arg(long, value_name = "UUID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

#[derive(Debug, Args, Serialize)]
pub struct AgentWords {
    #[command(flatten)]
    #[serde(flatten)]
    named: NamedAgent,
    /// What it is employed as, such as "support agent".
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// How it speaks and who it is.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    persona: Option<String>,
    /// What it is to do.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    /// The language it answers in unless asked otherwise, such as de; empty: the person's.
    #[arg(long, value_name = "TAG")]
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    /// A model it asks, openai:…, anthropic:… or bedrock:…; once more for the next, where one fails.
    #[arg(long = "model", value_name = "PROVIDER:MODEL")]
    #[serde(serialize_with = "entries", skip_serializing_if = "Option::is_none")]
    models: Option<Vec<String>>,
    /// Conversations that name no agent are with it.
    #[arg(long)]
    #[serde(skip_serializing_if = "is_not_said")]
    default: bool,
    /// All that it may call, commas between: current_time, search_history, escalate_to_human, http_get, SERVER_TOOL.
    #[arg(long, value_name = "TOOL,…", value_delimiter = ',')]
    #[serde(serialize_with = "entries", skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<String>>,
    /// Those of them that a person is asked about first.
    #[arg(long, value_name = "TOOL,…", value_delimiter = ',', requires = "tools")]
    #[serde(serialize_with = "entries", skip_serializing_if = "Option::is_none")]
    confirm: Option<Vec<String>>,
    /// Hosts that http_get may ask, commas between.
    #[arg(long, value_name = "HOST,…", value_delimiter = ',')]
    #[serde(serialize_with = "entries", skip_serializing_if = "Option::is_none")]
    http_hosts: Option<Vec<String>>,
    /// So many failures in a row, and a human gets the conversation; or `none`.
    #[arg(long, value_name = "N|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    failures_until_human: Option<Limit>,
}

#[derive(Debug, Args, Serialize)]
pub struct NamedServer {
    /// The tenant's slug.
    #[arg(long, value_name = "SLUG")]
    tenant: String,
    /// What stands before its tools' names: a-z 0-9.
    #[arg(long)]
    name: String,
}

#[derive(Debug, Args, Serialize)]
pub struct ServerWords {
    #[command(flatten)]
    #[serde(flatten)]
    named: NamedServer,
    /// Its address, https.
    #[arg(long)]
    url: String,
}

#[derive(Debug, Args, Serialize)]
pub struct KeyFor {
    /// The tenant's slug.
    #[arg(long, value_name = "SLUG")]
    tenant: String,
    /// openai, anthropic or bedrock.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// In place of a provider: one of the tenant's servers of tools.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
}

/// A number, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Limit(Option<i64>);

impl FromStr for Limit {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self(None)),
            _ => {
                text.parse().map(|number| Self(Some(number))).map_err(|_| "neither a whole number nor `none`")
            }
        }
    }
}

impl About {
    /// The command as it is carried out.
    pub fn command(&self) -> Result<Value, String> {
        match self {
            Self::Tenant(Tenant::Create(words)) => made("tenant create", words),
            Self::Tenant(Tenant::List(words)) => made("tenant list", words),
            Self::Tenant(Tenant::Show(words)) => made("tenant show", words),
            Self::Tenant(Tenant::Set(words)) => made("tenant set", words),
            Self::Tenant(Tenant::Disable(words)) => made("tenant disable", words),
            Self::Tenant(Tenant::Enable(words)) => made("tenant enable", words),
            Self::User(User::Create(words)) => made("user create", words),
            Self::User(User::List(words)) => made("user list", words),
            Self::User(User::Set(words)) => made("user set", words),
            Self::User(User::Remove(words)) => made("user remove", words),
            Self::Agent(Agent::Create(words)) => made("agent create", words),
            Self::Agent(Agent::List(words)) => made("agent list", words),
            Self::Agent(Agent::Show(words)) => made("agent show", words),
            Self::Agent(Agent::Set(words)) => made("agent set", words),
            Self::Agent(Agent::Disable(words)) => made("agent disable", words),
            Self::Agent(Agent::Enable(words)) => made("agent enable", words),
            Self::Server(Server::Create(words)) => made("server create", words),
            Self::Server(Server::List(words)) => made("server list", words),
            Self::Server(Server::Set(words)) => made("server set", words),
            Self::Server(Server::Remove(words)) => made("server remove", words),
            Self::Key(Key::Set(words)) => with_key(made("key set", words)?),
            Self::Key(Key::List(words)) => made("key list", words),
            Self::Key(Key::Remove(words)) => made("key remove", words),
        }
    }
}

fn made(name: &str, words: &impl Serialize) -> Result<Value, String> {
    let mut command = serde_json::to_value(words).map_err(|error| error.to_string())?;
    if let Some(members) = command.as_object_mut() {
        members.insert("command".to_owned(), name.into());
    }
    Ok(command)
}

/// A key is no argument: those are in the shell's history, and every user of the machine sees them.
fn with_key(mut command: Value) -> Result<Value, String> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err("the key is read from standard input: konstruct key set … < FILE".to_owned());
    }
    let mut key = String::new();
    stdin.read_to_string(&mut key).map_err(|error| format!("standard input: {error}"))?;
    if let Some(members) = command.as_object_mut() {
        members.insert("key".to_owned(), Value::String(key));
    }
    Ok(command)
}

/// `--tools ""` is a list without an entry.
fn entries<S: Serializer>(list: &Option<Vec<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    let entries = list.iter().flatten().map(|entry| entry.trim()).filter(|entry| !entry.is_empty());
    serializer.collect_seq(entries)
}

fn is_not_said(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use serde_json::json;

    use super::*;

    fn command(line: &str) -> Value {
        let words = std::iter::once("konstruct").chain(line.split(' '));
        Konstruct::try_parse_from(words).unwrap().about.command().unwrap()
    }

    #[test]
    fn every_argument_is_what_clap_takes_it_for() {
        Konstruct::command().debug_assert();
    }

    #[test]
    fn what_is_typed_becomes_a_command_and_what_is_not_is_not_in_it() {
        assert_eq!(command("tenant list"), json!({"command": "tenant list"}));
        assert_eq!(command("tenant disable acme"), json!({"command": "tenant disable", "slug": "acme"}));
        assert_eq!(
            command("tenant set acme --tokens-per-month none --messages-per-minute 60"),
            json!({"command": "tenant set", "slug": "acme", "tokens_per_month": null, "messages_per_minute": 60})
        );
        assert_eq!(
            command("user create --tenant acme --email a@b.c --role tenant_admin --subject 7"),
            json!({"command": "user create", "tenant": "acme", "email": "a@b.c", "role": "tenant_admin", "id": "7"})
        );
        assert_eq!(command("user disable --tenant acme --email a@b.c")["command"], "user remove");
        let agent = "agent create --tenant acme --name Ada --role support --model openai:a --model bedrock:b:0 \
                     --default --tools current_time,crm_close --confirm crm_close --failures-until-human 3";
        assert_eq!(
            command(&agent.split_whitespace().collect::<Vec<_>>().join(" ")),
            json!({"command": "agent create", "tenant": "acme", "name": "Ada", "role": "support", "default": true,
                "models": ["openai:a", "bedrock:b:0"], "tools": ["current_time", "crm_close"],
                "confirm": ["crm_close"], "failures_until_human": 3})
        );
        assert_eq!(command("agent set --tenant acme --name Ada --tools ")["tools"], json!([]));
    }

    #[test]
    fn what_makes_no_sense_is_usage() {
        for line in [
            "",
            "tenant",
            "tenant create --slug acme",
            "tenant set acme --tokens-per-month much",
            "agent set --tenant acme --name Ada --confirm x",
            "--function f --database-url d tenant list",
            "--region eu-central-1 tenant list",
            "tenant destroy acme",
        ] {
            let words = std::iter::once("konstruct").chain(line.split(' ').filter(|word| !word.is_empty()));
            let refused = Konstruct::try_parse_from(words).unwrap_err();
            assert_eq!(refused.exit_code(), 2, "{line}");
        }
    }
}
