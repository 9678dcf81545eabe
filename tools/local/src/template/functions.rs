//! The template's functions.
//! The environment read here is all a function gets from the template: nothing is added.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::error::{Context, Result};

use super::read::folder_of;
use super::resolve::{Resolver, scalar};
use super::{FunctionSpec, function_arn};

/// Every `AWS::Lambda::Function`.
pub fn read(resolver: &Resolver<'_>) -> Result<Vec<FunctionSpec>> {
    resolver
        .resources("AWS::Lambda::Function")
        .map(|(id, properties)| one(resolver, properties).context(id))
        .collect()
}

fn one(resolver: &Resolver<'_>, properties: &Value) -> Result<FunctionSpec> {
    let name = resolver.text(properties, "FunctionName")?.context("it has no FunctionName")?;
    Ok(FunctionSpec {
        folder: folder_of(&name)?,
        arn: function_arn(&name),
        handler: resolver.text(properties, "Handler")?.unwrap_or_else(|| "bootstrap".into()),
        timeout: Duration::from_secs(resolver.number(properties, "Timeout")?.unwrap_or(3)),
        memory_mb: resolver.number(properties, "MemorySize")?.unwrap_or(128),
        environment: environment(resolver, properties)?,
        name,
    })
}

fn environment(resolver: &Resolver<'_>, properties: &Value) -> Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    if let Some(environment) = resolver.property(properties, "Environment")? {
        for (name, value) in environment.get("Variables").and_then(Value::as_object).into_iter().flatten() {
            variables.insert(name.clone(), scalar(value).context(name)?);
        }
    }
    Ok(variables)
}
