//! The platform's keys for models, in one secret of Secrets Manager (`MODEL_SECRET_ARN`). Nothing is read before the
//! first call that needs a key, and no key is ever shown.

use std::sync::Arc;
use std::time::Duration;

use konstruct_domain::Provider;
use konstruct_ports::{ApiKey, BoxFuture, KeyAway, PlatformKeys};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::secrets_manager::{SecretError, SecretsManager};

/// How long what was read counts.
const KEPT: Duration = Duration::from_secs(300);

/// How soon it is not read again: neither after a failure, nor because a provider refused a key.
const PAUSE: Duration = Duration::from_secs(5);

/// The keys in one secret, JSON with `openai_api_key` and `anthropic_api_key`, both optional.
#[derive(Debug, Clone)]
pub struct ModelKeys {
    secrets: SecretsManager,
    arn: String,
    /// Held while the secret is read, so that whoever asks meanwhile waits for the same answer.
    known: Arc<Mutex<Known>>,
}

/// What came of reading.
#[derive(Debug, Default)]
struct Known {
    keys: Option<Read>,
    failed: Option<(Instant, KeyAway)>,
}

#[derive(Debug, Clone)]
struct Read {
    at: Instant,
    openai: Option<ApiKey>,
    anthropic: Option<ApiKey>,
}

impl Read {
    fn key(&self, provider: Provider) -> Option<ApiKey> {
        match provider {
            Provider::OpenAi => self.openai.clone(),
            Provider::Anthropic => self.anthropic.clone(),
            // It is called as the function's own role.
            Provider::Bedrock => None,
        }
    }
}

impl ModelKeys {
    /// The keys in the secret of this ARN.
    #[must_use]
    pub fn new(secrets: SecretsManager, arn: impl Into<String>) -> Self {
        Self { secrets, arn: arn.into(), known: Arc::default() }
    }

    /// The key, not older than that.
    async fn within(&self, provider: Provider, age_max: Duration) -> Result<Option<ApiKey>, KeyAway> {
        let mut known = self.known.lock().await;
        if let Some(keys) = &known.keys
            && keys.at.elapsed() < age_max
        {
            return Ok(keys.key(provider));
        }
        if let Some((at, why)) = &known.failed
            && at.elapsed() < PAUSE
        {
            return known.keys.as_ref().map(|keys| keys.key(provider)).ok_or_else(|| why.clone());
        }
        match self.secrets.read(&self.arn).await {
            Ok(fields) => {
                let key = |name| fields.text(name).map(|key| ApiKey::new(key.to_owned()));
                let (openai, anthropic) = (key("openai_api_key"), key("anthropic_api_key"));
                let keys = Read { at: Instant::now(), openai, anthropic };
                let key = keys.key(provider);
                *known = Known { keys: Some(keys), failed: None };
                Ok(key)
            }
            Err(error) => {
                tracing::error!(%error, "the platform's model keys were not read");
                // Known keys serve on through an outage; what may no longer be read is not used.
                if matches!(error, SecretError::Refused(_)) {
                    known.keys = None;
                }
                let why = KeyAway(error.to_string());
                known.failed = Some((Instant::now(), why.clone()));
                known.keys.as_ref().map(|keys| keys.key(provider)).ok_or(why)
            }
        }
    }
}

impl PlatformKeys for ModelKeys {
    fn key(&self, provider: Provider) -> BoxFuture<'_, Result<Option<ApiKey>, KeyAway>> {
        Box::pin(self.within(provider, KEPT))
    }

    fn instead_of<'a>(
        &'a self,
        provider: Provider,
        refused: &'a ApiKey,
    ) -> BoxFuture<'a, Result<Option<ApiKey>, KeyAway>> {
        Box::pin(async move {
            let key = self.within(provider, PAUSE).await?;
            Ok(key.filter(|key| key != refused))
        })
    }
}
