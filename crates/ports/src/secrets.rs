//! Keys that tenants' secrets are sealed with. Each secret has a data key of its own; the master key that seals data
//! keys is AWS's, or a local one, and is never seen here. Nothing here encrypts.

use std::fmt;

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::BoxFuture;

/// Length of a data key, bytes: AES-256.
pub const DATA_KEY_BYTES: usize = 32;

/// What a secret is, and whose: the seal is bound to it, so that a row copied to another tenant or place opens
/// nothing. No secret is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretContext<'a> {
    /// Whose.
    pub tenant: Uuid,
    /// The row it is kept in.
    pub row: Uuid,
    /// What it is for, such as `slack_bot_token`: of `a-z` and `_`.
    pub purpose: &'a str,
}

impl SecretContext<'_> {
    /// Its parts by their names.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, String); 3] {
        let purpose = self.purpose.to_owned();
        [("tenant", self.tenant.to_string()), ("row", self.row.to_string()), ("purpose", purpose)]
    }
}

/// `tenant={tenant}&row={row}&purpose={purpose}`: what every seal authenticates.
impl fmt::Display for SecretContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant={}&row={}&purpose={}", self.tenant, self.row, self.purpose)
    }
}

/// A data key in clear. Never shown, and overwritten when dropped.
pub struct DataKey(Zeroizing<Vec<u8>>);

impl DataKey {
    /// A data key; `None` if it is not of [`DATA_KEY_BYTES`].
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        let bytes = Zeroizing::new(bytes);
        (bytes.len() == DATA_KEY_BYTES).then_some(Self(bytes))
    }

    /// The key itself: for a cipher and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

/// A data key as it is kept beside what it sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedDataKey {
    /// Which master key sealed it: `local`, or the id of a KMS key.
    pub key: String,
    /// What only that master key opens.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for SealedDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedDataKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Why there is no data key. Names no key material and no context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Whoever holds the master key does not answer: the same call may succeed later.
    #[error("the keys are away: {0}")]
    Away(String),
    /// It says no, or the sealed key is not one of its own for this context. Trying again changes nothing.
    #[error("the keys refuse: {0}")]
    Refused(String),
}

impl KeyError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}

/// Whoever holds the master key.
pub trait DataKeys: Send + Sync {
    /// A fresh data key for one secret, in clear and sealed.
    ///
    /// # Errors
    /// [`KeyError`].
    fn generate<'a>(
        &'a self,
        context: &'a SecretContext<'a>,
    ) -> BoxFuture<'a, Result<(DataKey, SealedDataKey), KeyError>>;

    /// The data key that was sealed for exactly this context.
    ///
    /// # Errors
    /// [`KeyError`]; `Refused` for any other context or key.
    fn open<'a>(
        &'a self,
        sealed: &'a SealedDataKey,
        context: &'a SecretContext<'a>,
    ) -> BoxFuture<'a, Result<DataKey, KeyError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_spelt_in_lower_case_and_in_one_order() {
        let tenant = Uuid::from_u128(0xABCD);
        let context = SecretContext { tenant, row: Uuid::from_u128(1), purpose: "slack_bot_token" };
        let spelt = "tenant=00000000-0000-0000-0000-00000000abcd&row=00000000-0000-0000-0000-000000000001\
                     &purpose=slack_bot_token";
        assert_eq!(context.to_string(), spelt);
        let parts = context.parts().map(|(name, value)| format!("{name}={value}"));
        assert_eq!(parts.join("&"), spelt);
    }

    #[test]
    fn a_data_key_has_its_length_and_is_in_no_debug_output() {
        assert!(DataKey::new(vec![7; 31]).is_none() && DataKey::new(vec![7; 33]).is_none());
        let key = DataKey::new(vec![7; DATA_KEY_BYTES]).unwrap();
        assert_eq!(key.reveal(), [7; DATA_KEY_BYTES]);
        let sealed = SealedDataKey { key: "local".to_owned(), sealed: vec![7; 60] };
        assert_eq!(format!("{key:?} {sealed:?}"), "DataKey(…) SealedDataKey { key: \"local\", .. }");
    }
}
