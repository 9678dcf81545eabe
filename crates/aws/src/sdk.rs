//! What all SDK clients share, built by hand because `aws-config` costs some 4 ms at start (rust-lambda.md 1, 2.2):
//! credentials, region and one HTTPS client. Nothing connects before the first call.

use std::fmt;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_sqs::config::{
    AppName, BehaviorVersion, Region, SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

/// The roots that AWS's certificates go back to, as PEM: Amazon Root CA 1 to 4 and the two Starfield roots before
/// them, copied from Mozilla's list. To be looked at again in 2034, when the first expires.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon_roots.pem");

/// Longest time to look up a name, connect and shake hands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an unused connection is kept (architecture.md, Lambda: 60 s).
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest time that the first, the second retry is put off.
const RETRY_WAIT: Duration = Duration::from_millis(100);
const RETRY_WAIT_MAX: Duration = Duration::from_millis(500);

/// Static credentials. In a Lambda that is right: they rotate with the environment only.
#[derive(Clone)]
pub struct AwsCredentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`; in a Lambda there always is one.
    pub session_token: Option<String>,
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AwsCredentials").finish_non_exhaustive()
    }
}

/// Whom TLS to AWS trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AwsRoots {
    /// Amazon's own, compiled in.
    #[default]
    CompiledIn,
    /// The machine's (`TLS_ROOTS=native`): some 3 ms more at start, and no new build when AWS changes its chain.
    Native,
}

/// What an SDK client needs to know.
#[derive(Debug, Clone)]
pub struct SdkConfig {
    /// `AWS_REGION`.
    pub region: String,
    /// Who calls.
    pub credentials: AwsCredentials,
    /// Whom TLS trusts. Endpoints with plain `http://` work with any.
    pub roots: AwsRoots,
}

/// The common part of all clients. Clones share the HTTPS client and its connections.
#[derive(Clone)]
pub struct Sdk {
    region: Region,
    credentials: SharedCredentialsProvider,
    http: SharedHttpClient,
}

impl fmt::Debug for Sdk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sdk").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Sdk {
    /// Prepares; connects to nothing.
    #[must_use]
    pub fn new(config: SdkConfig) -> Self {
        let AwsCredentials { access_key_id, secret_access_key, session_token } = config.credentials;
        let credentials =
            Credentials::new(access_key_id, secret_access_key, session_token, None, "environment");
        Self {
            region: Region::new(config.region),
            credentials: SharedCredentialsProvider::new(credentials),
            http: http_client(config.roots),
        }
    }

    /// A client for SQS; `endpoint_url` replaces AWS's own. Each attempt has 2 s; up to 2 retries, which the SDK
    /// makes for broken connections, 5xx and throttling only (a FIFO send is repeated under the same deduplication
    /// id, a standard one may then arrive twice).
    #[expect(clippy::disallowed_methods, reason = "the one home of the SDK's clients")]
    pub(crate) fn sqs(&self, endpoint_url: Option<&str>) -> aws_sdk_sqs::Client {
        let mut config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts(Duration::from_secs(2)))
            .retry_config(retries());
        config.set_endpoint_url(endpoint_url.map(str::to_owned));
        config.set_app_name(AppName::new("konstruct").ok());
        aws_sdk_sqs::Client::from_conf(config.build())
    }

    /// A client for KMS; `endpoint_url` replaces AWS's own. Each attempt has 2 s, and up to 2 retries: what it is
    /// asked may be asked twice.
    #[expect(clippy::disallowed_methods, reason = "the one home of the SDK's clients")]
    pub(crate) fn kms(&self, endpoint_url: Option<&str>) -> aws_sdk_kms::Client {
        let mut config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts(Duration::from_secs(2)))
            .retry_config(retries());
        config.set_endpoint_url(endpoint_url.map(str::to_owned));
        config.set_app_name(AppName::new("konstruct").ok());
        aws_sdk_kms::Client::from_conf(config.build())
    }

    /// A client for Secrets Manager; `endpoint_url` replaces AWS's own. Each attempt has 2 s, and up to 2 retries.
    #[expect(clippy::disallowed_methods, reason = "the one home of the SDK's clients")]
    pub(crate) fn secrets_manager(&self, endpoint_url: Option<&str>) -> aws_sdk_secretsmanager::Client {
        let mut config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts(Duration::from_secs(2)))
            .retry_config(retries());
        config.set_endpoint_url(endpoint_url.map(str::to_owned));
        config.set_app_name(AppName::new("konstruct").ok());
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }

    /// A client for the Management API of one stage. It repeats nothing: only the caller knows what a post that
    /// may have arrived means.
    #[expect(clippy::disallowed_methods, reason = "the one home of the SDK's clients")]
    pub(crate) fn management(
        &self,
        endpoint_url: &str,
        limit: Duration,
    ) -> aws_sdk_apigatewaymanagement::Client {
        let config = aws_sdk_apigatewaymanagement::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts(limit))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(endpoint_url.trim_end_matches('/'));
        aws_sdk_apigatewaymanagement::Client::from_conf(config.build())
    }
}

fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(RETRY_WAIT)
        .with_max_backoff(RETRY_WAIT_MAX)
}

/// The limit on connecting is the same for all clients, because connections are shared between equal ones only.
fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(attempt).build()
}

fn http_client(roots: AwsRoots) -> SharedHttpClient {
    let store = match roots {
        AwsRoots::CompiledIn => TrustStore::empty().with_pem_certificate(AMAZON_ROOTS),
        AwsRoots::Native => TrustStore::empty().with_native_roots(true),
    };
    let builder = aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc));
    // Building a context only stores what it is given; it has no way to fail.
    match TlsContext::builder().with_trust_store(store).build() {
        Ok(context) => builder.tls_context(context).build_https(),
        Err(_) => builder.build_https(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sdk(roots: AwsRoots) -> Sdk {
        let credentials = AwsCredentials {
            access_key_id: "AKIDSECRET".to_owned(),
            secret_access_key: "very-secret".to_owned(),
            session_token: Some("token-secret".to_owned()),
        };
        Sdk::new(SdkConfig { region: "eu-central-1".to_owned(), credentials, roots })
    }

    #[test]
    fn clients_are_built_without_a_runtime_and_all_roots_parse() {
        // The SDK reads the roots here, and panics on one that it cannot read.
        sdk(AwsRoots::CompiledIn).sqs(None);
        sdk(AwsRoots::CompiledIn).kms(None);
        sdk(AwsRoots::CompiledIn).secrets_manager(None);
        sdk(AwsRoots::CompiledIn).management("https://a.example/stage", Duration::from_secs(5));
        assert_eq!(String::from_utf8_lossy(AMAZON_ROOTS).matches("BEGIN CERTIFICATE").count(), 6);
    }

    #[test]
    fn credentials_are_in_no_debug_output() {
        let sdk = sdk(AwsRoots::CompiledIn);
        let config = SdkConfig {
            region: "r".to_owned(),
            credentials: AwsCredentials {
                access_key_id: "AKIDSECRET".to_owned(),
                secret_access_key: "very-secret".to_owned(),
                session_token: None,
            },
            roots: AwsRoots::Native,
        };
        assert!(!format!("{sdk:?} {config:?}").to_lowercase().contains("secret"));
    }
}
