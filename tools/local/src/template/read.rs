//! Reads the whole wiring out of an expanded template.
//! It only puts together what the files beside it read.

use serde_json::Value;

use crate::config::Limits;
use crate::error::{Context, Error, Result};

use super::resolve::{Inputs, Resolver};
use super::{Wiring, checks, functions, queues, routes, schedules};

/// Resource types the local stack imitates or may ignore; any other would be missing here unnoticed.
const KNOWN: [&str; 16] = [
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::ApiGatewayV2::Deployment",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::Events::Rule",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::SQS::QueuePolicy",
];

/// The wiring of `template`.
pub fn read(template: &Value, inputs: &Inputs, limits: &Limits) -> Result<Wiring> {
    refuse_unknown(template)?;
    let resolver = Resolver::new(template, inputs)?;
    let functions = functions::read(&resolver)?;
    let wiring = Wiring {
        websocket: routes::websocket(&resolver, limits.integration)?,
        http: routes::http(&resolver, limits.integration)?,
        queues: queues::read(&resolver)?,
        mappings: queues::mappings(&resolver)?,
        schedules: schedules::read(&resolver)?,
        functions,
    };
    checks::check(&wiring, &resolver)?;
    Ok(wiring)
}

fn refuse_unknown(template: &Value) -> Result<()> {
    let resources =
        template.get("Resources").and_then(Value::as_object).context("a template without resources")?;
    for (id, resource) in resources {
        let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
        if !KNOWN.contains(&kind) && !["AWS::Lambda::Function", "AWS::SQS::Queue"].contains(&kind) {
            return Err(Error::new(format!("the template's {id}: {kind} is not imitated on this machine")));
        }
    }
    Ok(())
}

/// The folder of the function that a name, an ARN or an integration URI names.
pub fn folder_of(text: &str) -> Result<String> {
    let name = text.split("/invocations").next().unwrap_or_default();
    let name = name.rsplit_once(":function:").map_or(name, |(_, name)| name);
    let name = name.split(':').next().unwrap_or_default();
    let folder = name.strip_prefix(super::STACK_NAME).and_then(|rest| rest.strip_prefix('-'));
    folder.map(str::to_string).context(format_args!("{text} is no function of this stack"))
}
