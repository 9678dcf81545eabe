//! A sealed secret as JSON. It checks the form only: whether anything opens is the cipher's to say.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use konstruct_ports::SealedDataKey;
use serde_json::{Value, json};

use crate::cipher::{NonceBytes, TAG_BYTES};
use crate::{SECRET_BYTES_MAX, SecretError};

/// The only version so far.
const VERSION: u64 = 1;

/// Longest name of a master key (an ARN has up to 2,048 characters).
const KEY_NAME_MAX: usize = 2_048;

/// Largest sealed data key (KMS: 6,144 bytes).
const SEALED_KEY_BYTES_MAX: usize = 6_144;

/// A secret nobody can read without its master key.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    pub(crate) sealed_key: SealedDataKey,
    pub(crate) nonce: NonceBytes,
    pub(crate) ciphertext: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("key", &self.sealed_key.key).finish_non_exhaustive()
    }
}

impl Sealed {
    /// As it is kept.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "v": VERSION,
            "key": self.sealed_key.key,
            "nonce": STANDARD.encode(self.nonce),
            "data_key": STANDARD.encode(&self.sealed_key.sealed),
            "ciphertext": STANDARD.encode(&self.ciphertext),
        })
    }

    /// What is kept, if it has the form.
    pub(crate) fn parse(kept: &Value) -> Result<Self, SecretError> {
        if kept.get("v").and_then(Value::as_u64) != Some(VERSION) {
            return Err(SecretError::Malformed("v"));
        }
        let key = text(kept, "key", KEY_NAME_MAX)?;
        let nonce = bytes(kept, "nonce", 0, 64)?.try_into().map_err(|_| SecretError::Malformed("nonce"))?;
        let sealed = bytes(kept, "data_key", 1, SEALED_KEY_BYTES_MAX)?;
        let ciphertext = bytes(kept, "ciphertext", TAG_BYTES, SECRET_BYTES_MAX + TAG_BYTES)?;
        Ok(Self { sealed_key: SealedDataKey { key: key.to_owned(), sealed }, nonce, ciphertext })
    }
}

fn text<'a>(kept: &'a Value, member: &'static str, most: usize) -> Result<&'a str, SecretError> {
    let text = kept.get(member).and_then(Value::as_str).filter(|text| (1..=most).contains(&text.len()));
    text.ok_or(SecretError::Malformed(member))
}

/// Standard base64 with padding, of so many bytes.
fn bytes(kept: &Value, member: &'static str, least: usize, most: usize) -> Result<Vec<u8>, SecretError> {
    let encoded = text(kept, member, most.div_ceil(3) * 4)?;
    let decoded = STANDARD.decode(encoded).map_err(|_| SecretError::Malformed(member))?;
    let fits = (least..=most).contains(&decoded.len());
    if fits { Ok(decoded) } else { Err(SecretError::Malformed(member)) }
}
