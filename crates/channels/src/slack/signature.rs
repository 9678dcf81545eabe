//! Whether a request comes from Slack: HMAC-SHA256 over the raw bytes, within five minutes (contracts.md 4.1).
//! It never looks into a body.

use std::fmt;

use aws_lc_rs::hmac;

/// Longest distance between Slack's clock and ours, either way, in seconds.
pub const WINDOW_SECONDS: u64 = 300;

/// The header that says when a request was signed.
pub const TIMESTAMP_HEADER: &str = "x-slack-request-timestamp";

/// The header that holds the signature.
pub const SIGNATURE_HEADER: &str = "x-slack-signature";

/// Longest timestamp that is read; a later one is centuries away.
const TIMESTAMP_DIGITS_MAX: usize = 12;

/// What the requests of one app are signed with.
#[derive(Clone)]
pub struct SigningSecret(hmac::Key);

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningSecret(…)")
    }
}

/// A secret that would let everybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing secret is empty")]
pub struct EmptySecret;

/// Why a request is not believed. Repeats nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No timestamp, or no signature.
    #[error("a signature header is missing")]
    Missing,
    /// A timestamp that is no number, a signature that is no `v0=` and 64 hexadecimal digits.
    #[error("a signature header is malformed")]
    Malformed,
    /// Signed more than [`WINDOW_SECONDS`] ago, or that far in the future.
    #[error("signed outside of the window of five minutes")]
    Stale,
    /// Somebody else's signature, or another body's.
    #[error("the signature does not match")]
    Mismatch,
}

impl SigningSecret {
    /// A secret; blanks around it are dropped.
    ///
    /// # Errors
    /// [`EmptySecret`], which must keep a function from starting.
    pub fn new(secret: &str) -> Result<Self, EmptySecret> {
        let secret = secret.trim();
        if secret.is_empty() {
            return Err(EmptySecret);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
    }

    /// Checks the raw bytes of a body (base64 undone) against its two headers. `now` is in Unix seconds. A header
    /// that came twice must be handed in joined by a comma, as API Gateway does, and is malformed then.
    ///
    /// # Errors
    /// [`SignatureError`]; whoever gets one answers 401 and reads nothing of the body.
    pub fn verify(
        &self,
        body: &[u8],
        timestamp: Option<&str>,
        signature: Option<&str>,
        now: i64,
    ) -> Result<(), SignatureError> {
        let timestamp = timestamp.ok_or(SignatureError::Missing)?;
        let signature = signature.ok_or(SignatureError::Missing)?;
        let signed_at = seconds(timestamp).ok_or(SignatureError::Malformed)?;
        let digest = digest(signature).ok_or(SignatureError::Malformed)?;
        if signed_at.abs_diff(now) > WINDOW_SECONDS {
            return Err(SignatureError::Stale);
        }
        let signed = [b"v0:", timestamp.as_bytes(), b":", body].concat();
        // Takes the same time wherever the two differ.
        hmac::verify(&self.0, &signed, &digest).map_err(|_| SignatureError::Mismatch)
    }
}

/// Digits only: no sign, no blank, no fraction.
fn seconds(timestamp: &str) -> Option<i64> {
    let digits = (1..=TIMESTAMP_DIGITS_MAX).contains(&timestamp.len())
        && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    if digits { timestamp.parse().ok() } else { None }
}

/// The 32 bytes behind `v0=`, written in small hexadecimal digits.
fn digest(signature: &str) -> Option<[u8; 32]> {
    let hex = signature.strip_prefix("v0=")?.as_bytes();
    if hex.len() != 64 {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(digest)
}

#[cfg(test)]
mod tests;
