//! Secrets Manager: reads one secret at a time, when it is needed. It keeps nothing, and no value of a secret is ever in
//! an error or a log.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_sdk_secretsmanager::Client;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::Value;

use crate::failure::{status, words};
use crate::sdk::Sdk;

/// Codes that Secrets Manager gives with 400 and that pass.
const PASSING: [&str; 2] = ["ThrottlingException", "LimitExceededException"];

/// Why a secret was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Another try may succeed.
    #[error("Secrets Manager is away: {0}")]
    Away(String),
    /// It may not be read, is not there, or is not what it should be.
    #[error("the secret cannot be used: {0}")]
    Refused(String),
}

/// Secrets Manager. Its client is built at the first reading, not before.
#[derive(Clone)]
pub struct SecretsManager {
    sdk: Sdk,
    endpoint_url: Option<String>,
    client: Arc<OnceLock<Client>>,
}

impl fmt::Debug for SecretsManager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SecretsManager").finish_non_exhaustive()
    }
}

impl SecretsManager {
    /// `endpoint_url` replaces AWS's own endpoint (tests).
    #[must_use]
    pub fn new(sdk: &Sdk, endpoint_url: Option<&str>) -> Self {
        Self { sdk: sdk.clone(), endpoint_url: endpoint_url.map(str::to_owned), client: Arc::default() }
    }

    /// The fields of a secret that is a JSON object, in its current version.
    ///
    /// # Errors
    /// [`SecretError`], after up to three attempts of 2 s.
    pub async fn read(&self, arn: &str) -> Result<SecretFields, SecretError> {
        let client = self.client.get_or_init(|| self.sdk.secrets_manager(self.endpoint_url.as_deref()));
        let read = client.get_secret_value().secret_id(arn).send().await.map_err(|error| failed(&error))?;
        let value: Option<Value> = read.secret_string().and_then(|text| serde_json::from_str(text).ok());
        let fields = value.filter(Value::is_object).map(SecretFields);
        fields.ok_or_else(|| SecretError::Refused("it is no JSON object".to_owned()))
    }
}

fn failed<E: ProvideErrorMetadata>(error: &SdkError<E, Response>) -> SecretError {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let passes = status(error).is_none_or(|status| status == 429 || status >= 500)
        || code.is_none_or(|code| PASSING.contains(&code));
    if passes { SecretError::Away(words(error)) } else { SecretError::Refused(words(error)) }
}

/// What a secret holds. Never shown.
pub struct SecretFields(Value);

impl fmt::Debug for SecretFields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretFields(…)")
    }
}

impl SecretFields {
    /// A field that is text and not blank.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }
}
