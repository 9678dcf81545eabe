//! Why a command was not carried out: for the operator, who may read everything but secrets. Nothing is logged here.

use konstruct_postgres::DbError;
use konstruct_secrets::SecretError;
use serde_json::{Value, json};

/// Why not.
#[derive(Debug)]
pub(super) struct Refusal {
    code: &'static str,
    message: String,
    field: Option<String>,
}

impl Refusal {
    /// An argument is missing, unknown or not of its form.
    pub(super) fn invalid(field: &str, problem: impl std::fmt::Display) -> Self {
        Self { code: "invalid", message: format!("{field} {problem}"), field: Some(field.to_owned()) }
    }

    /// What an argument names is not there.
    pub(super) fn not_found(field: &str, message: impl Into<String>) -> Self {
        Self { code: "not_found", message: message.into(), field: Some(field.to_owned()) }
    }

    /// It is there already, and otherwise than asked for. Nothing was changed.
    pub(super) fn conflict(field: &str, message: impl Into<String>) -> Self {
        Self { code: "conflict", message: message.into(), field: Some(field.to_owned()) }
    }

    /// This place has not what the command needs.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self { code: "unavailable", message: message.into(), field: None }
    }

    pub(super) const fn code(&self) -> &'static str {
        self.code
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        let code = if error.is_retryable() { "away" } else { "internal" };
        // No error of the database names a value; one of a missing role or column means an older schema.
        Self { code, message: error.to_string(), field: None }
    }
}

impl From<SecretError> for Refusal {
    fn from(error: SecretError) -> Self {
        let code = if error.is_retryable() { "away" } else { "internal" };
        Self { code, message: format!("the key could not be sealed: {error}"), field: None }
    }
}

/// The answer, or the refusal as one.
pub(super) fn told(done: Result<Value, Refusal>) -> Value {
    let refusal = match done {
        Ok(answer) => return answer,
        Err(refusal) => refusal,
    };
    let mut error = json!({ "code": refusal.code, "message": refusal.message });
    if let (Some(field), Some(members)) = (refusal.field, error.as_object_mut()) {
        members.insert("field".to_owned(), Value::String(field));
    }
    json!({ "error": error })
}
