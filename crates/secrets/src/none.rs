//! A deployment without a master key: it has no channel with a secret. Nothing is sealed, and nothing opens.

use konstruct_ports::{BoxFuture, DataKey, DataKeys, KeyError, SealedDataKey, SecretContext};

/// Refuses everything.
#[derive(Debug, Clone, Copy)]
pub struct NoKeys;

fn refused() -> KeyError {
    KeyError::Refused("SECRETS_KMS_KEY_ID is not set".to_owned())
}

impl DataKeys for NoKeys {
    fn generate<'a>(
        &'a self,
        _: &'a SecretContext<'a>,
    ) -> BoxFuture<'a, Result<(DataKey, SealedDataKey), KeyError>> {
        Box::pin(async { Err(refused()) })
    }

    fn open<'a>(
        &'a self,
        _: &'a SealedDataKey,
        _: &'a SecretContext<'a>,
    ) -> BoxFuture<'a, Result<DataKey, KeyError>> {
        Box::pin(async { Err(refused()) })
    }
}
