//! Anthropic's Messages, streamed (contracts.md 6.4). It never retries, and has no time-outs but one behind the end:
//! both are its caller's.

mod failure;
pub mod message;
mod request;

use std::fmt;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Uri};
use konstruct_http::Client;
use konstruct_ports::{BoxFuture, LanguageModel, ModelError, ModelRequest, ModelStream};

use crate::ConfigError;
use crate::address::{endpoint, key_header, key_of};
use crate::anthropic::message::MessageDecoder;
use crate::failure::{fatal, of_transport};
use crate::stream::{AnswerStream, SseSource};

const KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// Where the model is.
#[derive(Clone)]
pub struct AnthropicConfig {
    /// What comes before `/v1/messages`, for example `https://api.anthropic.com`; one that ends in `/v1` is the same.
    pub base_url: String,
    /// The platform's key; none, or an empty one, sends no `x-api-key`. A tenant's goes before it.
    pub api_key: Option<String>,
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
    key: Option<HeaderValue>,
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
        Ok(Self { client, uri, key: key_header("", config.api_key.as_deref())? })
    }

    async fn answer(&self, request: &ModelRequest) -> Result<Box<dyn ModelStream>, ModelError> {
        let mut http = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .header(VERSION, "2023-06-01")
            .body(Bytes::from(request::body(request)))
            .map_err(|_| fatal("request cannot be built"))?;
        if let Some(key) = key_of(&request.route, "", self.key.as_ref())? {
            http.headers_mut().insert(KEY, key);
        }
        let response = self.client.send(http).await.map_err(|error| of_transport(&error))?;
        if !response.status.is_success() {
            return Err(failure::read(response).await);
        }
        Ok(Box::new(AnswerStream::new(SseSource::new(response.body), MessageDecoder::new())))
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
        let config = AnthropicConfig { base_url: base_url.to_owned(), api_key: api_key.map(str::to_owned) };
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
        let config =
            AnthropicConfig { base_url: "https://h".to_owned(), api_key: Some("sk-secret".to_owned()) };
        let provider = new("https://h", Some("sk-secret")).unwrap();
        assert!(!format!("{config:?}{provider:?}").contains("secret"));
    }
}
