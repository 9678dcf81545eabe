//! What AWS would refuse at deployment, refused at start here.
//! Only rules that this stack would otherwise let pass unnoticed.

use crate::error::{Context, Error, Result};

use super::read::folder_of;
use super::resolve::Resolver;
use super::{Integration, Wiring};

/// A function's environment is at most so large, names and values together.
const ENVIRONMENT_MAX: usize = 4096;

/// Refuses a wiring that could not be deployed or would not work there.
pub fn check(wiring: &Wiring, resolver: &Resolver<'_>) -> Result<()> {
    functions_exist(wiring)?;
    environments_fit(wiring)?;
    queues_wait_long_enough(wiring)?;
    let gateway = permitted(resolver, "apigateway.amazonaws.com")?;
    let routes = wiring.websocket.routes.values().chain(wiring.http.routes.values());
    let routes = routes.map(|Integration { function, .. }| (function, &gateway));
    let clock = permitted(resolver, "events.amazonaws.com")?;
    let schedules = wiring.schedules.iter().map(|schedule| (&schedule.function, &clock));
    for (function, permitted) in routes.chain(schedules) {
        if !permitted.contains(function) {
            return Err(Error::new(format!(
                "no AWS::Lambda::Permission lets AWS call the function {function}"
            )));
        }
    }
    Ok(())
}

fn functions_exist(wiring: &Wiring) -> Result<()> {
    let known = |folder: &str| wiring.functions.iter().any(|function| function.folder == folder);
    let routed = wiring.websocket.routes.values().chain(wiring.http.routes.values());
    let routed = routed.map(|integration| &integration.function);
    let fed = wiring.mappings.iter().map(|mapping| &mapping.function);
    let timed = wiring.schedules.iter().map(|schedule| &schedule.function);
    let mut all = routed.chain(fed).chain(timed);
    match all.find(|folder| !known(folder)) {
        Some(folder) => Err(Error::new(format!("it wires a function {folder} that it does not have"))),
        None => Ok(()),
    }
}

fn environments_fit(wiring: &Wiring) -> Result<()> {
    for function in &wiring.functions {
        let size: usize = function.environment.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > ENVIRONMENT_MAX {
            let folder = &function.folder;
            return Err(Error::new(format!(
                "the environment of {folder} has {size} bytes; Lambda takes {ENVIRONMENT_MAX}"
            )));
        }
    }
    Ok(())
}

fn queues_wait_long_enough(wiring: &Wiring) -> Result<()> {
    for mapping in &wiring.mappings {
        let function = wiring.functions.iter().find(|function| function.folder == mapping.function);
        let queue = wiring.queues.iter().find(|queue| queue.name == mapping.queue);
        let (Some(function), Some(queue)) = (function, queue) else {
            return Err(Error::new(format!("the queue {} is not in the template", mapping.queue)));
        };
        let visibility = queue.attributes.get("VisibilityTimeout").map_or("30", String::as_str);
        let visibility: u64 = visibility.parse().context("VisibilityTimeout")?;
        if visibility < function.timeout.as_secs() {
            let (queue, function) = (&queue.name, &function.folder);
            return Err(Error::new(format!(
                "{queue}: its visibility time-out is below the time-out of {function}"
            )));
        }
    }
    Ok(())
}

/// The functions (folders) that `principal` may call.
fn permitted(resolver: &Resolver<'_>, principal: &str) -> Result<Vec<String>> {
    let mut functions = Vec::new();
    for (id, properties) in resolver.resources("AWS::Lambda::Permission") {
        if resolver.text(properties, "Principal")?.as_deref() == Some(principal) {
            let name = resolver.text(properties, "FunctionName")?.context(id)?;
            functions.push(folder_of(&name).context(id)?);
        }
    }
    Ok(functions)
}
