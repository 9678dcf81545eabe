//! A master key in a variable: for one machine alone. In Lambda it would lie open in the function's configuration,
//! beside the database it protects; so it refuses to exist there.

use std::fmt;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use konstruct_ports::secrets::DATA_KEY_BYTES;
use konstruct_ports::{BoxFuture, DataKey, DataKeys, KeyError, SealedDataKey, SecretContext};
use zeroize::Zeroizing;

use crate::cipher::{self, NonceBytes, TAG_BYTES};

/// What envelopes call it.
const NAME: &str = "local";

/// Why there is no local master key. Does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLocalKeys {
    /// The process is not one of a developer's machine.
    #[error("SECRETS_KEY is for the local stack only: set SECRETS_KMS_KEY_ID")]
    NotLocal,
    /// Not base64 of 32 bytes.
    #[error("SECRETS_KEY is not base64 of 32 bytes")]
    NotAKey,
}

/// A master key of 32 bytes; a sealed data key is nonce (12 bytes), key (32) and tag (16).
pub struct LocalKeys {
    master: DataKey,
}

impl fmt::Debug for LocalKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKeys(…)")
    }
}

impl LocalKeys {
    /// The key in base64, if `is_local` says that this process runs on a developer's machine.
    ///
    /// # Errors
    /// [`NoLocalKeys`].
    pub fn new(master: &str, is_local: bool) -> Result<Self, NoLocalKeys> {
        if !is_local {
            return Err(NoLocalKeys::NotLocal);
        }
        let master = STANDARD.decode(master.trim()).map_err(|_| NoLocalKeys::NotAKey)?;
        Ok(Self { master: DataKey::new(master).ok_or(NoLocalKeys::NotAKey)? })
    }

    fn fresh(&self, context: &SecretContext<'_>) -> Option<(DataKey, SealedDataKey)> {
        let mut plain = Zeroizing::new(vec![0; DATA_KEY_BYTES]);
        rand::fill(&mut plain).ok()?;
        let (nonce, sealed) = cipher::seal(self.master.reveal(), context, &plain)?;
        let sealed = [nonce.as_slice(), &sealed].concat();
        Some((DataKey::new(plain.to_vec())?, SealedDataKey { key: NAME.to_owned(), sealed }))
    }

    fn opened(&self, sealed: &SealedDataKey, context: &SecretContext<'_>) -> Option<DataKey> {
        let (nonce, rest) = sealed.sealed.split_first_chunk::<{ size_of::<NonceBytes>() }>()?;
        if sealed.key != NAME || rest.len() != DATA_KEY_BYTES + TAG_BYTES {
            return None;
        }
        DataKey::new(cipher::open(self.master.reveal(), context, nonce, rest)?.to_vec())
    }
}

impl DataKeys for LocalKeys {
    fn generate<'a>(
        &'a self,
        context: &'a SecretContext<'a>,
    ) -> BoxFuture<'a, Result<(DataKey, SealedDataKey), KeyError>> {
        Box::pin(async { self.fresh(context).ok_or_else(|| refused("no data key")) })
    }

    fn open<'a>(
        &'a self,
        sealed: &'a SealedDataKey,
        context: &'a SecretContext<'a>,
    ) -> BoxFuture<'a, Result<DataKey, KeyError>> {
        Box::pin(async {
            self.opened(sealed, context).ok_or_else(|| refused("not sealed by this key for this"))
        })
    }
}

fn refused(why: &str) -> KeyError {
    KeyError::Refused(why.to_owned())
}
