//! Amazon Bedrock's Converse, streamed, by AWS's SDK over our own HTTP client. It never retries, has no time-outs but
//! one behind the end, and never calls at the platform's expense for a tenant that has a key. The SDK never logs: at
//! the level TRACE it would log keys, prompts and answers.

mod event;
mod failure;
mod request;
mod transport;

use std::fmt;

use aws_credential_types::Credentials;
use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::timeout::TimeoutConfig;
use aws_sdk_bedrockruntime::config::{
    AppName, BehaviorVersion, Builder, IdentityCache, Region, SharedCredentialsProvider, SharedHttpClient,
    StalledStreamProtectionConfig, Token,
};
use konstruct_ports::{ApiKey, BoxFuture, LanguageModel, ModelError, ModelRequest, ModelStream};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

use crate::ConfigError;
use crate::address::{endpoint, key_of};
use crate::bedrock::event::{ConverseDecoder, EventSource};
use crate::bedrock::transport::Transport;
use crate::failure::fatal;
use crate::stream::AnswerStream;

/// Where Bedrock is and who calls.
#[derive(Clone)]
pub struct BedrockConfig {
    /// The region whose models are asked, for example `eu-central-1`.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`. Static credentials are right in a Lambda: they rotate with the environment only.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`; in a Lambda there always is one.
    pub session_token: Option<String>,
    /// Replaces AWS's own address: for tests, a private endpoint or a proxy.
    pub endpoint_url: Option<String>,
}

impl fmt::Debug for BedrockConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BedrockConfig").field("region", &self.region).finish_non_exhaustive()
    }
}

/// Bedrock. A tenant's key is a Bedrock API key: it goes as a bearer token, by a client that has no other credentials.
pub struct Bedrock {
    /// All but who calls.
    common: Builder,
    platform: Client,
}

impl fmt::Debug for Bedrock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Bedrock").finish_non_exhaustive()
    }
}

impl Bedrock {
    /// A provider; nothing is connected yet.
    ///
    /// # Errors
    /// [`ConfigError::BaseUrl`] for an `endpoint_url` that cannot be called.
    pub fn new(client: konstruct_http::Client, config: &BedrockConfig) -> Result<Self, ConfigError> {
        let mut common = Builder::default()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .http_client(SharedHttpClient::new(Transport::new(client)))
            // A tenant's key is not kept behind the call.
            .identity_cache(IdentityCache::no_cache())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .retry_config(RetryConfig::disabled());
        common.set_app_name(AppName::new("konstruct").ok());
        if let Some(url) = &config.endpoint_url {
            endpoint(url, "/")?;
            common.set_endpoint_url(Some(url.trim().trim_end_matches('/').to_owned()));
        }
        let credentials = Credentials::new(
            config.access_key_id.clone(),
            config.secret_access_key.clone(),
            config.session_token.clone(),
            None,
            "environment",
        );
        let platform = common.clone().credentials_provider(SharedCredentialsProvider::new(credentials));
        Ok(Self { platform: client_of(platform), common })
    }

    async fn answer(&self, request: &ModelRequest) -> Result<Box<dyn ModelStream>, ModelError> {
        let client = match &request.route.key {
            Some(key) => {
                // Judged before the SDK sees it, whose errors are less clear.
                key_of(key, "Bearer ")?;
                &self.tenant(key)
            }
            None => &self.platform,
        };
        let call = request::call(client, request).map_err(|_| fatal("request cannot be built"))?;
        let answered = call.send().with_subscriber(Dispatch::none()).await;
        let answer = answered.map_err(|error| failure::of_call(&error))?;
        Ok(Box::new(AnswerStream::new(EventSource(answer.stream), ConverseDecoder::default())))
    }

    fn tenant(&self, key: &ApiKey) -> Client {
        client_of(self.common.clone().bearer_token(Token::new(key.reveal().trim(), None)))
    }
}

#[expect(clippy::disallowed_methods, reason = "the one home of Bedrock's clients")]
fn client_of(config: Builder) -> Client {
    Client::from_conf(config.build())
}

impl LanguageModel for Bedrock {
    fn ask<'a>(
        &'a self,
        request: &'a ModelRequest,
    ) -> BoxFuture<'a, Result<Box<dyn ModelStream>, ModelError>> {
        Box::pin(self.answer(request))
    }
}

#[cfg(test)]
mod tests {
    use konstruct_http::ClientConfig;

    use super::*;

    fn config(endpoint_url: Option<&str>) -> BedrockConfig {
        BedrockConfig {
            region: "eu-central-1".to_owned(),
            access_key_id: "AKIDSECRET".to_owned(),
            secret_access_key: "very-secret".to_owned(),
            session_token: Some("token-secret".to_owned()),
            endpoint_url: endpoint_url.map(str::to_owned),
        }
    }

    fn new(endpoint_url: Option<&str>) -> Result<Bedrock, ConfigError> {
        Bedrock::new(konstruct_http::Client::new(ClientConfig::default()), &config(endpoint_url))
    }

    #[test]
    fn a_client_is_built_without_a_runtime_and_names_no_secret() {
        let told = format!("{:?} {:?}", new(None).unwrap(), config(None));
        assert!(!told.to_lowercase().contains("secret"), "{told}");
    }

    #[test]
    fn an_address_that_cannot_be_called_is_refused_at_start() {
        assert!(new(Some("http://127.0.0.1:1/")).is_ok());
        for url in ["", "bedrock", "ftp://h"] {
            assert_eq!(new(Some(url)).map(|_| ()), Err(ConfigError::BaseUrl), "{url}");
        }
    }
}
