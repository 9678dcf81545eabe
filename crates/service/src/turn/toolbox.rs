//! Which tools an agent may call, and what a call of the model comes to: pure. What the model writes decides nothing but
//! which tool and with what: whether it is there, granted and asked about is the tenant's.

use konstruct_ports::{ToolCall, ToolSpec};
use konstruct_postgres::equipment::Grant;
use konstruct_secrets::fingerprint;
use serde_json::{Map, Value, json};

use super::journal::{ESCALATE, NOT_RUN};

/// Longest name of a tool.
const NAME_MAX: usize = 64;

/// What runs a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    /// The clock.
    Time,
    /// This conversation's history.
    Search,
    /// A human takes over.
    Escalate,
    /// A page of the web.
    Get,
    /// A tenant's server, by its place in the equipment, and its own name for the tool.
    Server(usize, String),
}

/// A tool of the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// As models are offered it.
    pub spec: ToolSpec,
    /// What runs it.
    pub runner: Runner,
    /// Whether the agent may call it, and whether a person is asked first.
    pub grant: Option<Confirmation>,
}

/// Whether a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// It runs at once.
    NotNeeded,
    /// It runs when the person said yes.
    Needed,
}

/// What a call comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict<'a> {
    /// It may run, with these arguments.
    Run(&'a Tool, Map<String, Value>, Confirmation),
    /// It is not run: why, as its result says it.
    NotRun(String),
}

/// The tools of a tenant, and what an agent may do with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Toolbox {
    tools: Vec<Tool>,
}

impl Toolbox {
    /// The built-in tools and those of servers (each with its name and list), with an agent's grants.
    #[must_use]
    pub fn new(servers: &[(String, Vec<ToolSpec>)], grants: &[Grant]) -> Self {
        let mut tools: Vec<Tool> = built_in()
            .into_iter()
            .map(|(spec, runner)| Tool { grant: granted(grants, &spec.name), spec, runner })
            .collect();
        for (place, (server, specs)) in servers.iter().enumerate() {
            for spec in specs {
                let name = format!("{server}_{}", spec.name);
                let usable = name.len() <= NAME_MAX
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
                // What is there first keeps its name: a server cannot take a built-in tool's place.
                if !usable || tools.iter().any(|tool| tool.spec.name == name) {
                    continue;
                }
                tools.push(Tool {
                    grant: granted(grants, &name),
                    runner: Runner::Server(place, spec.name.clone()),
                    spec: ToolSpec { name, ..spec.clone() },
                });
            }
        }
        Self { tools }
    }

    /// What a model is offered: what is granted.
    #[must_use]
    pub fn offered(&self) -> Vec<ToolSpec> {
        self.tools.iter().filter(|tool| tool.grant.is_some()).map(|tool| tool.spec.clone()).collect()
    }

    /// Whether the agent may hand the conversation to a human.
    #[must_use]
    pub fn may_escalate(&self) -> bool {
        self.tools.iter().any(|tool| tool.runner == Runner::Escalate && tool.grant.is_some())
    }

    /// What a call comes to; `check` judges arguments by their schema.
    pub fn judge(
        &self,
        call: &ToolCall,
        check: impl Fn(&Map<String, Value>, &Map<String, Value>) -> Result<(), String>,
    ) -> Verdict<'_> {
        let not_run = |why: String| Verdict::NotRun(format!("{NOT_RUN}{why}"));
        let Some(tool) = self.tools.iter().find(|tool| tool.spec.name == call.name) else {
            return not_run("unknown tool".to_owned());
        };
        let Some(confirmation) = tool.grant else {
            return not_run("not granted".to_owned());
        };
        let Some(arguments) = arguments(&call.arguments) else {
            return not_run("invalid arguments: they are no JSON object".to_owned());
        };
        match check(&tool.spec.parameters, &arguments) {
            Ok(()) => Verdict::Run(tool, arguments, confirmation),
            Err(why) => not_run(format!("invalid arguments: {why}")),
        }
    }
}

/// Arguments as a model wrote them; `None`: no JSON object. Nothing at all is an empty one.
#[must_use]
pub fn arguments(written: &str) -> Option<Map<String, Value>> {
    if written.trim().is_empty() {
        return Some(Map::new());
    }
    match serde_json::from_str(written) {
        Ok(Value::Object(mut arguments)) => {
            arguments.values_mut().for_each(drop_nul);
            Some(arguments)
        }
        _ => None,
    }
}

/// U+0000 is taken out of what a model writes (delivery.md section 3.7).
fn drop_nul(value: &mut Value) {
    match value {
        Value::String(text) => text.retain(|c| c != '\0'),
        Value::Array(items) => items.iter_mut().for_each(drop_nul),
        Value::Object(members) => members.values_mut().for_each(drop_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What a person is asked about: tool and arguments, whatever the order in which they are written.
#[must_use]
pub fn arguments_hash(tool: &str, arguments: &Map<String, Value>) -> String {
    // `Map` keeps its members sorted, so equal arguments are equal bytes.
    fingerprint(json!([tool, arguments]).to_string().as_bytes())
}

fn granted(grants: &[Grant], name: &str) -> Option<Confirmation> {
    let grant = grants.iter().find(|grant| grant.tool == name)?;
    Some(if grant.needs_confirmation { Confirmation::Needed } else { Confirmation::NotNeeded })
}

/// Whether a tool of this name is built in.
#[must_use]
pub fn is_built_in(name: &str) -> bool {
    built_in().iter().any(|(spec, _)| spec.name == name)
}

fn built_in() -> [(ToolSpec, Runner); 4] {
    let text = |about: &str| json!({"type": "string", "description": about});
    let spec = |name: &str, description: &str, properties: Value, required: Value| {
        let schema = json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        let parameters = match schema {
            Value::Object(parameters) => parameters,
            _ => Map::new(),
        };
        ToolSpec { name: name.to_owned(), description: description.to_owned(), parameters }
    };
    [
        (
            spec(
                "current_time",
                "The current date and time.",
                json!({"timezone": text("IANA name, for example Europe/Berlin; UTC if absent.")}),
                json!([]),
            ),
            Runner::Time,
        ),
        (
            spec(
                "search_history",
                "Searches what was said earlier in this conversation.",
                json!({"query": {"type": "string", "minLength": 1, "maxLength": 200,
                    "description": "Words to look for, as they were written."}}),
                json!(["query"]),
            ),
            Runner::Search,
        ),
        (
            spec(
                ESCALATE,
                "Hands the conversation to a human colleague. Call it when the person asks for a human, or when you cannot help.",
                json!({"reason": text("Why, in a few words.")}),
                json!([]),
            ),
            Runner::Escalate,
        ),
        (
            spec(
                "http_get",
                "Reads a page of the web, from the hosts that are allowed.",
                json!({"url": text("An https URL.")}),
                json!(["url"]),
            ),
            Runner::Get,
        ),
    ]
}

#[cfg(test)]
mod tests;
