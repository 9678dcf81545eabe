//! The deployed wiring: routes, functions, queues, mappings and schedules of the expanded template.
//! Nothing here may guess: what it does not understand is an error at start.

mod checks;
mod cors;
mod expand;
mod functions;
mod queues;
mod read;
mod resolve;
mod routes;
mod schedules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use cors::Cors;
pub use expand::expand;
pub use read::read;
pub use resolve::Inputs;

/// Name of the stack: prefix of every function's name.
pub const STACK_NAME: &str = "konstruct-local";
/// The region everything claims to be in.
pub const REGION: &str = "us-east-1";
/// The account everything claims to belong to.
pub const ACCOUNT: &str = "000000000000";

/// What the template deploys.
#[derive(Debug)]
pub struct Wiring {
    /// Every function.
    pub functions: Vec<FunctionSpec>,
    /// The WebSocket API.
    pub websocket: WebSocketSpec,
    /// The HTTP API.
    pub http: HttpSpec,
    /// Every queue; dead-letter queues first, so that they exist when they are named.
    pub queues: Vec<QueueSpec>,
    /// Which queue feeds which function.
    pub mappings: Vec<MappingSpec>,
    /// What runs by the clock.
    pub schedules: Vec<ScheduleSpec>,
}

/// One Lambda function.
#[derive(Debug, Clone)]
pub struct FunctionSpec {
    /// Its folder in `functions/`, which is its binary's name, too.
    pub folder: String,
    /// Its name in AWS.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its handler's name.
    pub handler: String,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// Its memory size, told to the function only.
    pub memory_mb: u64,
    /// The environment the template gives it.
    pub environment: BTreeMap<String, String>,
}

/// The function behind a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integration {
    /// Its folder.
    pub function: String,
    /// How long the gateway waits for it.
    pub timeout: Duration,
}

/// The WebSocket API.
#[derive(Debug, Clone)]
pub struct WebSocketSpec {
    /// Its id.
    pub api_id: String,
    /// Its stage, the last part of its URL.
    pub stage: String,
    /// The member of the body that names the route, from the outside in.
    pub selection: Vec<String>,
    /// Integrations by route key.
    pub routes: BTreeMap<String, Integration>,
}

/// The HTTP API.
#[derive(Debug, Clone)]
pub struct HttpSpec {
    /// Its id.
    pub api_id: String,
    /// Its routes by route key (`GET /things/{id}`, `$default`).
    pub routes: BTreeMap<String, Integration>,
    /// Its CORS configuration.
    pub cors: Option<Cors>,
}

/// One queue.
#[derive(Debug, Clone)]
pub struct QueueSpec {
    /// Its name.
    pub name: String,
    /// Its attributes as SQS takes them.
    pub attributes: BTreeMap<String, String>,
    /// The name of its dead-letter queue.
    pub dead_letter: Option<String>,
}

/// One event source mapping.
#[derive(Debug, Clone)]
pub struct MappingSpec {
    /// The queue's name.
    pub queue: String,
    /// The function's folder.
    pub function: String,
    /// Most records of one invocation.
    pub batch_size: usize,
    /// Whether the function reports failed records (`ReportBatchItemFailures`).
    pub reports_failures: bool,
    /// Most invocations at a time.
    pub max_concurrency: usize,
}

/// One schedule.
#[derive(Debug, Clone)]
pub struct ScheduleSpec {
    /// The rule's name.
    pub rule: String,
    /// Its period.
    pub every: Duration,
    /// The function's folder.
    pub function: String,
    /// The event it sends, where it is not the usual one.
    pub input: Option<String>,
}

/// The ARN of a queue.
pub fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

/// The ARN of a function.
pub fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}
