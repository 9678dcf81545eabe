//! What the tests of providers share: requests, answers, and servers that give them. It judges no request.

#![allow(dead_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use konstruct_domain::Provider;
use konstruct_http::{Client, ClientConfig};
use konstruct_llm::GivenKeys;
use konstruct_ports::{
    ApiKey, BoxFuture, KeyAway, LanguageModel, ModelError, ModelEvent, ModelRequest, ModelStream,
    PlatformKeys, PromptMessage, Route, StopReason, TokenUsage, ToolCall,
};

use crate::server::{Connection, Server};

pub const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
pub const END: ModelEvent = ModelEvent::Finished(StopReason::End);

pub fn client() -> Client {
    Client::new(ClientConfig { allow_plain: true, ..ClientConfig::default() })
}

/// The platform's key, the same for every provider.
pub fn keys(key: &str) -> Arc<dyn PlatformKeys> {
    Arc::new(GivenKeys::new(Some(key.to_owned()), Some(key.to_owned())).unwrap())
}

/// A key, and another one for whom the first does not serve.
pub struct Rotating {
    first: Option<&'static str>,
    another: Option<&'static str>,
    asked_anew: AtomicUsize,
}

impl Rotating {
    pub fn new(first: &'static str, another: Option<&'static str>) -> Self {
        Self { first: Some(first), another, asked_anew: AtomicUsize::new(0) }
    }

    /// Nothing is to be had.
    pub fn away() -> Self {
        Self { first: None, another: None, asked_anew: AtomicUsize::new(0) }
    }

    /// How often another key was asked for.
    pub fn asked_anew(&self) -> usize {
        self.asked_anew.load(Ordering::Relaxed)
    }
}

impl PlatformKeys for Rotating {
    fn key(&self, _: Provider) -> BoxFuture<'_, Result<Option<ApiKey>, KeyAway>> {
        let key = self.first.map(|key| ApiKey::new(key.to_owned()));
        Box::pin(async { key.map(Some).ok_or(KeyAway("closed".to_owned())) })
    }

    fn instead_of<'a>(
        &'a self,
        _: Provider,
        refused: &'a ApiKey,
    ) -> BoxFuture<'a, Result<Option<ApiKey>, KeyAway>> {
        assert_eq!(Some(refused.reveal()), self.first);
        self.asked_anew.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(self.another.map(|key| ApiKey::new(key.to_owned()))) })
    }
}

/// A server that notes every request, streams this body to those that have a header, and refuses the key of others.
pub fn taking(header: &'static str, body: &str) -> Server {
    let body = format!("{STREAM}{}0\r\n\r\n", chunk(body));
    Server::new(move |mut connection: Connection| {
        while let Some(request) = connection.read_request() {
            let right = request.contains(header);
            connection.note(request);
            connection.write(if right { &body } else { "HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n" });
        }
    })
}

pub fn request(provider: Provider) -> ModelRequest {
    let route = Route { provider, model: "m".to_owned(), key: None };
    let messages = vec![PromptMessage::User("hi".to_owned())];
    ModelRequest { route, messages, tools: Vec::new(), tokens_max: 9 }
}

pub fn tenants_request(provider: Provider, key: &str) -> ModelRequest {
    let mut request = request(provider);
    request.route.key = Some(ApiKey::new(key.to_owned()));
    request
}

/// One chunk of HTTP's own.
pub fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

pub fn refuse(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

pub fn text(text: &str) -> ModelEvent {
    ModelEvent::Text(text.to_owned())
}

pub fn call(id: &str, name: &str, arguments: &str) -> ModelEvent {
    let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
    ModelEvent::ToolCall(ToolCall { id, name, arguments })
}

pub fn usage(prompt_tokens: u32, completion_tokens: u32) -> ModelEvent {
    let total_tokens = prompt_tokens + completion_tokens;
    ModelEvent::Usage(TokenUsage { prompt_tokens, completion_tokens, total_tokens })
}

pub async fn drain(mut stream: Box<dyn ModelStream>) -> (Vec<ModelEvent>, Option<ModelError>) {
    let mut events = Vec::new();
    loop {
        match stream.next().await {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error)),
        }
    }
}

/// A server that answers every request with this body, streamed, and keeps the connection.
pub fn streaming(body: impl Into<String>) -> Server {
    let body = body.into();
    Server::new(move |mut connection: Connection| {
        while connection.read_request().is_some() {
            connection.write(&format!("{STREAM}{}0\r\n\r\n", chunk(&body)));
        }
    })
}

/// A server that notes one request, gives this answer and hangs up.
pub fn answering(answer: impl Into<String>) -> Server {
    let answer = answer.into();
    Server::new(move |mut connection: Connection| {
        if let Some(request) = connection.read_request() {
            connection.note(request);
            connection.write(&answer);
        }
    })
}

pub async fn refusal(model: &dyn LanguageModel, request: &ModelRequest) -> ModelError {
    model.ask(request).await.map(|_| ()).unwrap_err()
}
