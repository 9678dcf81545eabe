//! Whose key a call goes with: the tenant's, where it has one, else the platform's. The platform never pays in the
//! place of a tenant's key that does not work.

use std::fmt;
use std::future::ready;
use std::sync::Arc;

use http::header::HeaderValue;
use konstruct_domain::Provider;
use konstruct_ports::{ApiKey, BoxFuture, KeyAway, ModelError, PlatformKeys, Route};

use crate::ConfigError;
use crate::address::{key_header, key_of};
use crate::failure::{broken, fatal};

/// Keys that are known from the start and stay.
#[derive(Clone, Default)]
pub struct GivenKeys {
    openai: Option<ApiKey>,
    anthropic: Option<ApiKey>,
}

impl fmt::Debug for GivenKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GivenKeys").finish_non_exhaustive()
    }
}

impl GivenKeys {
    /// What there is; an empty one is none.
    ///
    /// # Errors
    /// [`ConfigError::ApiKey`], at start, rather than a failure at each call.
    pub fn new(openai: Option<String>, anthropic: Option<String>) -> Result<Self, ConfigError> {
        for key in [&openai, &anthropic] {
            key_header("", key.as_deref())?;
        }
        Ok(Self { openai: openai.map(ApiKey::new), anthropic: anthropic.map(ApiKey::new) })
    }
}

impl PlatformKeys for GivenKeys {
    fn key(&self, provider: Provider) -> BoxFuture<'_, Result<Option<ApiKey>, KeyAway>> {
        let key = match provider {
            Provider::OpenAi => self.openai.clone(),
            Provider::Anthropic => self.anthropic.clone(),
            Provider::Bedrock => None,
        };
        Box::pin(ready(Ok(key)))
    }

    fn instead_of<'a>(
        &'a self,
        _: Provider,
        _: &'a ApiKey,
    ) -> BoxFuture<'a, Result<Option<ApiKey>, KeyAway>> {
        Box::pin(ready(Ok(None)))
    }
}

/// The keys of one provider.
pub(crate) struct Keys {
    platform: Arc<dyn PlatformKeys>,
    provider: Provider,
    /// Before the key, in its header.
    prefix: &'static str,
}

/// What one call goes with.
pub(crate) struct Credential {
    /// The header; none where there is no key.
    pub(crate) header: Option<HeaderValue>,
    /// The key, where it is the platform's.
    platform: Option<ApiKey>,
}

impl Keys {
    pub(crate) fn new(platform: Arc<dyn PlatformKeys>, provider: Provider, prefix: &'static str) -> Self {
        Self { platform, provider, prefix }
    }

    /// What a call on this route goes with.
    pub(crate) async fn credential(&self, route: &Route) -> Result<Credential, ModelError> {
        if let Some(key) = &route.key {
            return Ok(Credential { header: Some(key_of(key, self.prefix)?), platform: None });
        }
        let key = self.platform.key(self.provider).await.map_err(|away| broken(&away.to_string()))?;
        self.of_platform(key)
    }

    /// What a call goes with once more whose key the provider refused; `None`: there is nothing else to go with.
    pub(crate) async fn instead_of(&self, refused: &Credential) -> Option<Credential> {
        let key = refused.platform.as_ref()?;
        match self.platform.instead_of(self.provider, key).await {
            Ok(Some(another)) if another != *key => self.of_platform(Some(another)).ok(),
            Ok(_) => None,
            Err(away) => {
                tracing::warn!(%away, "a provider refused the platform's key");
                None
            }
        }
    }

    fn of_platform(&self, key: Option<ApiKey>) -> Result<Credential, ModelError> {
        let header = key_header(self.prefix, key.as_ref().map(ApiKey::reveal));
        let header =
            header.map_err(|_| fatal("the platform's key has characters that no header can hold"))?;
        let platform = key.filter(|_| header.is_some());
        Ok(Credential { header, platform })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(key: Option<&str>) -> Route {
        let key = key.map(|key| ApiKey::new(key.to_owned()));
        Route { provider: Provider::OpenAi, model: "m".to_owned(), key }
    }

    fn given(openai: Option<&str>) -> Result<Keys, ConfigError> {
        let keys = GivenKeys::new(openai.map(str::to_owned), None)?;
        Ok(Keys::new(Arc::new(keys), Provider::OpenAi, "Bearer "))
    }

    #[tokio::test]
    async fn a_tenants_key_wins_and_is_never_replaced_by_the_platforms() {
        let keys = given(Some("platform")).unwrap();
        let header = async |key| keys.credential(&route(key)).await.map(|credential| credential.header);
        assert_eq!(header(None).await.unwrap().unwrap(), "Bearer platform");
        assert_eq!(header(Some("tenant")).await.unwrap().unwrap(), "Bearer tenant");
        for key in ["", " ", "secret\nkey"] {
            let error = header(Some(key)).await.unwrap_err();
            assert!(!error.is_retryable() && !error.to_string().contains("secret"), "{error}");
        }
        let tenants = keys.credential(&route(Some("tenant"))).await.unwrap();
        assert!(keys.instead_of(&tenants).await.is_none());
    }

    #[tokio::test]
    async fn no_key_and_an_empty_one_send_no_header() {
        for key in [None, Some(""), Some(" ")] {
            let credential = given(key).unwrap().credential(&route(None)).await.unwrap();
            assert!(credential.header.is_none() && credential.platform.is_none());
        }
    }

    #[test]
    fn a_key_that_no_header_can_hold_is_refused_at_start_and_none_is_shown() {
        assert_eq!(given(Some("a\nb")).err(), Some(ConfigError::ApiKey));
        let keys = GivenKeys::new(Some("sk-secret".to_owned()), None).unwrap();
        assert!(!format!("{keys:?}").contains("secret"));
    }
}
