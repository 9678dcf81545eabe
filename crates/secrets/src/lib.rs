//! Tenants' secrets as they are kept: sealed with a data key of their own, which is sealed by a master key, both for
//! one tenant, row and purpose. The format is docs/decisions/0013-sealed-secrets.md. A secret in clear is never kept,
//! logged or shown.

mod cipher;
mod digest;
mod envelope;
mod local;
mod none;

use std::fmt;
use std::sync::Arc;

use konstruct_ports::{DataKeys, KeyError, SecretContext};
use serde_json::Value;
use zeroize::Zeroizing;

pub use self::digest::fingerprint;
pub use self::envelope::Sealed;
pub use self::local::{LocalKeys, NoLocalKeys};
pub use self::none::NoKeys;

/// Largest secret, bytes: a token or a key, no document.
pub const SECRET_BYTES_MAX: usize = 16 * 1024;

/// Why a secret was not sealed or not opened. Repeats nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Whoever has the master key says why.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// What is kept is no envelope of this format.
    #[error("no sealed secret: {0}")]
    Malformed(&'static str),
    /// It was changed, or sealed for something else.
    #[error("the secret does not open here")]
    NotOurs,
    /// More than [`SECRET_BYTES_MAX`], or the cipher failed.
    #[error("the secret cannot be sealed")]
    Unsealable,
}

impl SecretError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Keys(error) if error.is_retryable())
    }
}

/// Seals and opens. Clones share the master key.
#[derive(Clone)]
pub struct Secrets {
    keys: Arc<dyn DataKeys>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// With whoever holds the master key.
    #[must_use]
    pub fn new(keys: Arc<dyn DataKeys>) -> Self {
        Self { keys }
    }

    /// Seals a secret, each time under a fresh key.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn seal(&self, context: &SecretContext<'_>, secret: &str) -> Result<Sealed, SecretError> {
        if secret.len() > SECRET_BYTES_MAX {
            return Err(SecretError::Unsealable);
        }
        let (key, sealed_key) = self.keys.generate(context).await?;
        let (nonce, ciphertext) =
            cipher::seal(key.reveal(), context, secret.as_bytes()).ok_or(SecretError::Unsealable)?;
        Ok(Sealed { sealed_key, nonce, ciphertext })
    }

    /// The secret that was sealed for exactly this context. The text is overwritten when dropped.
    ///
    /// # Errors
    /// [`SecretError`]; `sealed` may be any JSON.
    pub async fn open(
        &self,
        context: &SecretContext<'_>,
        sealed: &Value,
    ) -> Result<Zeroizing<String>, SecretError> {
        let sealed = Sealed::parse(sealed)?;
        let key = self.keys.open(&sealed.sealed_key, context).await?;
        let plain = cipher::open(key.reveal(), context, &sealed.nonce, &sealed.ciphertext);
        let plain = plain.ok_or(SecretError::NotOurs)?;
        match std::str::from_utf8(&plain) {
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => Err(SecretError::NotOurs),
        }
    }
}

#[cfg(test)]
mod tests;
