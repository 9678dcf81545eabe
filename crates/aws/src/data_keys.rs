//! KMS behind `ports::DataKeys`: the master key never leaves it. Nothing is cached: a function that may no longer use
//! the key opens nothing from then on, and each use is in CloudTrail with its context.

use std::collections::HashMap;

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use konstruct_ports::{BoxFuture, DataKey, DataKeys, KeyError, SealedDataKey, SecretContext};

use crate::failure::{status, words};
use crate::sdk::Sdk;

/// Codes that KMS gives with 400 and that pass.
const PASSING: [&str; 5] = [
    "ThrottlingException",
    "LimitExceededException",
    "KMSInternalException",
    "DependencyTimeoutException",
    "KeyUnavailableException",
];

/// One symmetric KMS key.
#[derive(Debug, Clone)]
pub struct KmsKeys {
    client: Client,
    key_id: String,
}

impl KmsKeys {
    /// The key `key_id`; `endpoint_url` replaces AWS's own endpoint (tests).
    #[must_use]
    pub fn new(sdk: &Sdk, key_id: impl Into<String>, endpoint_url: Option<&str>) -> Self {
        Self { client: sdk.kms(endpoint_url), key_id: key_id.into() }
    }

    async fn generated(&self, context: &SecretContext<'_>) -> Result<(DataKey, SealedDataKey), KeyError> {
        let generate = self.client.generate_data_key().key_id(&self.key_id).key_spec(DataKeySpec::Aes256);
        let generated = generate.set_encryption_context(encryption_context(context)).send().await;
        let generated = generated.map_err(|error| failed("generate", &error))?;
        let key = generated.plaintext.map(Blob::into_inner).and_then(DataKey::new);
        let sealed = generated.ciphertext_blob.map(Blob::into_inner);
        let (Some(key), Some(sealed)) = (key, sealed) else {
            return Err(KeyError::Away("generate: answer without a key".to_owned()));
        };
        Ok((key, SealedDataKey { key: self.key_id.clone(), sealed }))
    }

    async fn opened(&self, sealed: &SealedDataKey, context: &SecretContext<'_>) -> Result<DataKey, KeyError> {
        // Whoever can write the row must not choose the key.
        if sealed.key != self.key_id {
            return Err(KeyError::Refused("decrypt: sealed by another key".to_owned()));
        }
        let decrypt = self.client.decrypt().key_id(&self.key_id).ciphertext_blob(Blob::new(&*sealed.sealed));
        let opened = decrypt.set_encryption_context(encryption_context(context)).send().await;
        let opened = opened.map_err(|error| failed("decrypt", &error))?;
        let key = opened.plaintext.map(Blob::into_inner).and_then(DataKey::new);
        key.ok_or_else(|| KeyError::Refused("decrypt: no data key".to_owned()))
    }
}

fn encryption_context(context: &SecretContext<'_>) -> Option<HashMap<String, String>> {
    Some(context.parts().map(|(name, value)| (name.to_owned(), value)).into())
}

fn failed<E: ProvideErrorMetadata>(call: &str, error: &SdkError<E, Response>) -> KeyError {
    let text = format!("{call}: {}", words(error));
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let passes = status(error).is_none_or(|status| status == 429 || status >= 500)
        || code.is_none_or(|code| PASSING.contains(&code));
    if passes { KeyError::Away(text) } else { KeyError::Refused(text) }
}

impl DataKeys for KmsKeys {
    fn generate<'a>(
        &'a self,
        context: &'a SecretContext<'a>,
    ) -> BoxFuture<'a, Result<(DataKey, SealedDataKey), KeyError>> {
        Box::pin(self.generated(context))
    }

    fn open<'a>(
        &'a self,
        sealed: &'a SealedDataKey,
        context: &'a SecretContext<'a>,
    ) -> BoxFuture<'a, Result<DataKey, KeyError>> {
        Box::pin(self.opened(sealed, context))
    }
}
