//! Anthropic's Messages, streamed (contracts.md 6.4). It never retries but for a key that was replaced, and has no
//! time-outs but one behind the end: both are its caller's.

mod failure;
pub mod message;
mod request;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use http::{Request, StatusCode, Uri};
use konstruct_domain::Provider;
use konstruct_http::{Client, Response};
use konstruct_ports::{BoxFuture, LanguageModel, ModelError, ModelRequest, ModelStream, PlatformKeys};

use crate::ConfigError;
use crate::address::endpoint;
use crate::anthropic::message::MessageDecoder;
use crate::failure::{fatal, of_transport};
use crate::platform::{Credential, Keys};
use crate::stream::{AnswerStream, SseSource};

const KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// Where the model is.
#[derive(Clone)]
pub struct AnthropicConfig {
    /// What comes before `/v1/messages`, for example `https://api.anthropic.com`; one that ends in `/v1` is the same.
    pub base_url: String,
    /// The platform's key; without one no `x-api-key` is sent. A tenant's goes before it.
    pub keys: Arc<dyn PlatformKeys>,
}

impl fmt::Debug for AnthropicConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AnthropicConfig").finish_non_exhaustive()
    }
}

/// Anthropic, or a server that speaks its Messages.
pub struct Anthropic {
    client: Client,
    uri: Uri,
    keys: Keys,
}

impl fmt::Debug for Anthropic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Anthropic").field("host", &self.uri.host()).finish_non_exhaustive()
    }
}

impl Anthropic {
    /// A provider; nothing is connected yet.
    ///
    /// # Errors
    /// [`ConfigError`], at start, rather than a failure at each call.
    pub fn new(client: Client, config: &AnthropicConfig) -> Result<Self, ConfigError> {
        let base_url = config.base_url.trim().trim_end_matches('/');
        let uri = endpoint(base_url.strip_suffix("/v1").unwrap_or(base_url), "/v1/messages")?;
        let keys = Keys::new(Arc::clone(&config.keys), Provider::Anthropic, "");
        Ok(Self { client, uri, keys })
    }

    async fn answer(&self, request: &ModelRequest) -> Result<Box<dyn ModelStream>, ModelError> {
        let credential = self.keys.credential(&request.route).await?;
        let mut response = self.post(request, &credential).await?;
        if response.status == StatusCode::UNAUTHORIZED
            && let Some(another) = self.keys.instead_of(&credential).await
        {
            response = self.post(request, &another).await?;
        }
        if !response.status.is_success() {
            return Err(failure::read(response).await);
        }
        Ok(Box::new(AnswerStream::new(SseSource::new(response.body), MessageDecoder::new())))
    }

    async fn post(&self, request: &ModelRequest, credential: &Credential) -> Result<Response, ModelError> {
        let mut http = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .header(VERSION, "2023-06-01")
            .body(Bytes::from(request::body(request)))
            .map_err(|_| fatal("request cannot be built"))?;
        if let Some(key) = &credential.header {
            http.headers_mut().insert(KEY, key.clone());
        }
        self.client.send(http).await.map_err(|error| of_transport(&error))
    }
}

impl LanguageModel for Anthropic {
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

    fn new(base_url: &str, api_key: Option<&str>) -> Result<Anthropic, ConfigError> {
        let keys = Arc::new(crate::GivenKeys::new(None, api_key.map(str::to_owned))?);
        let config = AnthropicConfig { base_url: base_url.to_owned(), keys };
        Anthropic::new(Client::new(ClientConfig::default()), &config)
    }

    #[test]
    fn the_version_in_the_base_url_does_not_matter() {
        for base in
            ["https://api.anthropic.com", "https://api.anthropic.com/v1", " https://api.anthropic.com/v1// "]
        {
            assert_eq!(new(base, None).unwrap().uri.to_string(), "https://api.anthropic.com/v1/messages");
        }
        assert_eq!(new("https://h/claude/", None).unwrap().uri.path(), "/claude/v1/messages");
        for base in ["", "/v1", "api.anthropic.com"] {
            assert_eq!(new(base, None).unwrap_err(), ConfigError::BaseUrl);
        }
    }

    #[test]
    fn the_key_is_in_no_debug_output() {
        let provider = new("https://h", Some("sk-secret")).unwrap();
        assert!(!format!("{provider:?}").contains("secret"));
    }
}
