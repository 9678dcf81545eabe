//! OpenAI's chat completions, streamed, and the many servers that call themselves compatible (contracts.md 6.2).
//! It never retries but for one spelling of a parameter, and has no time-outs but one behind the end: both are the
//! pool's.

mod calls;
pub mod chunk;
mod clean;
mod failure;
mod request;
mod retry_after;
mod stream;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, Uri};
use konstruct_http::{Client, Response};
use konstruct_ports::{BoxFuture, LanguageModel, ModelError, ModelRequest, ModelStream};

use crate::openai::failure::Refusal;
use crate::openai::request::{LimitName, body};
use crate::openai::stream::OpenAiStream;

/// Where the model is.
#[derive(Clone)]
pub struct OpenAiConfig {
    /// What comes before `/chat/completions`, for example `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key; none, or an empty one, sends no `Authorization`.
    pub api_key: Option<String>,
}

impl fmt::Debug for OpenAiConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OpenAiConfig").finish_non_exhaustive()
    }
}

/// A configuration that cannot be used. Does not repeat the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenAiConfigError {
    /// `base_url` is no absolute `http` or `https` URL.
    #[error("the model's base URL is no absolute URL")]
    BaseUrl,
    /// `api_key` has characters that no header can hold.
    #[error("the model's API key has characters that no header can hold")]
    ApiKey,
}

/// A server that speaks chat completions.
pub struct OpenAi {
    client: Client,
    uri: Uri,
    authorization: Option<HeaderValue>,
    /// The server refused `max_tokens` once: it is called `max_completion_tokens` from then on.
    refuses_max_tokens: AtomicBool,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OpenAi").field("host", &self.uri.host()).finish_non_exhaustive()
    }
}

impl OpenAi {
    /// A provider; nothing is connected yet.
    ///
    /// # Errors
    /// [`OpenAiConfigError`], at start, rather than a failure at each call.
    pub fn new(client: Client, config: &OpenAiConfig) -> Result<Self, OpenAiConfigError> {
        let url = format!("{}/chat/completions", config.base_url.trim().trim_end_matches('/'));
        let uri = Uri::try_from(url).map_err(|_| OpenAiConfigError::BaseUrl)?;
        if uri.authority().is_none() || !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(OpenAiConfigError::BaseUrl);
        }
        let authorization = match config.api_key.as_deref().map(str::trim) {
            None | Some("") => None,
            Some(key) => {
                let bearer = format!("Bearer {key}");
                let mut value = HeaderValue::try_from(bearer).map_err(|_| OpenAiConfigError::ApiKey)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self { client, uri, authorization, refuses_max_tokens: AtomicBool::new(false) })
    }

    async fn answer(&self, request: &ModelRequest) -> Result<Box<dyn ModelStream>, ModelError> {
        let refused = self.refuses_max_tokens.load(Ordering::Relaxed);
        let name = if refused { LimitName::MaxCompletionTokens } else { LimitName::MaxTokens };
        let response = match self.post(request, name).await? {
            Ok(response) => response,
            Err(refusal) if !refused && refusal.wants_max_completion_tokens => {
                let again = self.post(request, LimitName::MaxCompletionTokens).await?;
                let response = again.map_err(|refusal| refusal.error)?;
                self.refuses_max_tokens.store(true, Ordering::Relaxed);
                response
            }
            Err(refusal) => return Err(refusal.error),
        };
        Ok(Box::new(OpenAiStream::new(response.body)))
    }

    /// One request: an answer that streams, or what the server said instead.
    async fn post(
        &self,
        request: &ModelRequest,
        name: LimitName,
    ) -> Result<Result<Response, Refusal>, ModelError> {
        let mut http = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(Bytes::from(body(request, name)))
            .map_err(|_| ModelError::Fatal { reason: "request cannot be built".to_owned() })?;
        if let Some(authorization) = &self.authorization {
            http.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let response = self.client.send(http).await.map_err(|error| failure::of_transport(&error))?;
        if response.status.is_success() {
            return Ok(Ok(response));
        }
        Ok(Err(Refusal::read(response).await))
    }
}

impl LanguageModel for OpenAi {
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

    fn new(base_url: &str, api_key: Option<&str>) -> Result<OpenAi, OpenAiConfigError> {
        let config = OpenAiConfig { base_url: base_url.to_owned(), api_key: api_key.map(str::to_owned) };
        OpenAi::new(Client::new(ClientConfig::default()), &config)
    }

    #[test]
    fn a_slash_at_the_end_of_the_base_url_does_not_matter() {
        for base in
            ["https://api.openai.com/v1", "https://api.openai.com/v1/", " https://api.openai.com/v1// "]
        {
            let uri = new(base, None).unwrap().uri;
            assert_eq!(uri.to_string(), "https://api.openai.com/v1/chat/completions");
        }
    }

    #[test]
    fn a_base_url_that_cannot_be_called_is_refused_at_start() {
        for base in ["", "/v1", "api.openai.com", "ftp://host/v1", "https://"] {
            assert_eq!(new(base, None).unwrap_err(), OpenAiConfigError::BaseUrl, "{base}");
        }
    }

    #[test]
    fn the_key_is_in_no_debug_output() {
        let config =
            OpenAiConfig { base_url: "https://h/v1".to_owned(), api_key: Some("sk-secret".to_owned()) };
        let provider = OpenAi::new(Client::new(ClientConfig::default()), &config).unwrap();
        assert!(!format!("{config:?}{provider:?}").contains("secret"));
        assert_eq!(new("https://h", Some("sk-\n")).map(|_| ()), Ok(()));
        assert_eq!(new("https://h", Some("a\nb")).unwrap_err(), OpenAiConfigError::ApiKey);
    }

    #[test]
    fn an_empty_key_sends_no_authorization() {
        assert!(new("https://h", Some(" ")).unwrap().authorization.is_none());
        assert!(new("https://h", Some("k")).unwrap().authorization.unwrap().is_sensitive());
    }
}
