//! Where commands are carried out: by the function of a deployment, in a database, or in the local stack's. It never
//! falls back from one that was named to another.

use std::path::PathBuf;

use serde_json::Value;

use crate::arguments::PlaceArguments;
use crate::function::Function;

/// Who carries commands out.
pub enum Place {
    Function(Function),
    /// As the owner of the schema.
    Database(String),
}

impl Place {
    /// What arguments and environment name, or why that is nowhere.
    pub fn of(arguments: &PlaceArguments) -> Result<Self, String> {
        if let Some(name) = &arguments.function {
            let (region, endpoint_url) = (arguments.region.clone(), arguments.endpoint_url.clone());
            return Ok(Self::Function(Function { name: name.clone(), region, endpoint_url }));
        }
        if let Some(url) = arguments.database_url.clone().or_else(|| variable("DATABASE_OWNER_URL")) {
            return Ok(Self::Database(url));
        }
        let state = PathBuf::from(variable("STATE_DIR").unwrap_or_else(|| ".local".to_owned()));
        local_stack(&state.join("stack.json")).map(Self::Database)
    }

    /// The command's answer, refusals included; or why there is none.
    pub async fn ask(&self, command: &Value) -> Result<Value, String> {
        match self {
            Self::Function(function) => function.ask(command).await,
            Self::Database(url) => Ok(konstruct_runtime::admin::answer(url, command).await),
        }
    }
}

/// The database of the local stack that runs, as its administrator.
fn local_stack(path: &std::path::Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|_| {
        format!(
            "there is no {}: name a --function or a --database-url, or start a local stack (make dev)",
            path.display()
        )
    })?;
    let stack: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let url = stack.get("admin_database_url").and_then(Value::as_str);
    url.map(str::to_owned).ok_or_else(|| format!("{} has no admin_database_url", path.display()))
}

#[expect(clippy::disallowed_methods, reason = "this program's one look at its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
