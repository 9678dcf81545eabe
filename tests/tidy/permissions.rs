//! Environment, permissions and code of each function against each other: what its main reads is what the template
//! gives it, and what it may do is what these variables are for. What AWS really allows is for the deploy test.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::Code;
use crate::functions::TEMPLATE;
use crate::project::{Verdict, file, verdict};

/// A function of the template.
#[derive(Default)]
struct Function {
    folder: String,
    id: String,
    /// Variable → value, as written.
    environment: BTreeMap<String, String>,
    /// Shared policies by name, and `action resource` of its own statements.
    rights: BTreeSet<String>,
}

/// What the template says: its functions, and the queues that are mapped to functions.
struct Template {
    functions: Vec<Function>,
    /// (function's id, queue's id)
    mappings: Vec<(String, String)>,
}

#[test]
fn every_function_is_given_the_variables_that_its_main_reads_and_no_other() -> Verdict {
    let code = Code::read()?;
    let mut broken = Vec::new();
    for function in read()?.functions {
        let reads = code.variables(&function.folder);
        let given: BTreeSet<&str> = function.environment.keys().map(String::as_str).collect();
        for name in reads.difference(&given) {
            broken.push(format!("{}: its code reads {name}, {TEMPLATE} does not give it", function.folder));
        }
        for name in given.difference(&reads) {
            broken
                .push(format!("{}: {TEMPLATE} gives it {name}, its code does not read it", function.folder));
        }
    }
    verdict(&broken)
}

#[test]
fn every_function_may_do_what_its_variables_are_for_and_nothing_else() -> Verdict {
    let code = Code::read()?;
    let template = read()?;
    let mut broken = Vec::new();
    for function in &template.functions {
        let needed = needed(function, &template.mappings, &code);
        for right in needed.difference(&function.rights) {
            broken.push(format!("{}: may not {right}, and needs it", function.folder));
        }
        for right in function.rights.difference(&needed) {
            broken.push(format!("{}: may {right}, and nothing it has needs it", function.folder));
        }
    }
    verdict(&broken)
}

/// The rights that follow from what a function has.
fn needed(function: &Function, mappings: &[(String, String)], code: &Code) -> BTreeSet<String> {
    let folder = function.folder.as_str();
    let mut rights = BTreeSet::new();
    for (name, value) in &function.environment {
        let all: &[&str] = match name.as_str() {
            "DATABASE_URL" | "DATABASE_PLATFORM_URL" => &[role_policy(value)],
            "REDIS_URL" => &["ReachCache"],
            "MANAGEMENT_URL" => &["PostFrames"],
            "QUEUE_URL" if code.calls(folder, "set_visibility") => &["sqs:ChangeMessageVisibility TurnQueue"],
            "QUEUE_URL" if folder == "health" => &["sqs:GetQueueAttributes TurnQueue"],
            "QUEUE_URL" => &["SendTurns"],
            "DEADLINE_QUEUE_URL" => &["sqs:SendMessage DeadlineQueue"],
            "MODEL_SECRET_ARN" => &["secretsmanager:GetSecretValue ModelKeys"],
            "DATABASE_OWNER_SECRET_ARN" => &["secretsmanager:GetSecretValue DatabaseStack"],
            "BEDROCK_REGION" => &["bedrock:InvokeModelWithResponseStream Bedrock"],
            "SECRETS_KMS_KEY_ID" if ["slack-callback", "migrate"].contains(&folder) => {
                &["kms:GenerateDataKey SecretsKmsKeyId"]
            }
            "SECRETS_KMS_KEY_ID" => &["kms:Decrypt SecretsKmsKeyId"],
            _ => &[],
        };
        rights.extend(all.iter().map(|right| (*right).to_owned()));
    }
    // Lambda's poller receives and deletes in the function's name.
    for (_, queue) in mappings.iter().filter(|(id, _)| *id == function.id) {
        for action in ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"] {
            rights.insert(format!("sqs:{action} {queue}"));
        }
    }
    rights
}

