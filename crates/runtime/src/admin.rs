//! Administration: one command as JSON, one answer as JSON, whoever brings it (the function `migrate`, or the command
//! `konstruct` with a database of its own). The commands are docs/OPERATIONS.md's. No answer and no log holds a secret.

mod agents;
mod arguments;
mod keys;
mod refusal;
mod servers;
mod tenants;
mod users;

use konstruct_domain::Slug;
use konstruct_ports::Ids;
use konstruct_postgres::admin::Administration;
use konstruct_postgres::admin::tenants::TenantRow;
use konstruct_postgres::{Login, Roots};
use konstruct_secrets::Secrets;
use serde_json::{Value, json};

use self::arguments::Arguments;
use self::refusal::Refusal;
use crate::parts;
use crate::system::SystemIds;

/// What came of a command, or why nothing did.
type Answer = Result<Value, Refusal>;

/// What commands are carried out with.
struct Office<'a> {
    door: &'a Administration,
    ids: &'a dyn Ids,
    /// What seals tenants' keys, or why nothing does.
    secrets: Result<&'a Secrets, String>,
}

/// Carries a command out in the database at `owner_url`, whose user owns the schema. The answer is the command's own
/// (an object, or of a list an array), or `{"error":{"code","message","field"?}}`; the codes are `invalid` (an argument),
/// `not_found`, `conflict` (it is there, and otherwise), `unavailable` (this place cannot), `away` (try again) and
/// `internal`.
pub async fn answer(owner_url: &str, command: &Value) -> Value {
    match Login::new(owner_url, Roots::CompiledIn) {
        Ok(login) => answer_as(Ok(login), command).await,
        Err(error) => refusal::told(Err(error.into())),
    }
}

/// The same as who logs in so, or is told why he could not find out how to.
pub(crate) async fn answer_as(login: Result<Login, String>, command: &Value) -> Value {
    let secrets = parts::secrets();
    let secrets = secrets.as_ref().map_err(ToString::to_string);
    let door = match login {
        Ok(login) => Administration::connect(&login).await.map_err(Refusal::from),
        Err(why) => Err(Refusal::away(why)),
    };
    refusal::told(match door {
        Ok(door) => Office { door: &door, ids: &SystemIds, secrets }.carry_out(command).await,
        Err(refusal) => Err(refusal),
    })
}

/// As [`answer`], with what a test has.
pub async fn answer_with(
    door: &Administration,
    ids: &dyn Ids,
    secrets: Option<&Secrets>,
    command: &Value,
) -> Value {
    let secrets = secrets.ok_or_else(|| "there is no key for it".to_owned());
    refusal::told(Office { door, ids, secrets }.carry_out(command).await)
}

impl Office<'_> {
    async fn carry_out(&self, command: &Value) -> Answer {
        let Some(members) = command.as_object() else {
            return Err(Refusal::invalid("admin", "must be an object"));
        };
        let arguments = Arguments::new(members);
        let name: String = arguments.required("command")?;
        let done = match name.as_str() {
            "tenant create" => self.create_tenant(&arguments).await,
            "tenant list" => self.list_tenants(&arguments).await,
            "tenant show" => self.show_tenant(&arguments).await,
            "tenant set" => self.set_tenant(&arguments).await,
            "tenant disable" => self.switch_tenant(&arguments, false).await,
            "tenant enable" => self.switch_tenant(&arguments, true).await,
            "user create" => self.create_user(&arguments).await,
            "user list" => self.list_users(&arguments).await,
            "user set" => self.set_user(&arguments).await,
            "user remove" => self.remove_user(&arguments).await,
            "agent create" => self.create_agent(&arguments).await,
            "agent list" => self.list_agents(&arguments).await,
            "agent show" => self.show_agent(&arguments).await,
            "agent set" => self.set_agent(&arguments).await,
            "agent disable" => self.switch_agent(&arguments, false).await,
            "agent enable" => self.switch_agent(&arguments, true).await,
            "server create" => self.create_server(&arguments).await,
            "server list" => self.list_servers(&arguments).await,
            "server set" => self.set_server(&arguments).await,
            "server remove" => self.remove_server(&arguments).await,
            "key set" => self.set_key(&arguments).await,
            "key list" => self.list_keys(&arguments).await,
            "key remove" => self.remove_key(&arguments).await,
            _ => return Err(Refusal::invalid("command", "is not known")),
        };
        let outcome = match &done {
            Ok(answer) => answer.get("outcome").and_then(Value::as_str).unwrap_or("told"),
            Err(refusal) => refusal.code(),
        };
        tracing::info!(target: "audit", command = name, outcome, "an operator's command");
        done
    }

    /// The tenant that a command is about.
    async fn tenant(&self, field: &'static str, slug: &Slug) -> Result<TenantRow, Refusal> {
        let found = self.door.tenant(slug).await?;
        found.ok_or_else(|| Refusal::not_found(field, format!("there is no tenant {slug}")))
    }
}

/// What a command that changes things says.
fn changed(outcome: &str, what: &str, row: Value) -> Value {
    let members = [("outcome".to_owned(), json!(outcome)), (what.to_owned(), row)];
    Value::Object(members.into_iter().collect())
}

/// What came of setting something to what it is told to be.
fn set_or_not<T: PartialEq>(before: &T, after: &T) -> &'static str {
    if before == after { "unchanged" } else { "updated" }
}

/// What came of creating what may have been there.
const fn created_or_not(created: bool) -> &'static str {
    if created { "created" } else { "unchanged" }
}
