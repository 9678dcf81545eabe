//! What providers log, at the level that logs most: no key, no prompt and no answer. No real provider is called.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test; its servers are threads"
)]

#[path = "../../http/tests/client/server.rs"]
mod server;
#[path = "llm/stage.rs"]
mod stage;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use konstruct_domain::Provider;
use konstruct_llm::{Anthropic, AnthropicConfig, Bedrock, BedrockConfig, GivenKeys, OpenAi, OpenAiConfig};
use konstruct_ports::{LanguageModel, PromptMessage};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::stage::{answering, client, drain, tenants_request};

/// Keeps every word.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn providers(url: &str) -> [(Provider, Arc<dyn LanguageModel>); 3] {
    let key = || Some("secret-of-ours".to_owned());
    let keys = Arc::new(GivenKeys::new(key(), key()).unwrap());
    let openai = OpenAiConfig { base_url: url.to_owned(), keys: keys.clone() };
    let anthropic = AnthropicConfig { base_url: url.to_owned(), keys };
    let bedrock = BedrockConfig {
        region: "eu-central-1".to_owned(),
        access_key_id: "secret-id".to_owned(),
        secret_access_key: "secret-of-ours".to_owned(),
        session_token: key(),
        endpoint_url: Some(url.to_owned()),
    };
    [
        (Provider::OpenAi, Arc::new(OpenAi::new(client(), &openai).unwrap())),
        (Provider::Anthropic, Arc::new(Anthropic::new(client(), &anthropic).unwrap())),
        (Provider::Bedrock, Arc::new(Bedrock::new(client(), &bedrock).unwrap())),
    ]
}

/// proves AGNT-02
#[tokio::test]
async fn no_provider_logs_a_key_a_prompt_or_an_answer() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    tracing::info!("the log is kept");
    for status in ["200 OK", "400 Bad Request", "429 Too Many Requests"] {
        let body = "data: {\"secret-answer\":1}\n\n";
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}", body.len());
        let answer = format!("{head}\r\n\r\n{body}");
        let server = answering(answer);
        for (provider, model) in providers(&server.url("")) {
            for tenant in [false, true] {
                let mut request = tenants_request(provider, "secret-of-a-tenant");
                request.route.key = request.route.key.filter(|_| tenant);
                request.messages.push(PromptMessage::User("secret-prompt".to_owned()));
                let error = match model.ask(&request).await {
                    Ok(stream) => drain(stream).await.1.unwrap(),
                    Err(error) => error,
                };
                assert!(!error.to_string().contains("secret"), "{error}");
            }
        }
        let asked = server.noted();
        assert_eq!(asked.iter().filter(|request| request.contains("secret-prompt")).count(), 6);
    }
    drop(guard);
    let log = log.0.lock().unwrap();
    assert!(log.contains("the log is kept") && !log.contains("secret"), "{log}");
}
