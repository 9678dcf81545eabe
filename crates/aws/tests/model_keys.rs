//! The platform's model keys against a Secrets Manager of every temper, over real sockets. AWS is not called.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "../../http/tests/client/server.rs"]
mod server;
#[path = "aws/stage.rs"]
mod stage;

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use konstruct_aws::{ModelKeys, SecretError, SecretsManager};
use konstruct_domain::Provider::{Anthropic, Bedrock, OpenAi};
use konstruct_ports::{ApiKey, KeyAway, PlatformKeys};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::server::Server;
use crate::stage::{answering, sdk};

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:models-a1b2c3";

fn keys(server: &Server) -> ModelKeys {
    ModelKeys::new(SecretsManager::new(&sdk(), Some(&server.url(""))), ARN)
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn secret(text: &str) -> String {
    answer("200 OK", &serde_json::json!({ "ARN": ARN, "SecretString": text }).to_string())
}

fn both(openai: &str, anthropic: &str) -> String {
    secret(&serde_json::json!({ "openai_api_key": openai, "anthropic_api_key": anthropic }).to_string())
}

fn failed(status: &str, kind: &str) -> String {
    answer(status, &format!("{{\"__type\":\"{kind}\",\"message\":\"sk-secret\"}}"))
}

fn away() -> String {
    failed("500 Away", "InternalServiceError")
}

fn told(key: Result<Option<ApiKey>, KeyAway>) -> Option<String> {
    key.unwrap().map(|key| key.reveal().to_owned())
}

/// Lets time pass; the sockets' own time-outs then run on as ever.
async fn later(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

/// proves AGNT-02
#[tokio::test]
async fn nothing_is_read_before_a_key_is_needed_and_all_who_ask_share_one_reading() {
    let server = answering([both("sk-o", " sk-a ")]);
    let keys = keys(&server);
    assert!(server.noted().is_empty());
    let askings = (0..10).map(|_| keys.key(OpenAi));
    for key in futures_util::future::join_all(askings).await {
        assert_eq!(told(key).as_deref(), Some("sk-o"));
    }
    assert_eq!(told(keys.key(Anthropic).await).as_deref(), Some("sk-a"));
    assert_eq!(told(keys.key(Bedrock).await), None);
    let requests = server.noted();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].contains("x-amz-target: secretsmanager.GetSecretValue\r\n"), "{requests:?}");
    assert!(requests[0].ends_with(&format!("{{\"SecretId\":\"{ARN}\"}}")), "{requests:?}");
    assert!(!format!("{keys:?}").contains("sk-"));
}

#[tokio::test]
async fn a_key_that_the_secret_lacks_is_none() {
    for text in ["{}", r#"{"openai_api_key":""}"#, r#"{"openai_api_key":null}"#, r#"{"openai_api_key":7}"#] {
        assert_eq!(told(keys(&answering([secret(text)])).key(OpenAi).await), None, "{text}");
    }
}

#[tokio::test]
async fn keys_are_kept_for_five_minutes() {
    let server = answering([both("first", ""), both("second", "")]);
    let keys = keys(&server);
    assert_eq!(told(keys.key(OpenAi).await).as_deref(), Some("first"));
    later(Duration::from_secs(295)).await;
    assert_eq!(told(keys.key(OpenAi).await).as_deref(), Some("first"));
    later(Duration::from_secs(6)).await;
    assert_eq!(told(keys.key(OpenAi).await).as_deref(), Some("second"));
    assert_eq!(server.noted().len(), 2);
}

#[tokio::test]
async fn an_outage_is_told_without_the_secret_and_not_asked_about_again_at_once() {
    let server = answering([away(), away(), away(), both("sk-o", "")]);
    let keys = keys(&server);
    for _ in 0..3 {
        let why = keys.key(OpenAi).await.unwrap_err();
        assert_eq!(why.0, "Secrets Manager is away: refused: 500 InternalServiceError");
    }
    assert_eq!(server.noted().len(), 3, "the three attempts of one reading");
    later(Duration::from_secs(6)).await;
    assert_eq!(told(keys.key(OpenAi).await).as_deref(), Some("sk-o"));
}

#[tokio::test]
async fn known_keys_serve_on_through_an_outage_but_not_once_they_may_not_be_read() {
    let denied = failed("400 No", "AccessDeniedException");
    let server = answering([both("sk-o", ""), away(), away(), away(), denied]);
    let keys = keys(&server);
    for _ in 0..2 {
        assert_eq!(told(keys.key(OpenAi).await).as_deref(), Some("sk-o"));
        later(Duration::from_secs(301)).await;
    }
    let why = keys.key(OpenAi).await.unwrap_err();
    assert_eq!(why.0, "the secret cannot be used: refused: 400 AccessDeniedException");
}

/// proves AGNT-02
#[tokio::test]
async fn a_refused_key_is_read_again_and_only_another_one_takes_its_place() {
    let server = answering([both("old", ""), both("old", ""), both("new", "")]);
    let keys = keys(&server);
    let old = keys.key(OpenAi).await.unwrap().unwrap();
    // Read just now: it is what it is.
    assert_eq!(told(keys.instead_of(OpenAi, &old).await), None);
    assert_eq!(server.noted().len(), 1);
    later(Duration::from_secs(6)).await;
    assert_eq!(told(keys.instead_of(OpenAi, &old).await), None);
    later(Duration::from_secs(6)).await;
    assert_eq!(told(keys.instead_of(OpenAi, &old).await).as_deref(), Some("new"));
    // Whoever comes later with the old one gets what is known by now.
    assert_eq!(told(keys.instead_of(OpenAi, &old).await).as_deref(), Some("new"));
    assert_eq!(server.noted().len(), 3);
}

#[tokio::test]
async fn a_secret_that_is_no_object_is_refused_and_not_repeated() {
    for text in ["sk-secret", "[\"sk-secret\"]", "{\"openai_api_key\":\"sk-secret\""] {
        let server = answering([secret(text)]);
        let read = SecretsManager::new(&sdk(), Some(&server.url(""))).read(ARN).await.unwrap_err();
        assert_eq!(read, SecretError::Refused("it is no JSON object".to_owned()));
    }
}

/// Keeps every word, at every level.
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

/// proves OPS-04
#[tokio::test]
async fn no_secret_is_logged_at_the_level_that_logs_most() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    let server = answering([both("sk-secret-of-ours", ""), failed("400 No", "AccessDeniedException")]);
    let keys = keys(&server);
    assert!(keys.key(OpenAi).await.unwrap().is_some());
    later(Duration::from_secs(301)).await;
    assert!(keys.key(OpenAi).await.is_err());
    drop(guard);
    let log = log.0.lock().unwrap();
    assert!(log.contains("AccessDeniedException"), "{log}");
    assert!(!log.contains("sk-secret") && !log.contains("secret-key"), "{log}");
}