/// The policy for the role that a database URL names.
fn role_policy(url: &str) -> &'static str {
    let policies = [
        ("konstruct_app@", "DatabaseAsApp"),
        ("konstruct_channels@", "DatabaseAsChannels"),
        ("konstruct_agent@", "DatabaseAsAgent"),
        ("konstruct_platform@", "DatabaseAsPlatform"),
    ];
    policies.into_iter().find(|(role, _)| url.contains(role)).map_or("(no such role)", |(_, policy)| policy)
}

/// Reads the template line by line, by its indentation.
fn read() -> Result<Template, crate::project::Violations> {
    let text = file(TEMPLATE)?.text;
    let everywhere: Vec<(String, String)> =
        text.lines().filter_map(|line| setting(line, "        ")).collect();
    let (mut functions, mut mappings) = (Vec::new(), Vec::new());
    for (id, block) in blocks(&text) {
        if block.iter().any(|line| line.trim() == "Type: AWS::Serverless::Function") {
            let mut function = function(id, &block);
            function.environment.extend(everywhere.iter().cloned());
            functions.push(function);
        } else if block.iter().any(|line| line.trim() == "Type: AWS::Lambda::EventSourceMapping") {
            let named = |key: &str| block.iter().find_map(|line| line.trim().strip_prefix(key));
            let function = named("FunctionName: !Ref ").unwrap_or_default();
            let queue = named("EventSourceArn: !GetAtt ").unwrap_or_default().trim_end_matches(".Arn");
            mappings.push((function.to_owned(), queue.to_owned()));
        }
    }
    if functions.is_empty() || mappings.is_empty() {
        return Err(format!("{TEMPLATE}: no function or no mapping was found").into());
    }
    Ok(Template { functions, mappings })
}

/// The resources: id and lines.
fn blocks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        let id = line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '#']) && rest.ends_with(':'));
        match (id, found.last_mut()) {
            (Some(id), _) => found.push((id.trim_end_matches(':'), Vec::new())),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    found
}

fn function(id: &str, block: &[&str]) -> Function {
    let folder = block.iter().find_map(|line| line.trim().strip_prefix("CodeUri: ../target/lambda/"));
    let folder = folder.unwrap_or_default().trim_end_matches('/').to_owned();
    let environment = block.iter().filter_map(|line| setting(line, "          ")).collect();
    let mut rights: BTreeSet<String> = block.iter().filter_map(|line| shared_policy(line)).collect();
    let mut actions: Vec<&str> = Vec::new();
    for line in block {
        let line = line.trim();
        if let Some(action) = line.strip_prefix("Action: ") {
            actions.push(action);
        } else if let Some(action) = line.strip_prefix("- ").filter(|item| is_action(item)) {
            actions.push(action);
        } else if let Some(resource) = resource(line) {
            rights.extend(actions.drain(..).map(|action| format!("{action} {resource}")));
        }
    }
    Function { folder, id: id.to_owned(), environment, rights }
}

fn setting(line: &str, indentation: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix(indentation)?.split_once(": ")?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

/// An item of `Policies` that names a policy of several functions.
fn shared_policy(line: &str) -> Option<String> {
    let item = line.strip_prefix("        - ")?;
    let named = match item.strip_prefix("!If [") {
        Some(choice) => choice.split(", ").nth(1)?.strip_prefix("!Ref ")?,
        None => item.strip_prefix("!Ref ")?,
    };
    Some(named.to_owned()).filter(|name| name != "AWS::NoValue")
}

fn is_action(item: &str) -> bool {
    let (service, action) = item.split_once(':').unwrap_or_default();
    !action.is_empty() && item.chars().all(|c| c.is_ascii_alphanumeric() || c == ':') && service != "AWS"
}

/// What a statement is about: the template's name of it.
fn resource(line: &str) -> Option<&'static str> {
    let names = ["TurnQueue", "DeadlineQueue", "ModelKeys", "DatabaseStack", "SecretsKmsKeyId"];
    if !line.starts_with("Resource:") && !line.starts_with("- !Sub arn:") {
        return None;
    }
    if line.contains(":bedrock:") {
        return Some("Bedrock");
    }
    names.into_iter().find(|name| line.contains(name))
}
