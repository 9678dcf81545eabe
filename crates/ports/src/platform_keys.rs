//! The platform's own keys for models, for tenants that have none. Where they are kept is not known here, and no key
//! is ever shown.

use konstruct_domain::Provider;

use crate::{ApiKey, BoxFuture};

/// The keys cannot be told at the moment. Holds none of them, so that it can be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the platform's key is not to be had: {0}")]
pub struct KeyAway(pub String);

/// Tells the platform's keys, when they are needed and not before.
pub trait PlatformKeys: Send + Sync {
    /// The key for a provider; `None`: there is none, and a call goes without.
    fn key(&self, provider: Provider) -> BoxFuture<'_, Result<Option<ApiKey>, KeyAway>>;

    /// The key that has taken the place of one that the provider refused; `None`: no other is known.
    fn instead_of<'a>(
        &'a self,
        provider: Provider,
        refused: &'a ApiKey,
    ) -> BoxFuture<'a, Result<Option<ApiKey>, KeyAway>>;
}
