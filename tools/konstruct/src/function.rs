//! Commands brought to the function `migrate` of a deployment, with the credentials that AWS's own tools would use. No
//! command is ever written to a log here.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use serde_json::{Value, json};

/// Longest time for one try: a command itself takes milliseconds, a cold start and a database that wakes up some seconds.
const TRY: Duration = Duration::from_secs(60);

/// A function in AWS, or in what stands in for it.
pub struct Function {
    /// Its name or ARN.
    pub name: String,
    /// `None`: the environment's, the profile's.
    pub region: Option<String>,
    /// `None`: AWS's own.
    pub endpoint_url: Option<String>,
}

impl Function {
    /// What the function answers; or why it does not.
    pub async fn ask(&self, command: &Value) -> Result<Value, String> {
        let payload = json!({ "admin": command }).to_string();
        let asked =
            self.client().await.invoke().function_name(&self.name).payload(Blob::new(payload)).send().await;
        let answer = asked.map_err(|error| format!("{}: {}", self.name, DisplayErrorContext(&error)))?;
        let body = answer.payload().map(Blob::as_ref).unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if let Some(kind) = answer.function_error() {
            let message = body.get("errorMessage").and_then(Value::as_str).unwrap_or(kind);
            return Err(format!("{} failed: {message}", self.name));
        }
        // One from before there were commands took the event for a deployment's.
        if body.get("applied").is_some() || body.is_null() {
            return Err(format!(
                "{} knows no commands: is it the function migrate, of a recent version?",
                self.name
            ));
        }
        Ok(body)
    }

    async fn client(&self) -> Client {
        let https = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        let mut config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(https)
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(TRY).build());
        if let Some(region) = &self.region {
            config = config.region(Region::new(region.clone()));
        }
        if let Some(url) = &self.endpoint_url {
            config = config.endpoint_url(url);
        }
        Client::new(&config.load().await)
    }
}
