//! Brings the schema up to date, at deploy: as a custom resource of the stack, or by a plain invocation; and carries out
//! operators' commands. The only function that is the tables' owner.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use konstruct_aws::SecretsManager;
use konstruct_http::Client;
use konstruct_ports::Clock as _;
use konstruct_postgres::migrate::migrate;
use konstruct_postgres::{Login, Migrated};
use lambda_runtime::{Context, LambdaEvent, Runtime, service_fn};
use serde_json::{Map, Value, json};

use crate::config::optional;
use crate::custom_resource::{Event, RequestType};
use crate::start::{StartError, start};
use crate::system::SystemClock;
use crate::{admin, logins, parts, telemetry};

/// What the stack calls the schema. Never another name: the stack would delete what it called before.
const RESOURCE: &str = "konstruct-schema";
/// What is kept of the invocation's time for the answer.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

/// The owner's way in, and the way back to CloudFormation. Nothing is connected before an event.
pub(crate) struct Owner {
    login: Login,
    /// Where the owner's name and password are, where they are not in the URL.
    secret: Option<(SecretsManager, String)>,
    http: Client,
}

async fn run() -> Result<(), StartError> {
    let owner = Arc::new(Owner::of_environment()?);
    let handler = move |event: LambdaEvent<Value>| {
        let owner = Arc::clone(&owner);
        async move { handle(&owner, event).await.map_err(lambda_runtime::Error::from) }
    };
    telemetry::run(Runtime::new(service_fn(handler))).await
}

async fn handle(owner: &Arc<Owner>, event: LambdaEvent<Value>) -> Result<Value, String> {
    if let Some(command) = event.payload.get("admin") {
        return Ok(admin::answer_as(owner.login().await, command).await);
    }
    let resource =
        Event::of(&event.payload).map_err(|error| format!("no event of CloudFormation: {error}"))?;
    match resource {
        Some(resource) => {
            let done = deploy(owner, &resource, &event.context).await;
            resource.respond(&owner.http, RESOURCE, done).await
        }
        None => up_to_date(Arc::clone(owner)).await.map(|migrated| told(&migrated)),
    }
}

impl Owner {
    fn of_environment() -> Result<Self, StartError> {
        let login = logins::owner()?;
        let secret = match optional("DATABASE_OWNER_SECRET_ARN").filter(|_| !login.has_password()) {
            Some(arn) => Some((parts::secrets_manager(&parts::sdk()?), arn)),
            None => None,
        };
        Ok(Self { login, secret, http: parts::http_client(parts::is_emulated()) })
    }

    /// Postgres as the owner, with the password that it has now: RDS changes it by itself.
    pub(crate) async fn login(&self) -> Result<Login, String> {
        let Some((secrets, arn)) = &self.secret else { return Ok(self.login.clone()) };
        let fields = secrets.read(arn).await.map_err(|error| error.to_string())?;
        match (fields.text("username"), fields.text("password")) {
            (Some(user), Some(password)) => Ok(self.login.clone().as_user(user, password)),
            _ => Err("the owner's secret has no username and password".to_owned()),
        }
    }
}

/// What the stack wants, with an answer in every case: also if it takes too long or breaks in the middle.
async fn deploy(
    owner: &Arc<Owner>,
    resource: &Event,
    context: &Context,
) -> Result<Map<String, Value>, String> {
    match resource.request_type {
        // The schema stays: it has the tenants' data in it.
        RequestType::Delete => return Ok(Map::new()),
        RequestType::Unknown => return Err("CloudFormation asks for something unknown".to_owned()),
        RequestType::Create | RequestType::Update => {}
    }
    let mut work = tokio::spawn(up_to_date(Arc::clone(owner)));
    match tokio::time::timeout(left(context).saturating_sub(ANSWER_TIME), &mut work).await {
        // Attributes of a resource are text.
        Ok(Ok(done)) => {
            done.map(|migrated| Map::from_iter([("Version".to_owned(), json!(migrated.version.to_string()))]))
        }
        Ok(Err(_)) => Err("the migration broke off: see the function's log".to_owned()),
        Err(_) => {
            work.abort();
            Err("the migration took longer than the function may run; nothing of what it was at is kept"
                .to_owned())
        }
    }
}

/// What the invocation has left.
fn left(context: &Context) -> Duration {
    let now_ms = SystemClock.now().unix_timestamp_nanos() / 1_000_000;
    Duration::from_millis(u64::try_from(i128::from(context.deadline) - now_ms).unwrap_or(0))
}

async fn up_to_date(owner: Arc<Owner>) -> Result<Migrated, String> {
    let login = owner.login().await?;
    let migrated = migrate(&login).await.map_err(|error| error.to_string())?;
    tracing::info!(
        applied = migrated.applied.len(),
        version = migrated.version,
        is_newer = migrated.is_newer,
        "the schema is up to date"
    );
    Ok(migrated)
}

fn told(migrated: &Migrated) -> Value {
    let Migrated { applied, version, is_newer } = migrated;
    json!({ "applied": applied, "version": version, "is_newer": is_newer })
}
