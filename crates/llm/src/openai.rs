//! OpenAI's chat completions, streamed, and the many servers that call themselves compatible (contracts.md 6.2).
//! It never retries but for one spelling of a parameter and for a key that was replaced, and has no time-outs but one
//! behind the end: both are its caller's.

mod calls;
pub mod chunk;
mod failure;
mod request;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Request, Uri};
use konstruct_domain::Provider;
use konstruct_http::{Client, Response};
use konstruct_ports::{BoxFuture, LanguageModel, ModelError, ModelRequest, ModelStream, PlatformKeys};

use crate::ConfigError;
use crate::address::endpoint;
use crate::failure::{fatal, of_transport};
use crate::openai::chunk::ChunkDecoder;
use crate::openai::failure::Refusal;
use crate::openai::request::{LimitName, body};
use crate::platform::{Credential, Keys};
use crate::stream::{AnswerStream, SseSource};

/// Before the key, in its header.
const BEARER: &str = "Bearer ";

/// Where the model is.
#[derive(Clone)]
pub struct OpenAiConfig {
    /// What comes before `/chat/completions`, for example `https://api.openai.com/v1`.
    pub base_url: String,
    /// The platform's key; without one no `Authorization` is sent. A tenant's goes before it.
    pub keys: Arc<dyn PlatformKeys>,
}

impl fmt::Debug for OpenAiConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OpenAiConfig").finish_non_exhaustive()
    }
}

/// A server that speaks chat completions.
pub struct OpenAi {
    client: Client,
    uri: Uri,
    keys: Keys,
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
    /// [`ConfigError`], at start, rather than a failure at each call.
    pub fn new(client: Client, config: &OpenAiConfig) -> Result<Self, ConfigError> {
        let uri = endpoint(&config.base_url, "/chat/completions")?;
        let keys = Keys::new(Arc::clone(&config.keys), Provider::OpenAi, BEARER);
        Ok(Self { client, uri, keys, refuses_max_tokens: AtomicBool::new(false) })
    }

    async fn answer(&self, request: &ModelRequest) -> Result<Box<dyn ModelStream>, ModelError> {
        let mut credential = self.keys.credential(&request.route).await?;
        let refused = self.refuses_max_tokens.load(Ordering::Relaxed);
        let mut name = if refused { LimitName::MaxCompletionTokens } else { LimitName::MaxTokens };
        // Three times at most: each of the two reasons to ask again counts once.
        let mut asked_anew = false;
        let response = loop {
            match self.post(request, name, &credential).await? {
                Ok(response) => break response,
                Err(refusal) if name == LimitName::MaxTokens && refusal.wants_max_completion_tokens => {
                    name = LimitName::MaxCompletionTokens;
                }
                Err(refusal) if refusal.refuses_key && !asked_anew => {
                    asked_anew = true;
                    credential = self.keys.instead_of(&credential).await.ok_or(refusal.error)?;
                }
                Err(refusal) => return Err(refusal.error),
            }
        };
        self.refuses_max_tokens.fetch_or(name == LimitName::MaxCompletionTokens, Ordering::Relaxed);
        Ok(Box::new(AnswerStream::new(SseSource::new(response.body), ChunkDecoder::new())))
    }

    /// One request: an answer that streams, or what the server said instead.
    async fn post(
        &self,
        request: &ModelRequest,
        name: LimitName,
        credential: &Credential,
    ) -> Result<Result<Response, Refusal>, ModelError> {
        let mut http = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(Bytes::from(body(request, name)))
            .map_err(|_| fatal("request cannot be built"))?;
        if let Some(authorization) = &credential.header {
            http.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let response = self.client.send(http).await.map_err(|error| of_transport(&error))?;
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

    #[test]
    fn the_key_is_in_no_debug_output() {
        let keys = crate::GivenKeys::new(Some("sk-secret".to_owned()), None).unwrap();
        let config = OpenAiConfig { base_url: "https://h/v1".to_owned(), keys: Arc::new(keys) };
        let provider = OpenAi::new(Client::new(ClientConfig::default()), &config).unwrap();
        assert!(!format!("{config:?}{provider:?}").contains("secret"));
    }
}
