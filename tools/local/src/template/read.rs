//! Reads the whole wiring out of an expanded template.
//! It only puts together what the files beside it read.

use serde_json::Value;

use crate::config::Limits;
use crate::error::{Context, Error, Result};

use super::resolve::{Inputs, Resolver};
use super::{Wiring, checks, functions, queues, routes, schedules};

/// Resource types the local stack imitates or may ignore; any other would be missing here unnoticed.
const KNOWN: [&str; 17] = [
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
    "Custom::SchemaMigration", // this stack migrates before it starts anything
];

/// What it is made of.
const IMITATED: [&str; 2] = ["AWS::Lambda::Function", "AWS::SQS::Queue"];

/// The wiring of `template`.
pub fn read(template: &Value, inputs: &Inputs, limits: &Limits) -> Result<Wiring> {
    let resolver = Resolver::new(template, inputs)?;
    refuse_unknown(&resolver)?;
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

fn refuse_unknown(resolver: &Resolver<'_>) -> Result<()> {
    let imitated = |kind: &str| KNOWN.contains(&kind) || IMITATED.contains(&kind);
    match resolver.all().find(|(_, kind, _)| !imitated(kind)) {
        Some((id, kind, _)) => {
            Err(Error::new(format!("the template's {id}: {kind} is not imitated on this machine")))
        }
        None => Ok(()),
    }
}

/// The folder of the function that a name, an ARN or an integration URI names.
pub fn folder_of(text: &str) -> Result<String> {
    let name = text.split("/invocations").next().unwrap_or_default();
    let name = name.rsplit_once(":function:").map_or(name, |(_, name)| name);
    let name = name.split(':').next().unwrap_or_default();
    let folder = name.strip_prefix(super::STACK_NAME).and_then(|rest| rest.strip_prefix('-'));
    folder.map(str::to_string).context(format_args!("{text} is no function of this stack"))
}
