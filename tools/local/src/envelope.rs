//! A secret as the product keeps it in the database: sealed with a key of its own, which is sealed with the
//! stack's (AES-256-GCM twice). Written from the format's description, not shared with the product.
//!
//! ```json
//! {"v": 1, "key": "local", "nonce": "<12 bytes>", "data_key": "<nonce of 12 bytes, sealed key>", "ciphertext": "…"}
//! ```
//!
//! All values are base64; a tag stands behind what it belongs to; both seals are bound to the same context.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::error::{Context, Result};
use crate::secrets::random_bytes;

const KEY_LENGTH: usize = 32;

/// Seals `secret` under `key` for `context`.
pub fn seal(key: &[u8], context: &str, secret: &str) -> Result<Value> {
    let data_key = random_bytes(KEY_LENGTH)?;
    let (key_nonce, sealed_key) = encrypt(key, context, &data_key)?;
    let (nonce, ciphertext) = encrypt(&data_key, context, secret.as_bytes())?;
    let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    Ok(json!({
        "v": 1,
        "key": "local",
        "nonce": encode(&nonce),
        "data_key": encode(&[key_nonce, sealed_key].concat()),
        "ciphertext": encode(&ciphertext),
    }))
}

/// What was sealed; none where this key and context do not open it.
pub fn open(key: &[u8], context: &str, sealed: &Value) -> Option<String> {
    let member = |name: &str| BASE64_STANDARD.decode(sealed.get(name)?.as_str()?).ok();
    if sealed.get("v")? != 1 || sealed.get("key")? != "local" {
        return None;
    }
    let data_key = member("data_key")?;
    let (key_nonce, sealed_key) = data_key.split_at_checked(NONCE_LEN)?;
    let data_key = decrypt(key, context, key_nonce, sealed_key)?;
    let secret = decrypt(&data_key, context, &member("nonce")?, &member("ciphertext")?)?;
    String::from_utf8(secret).ok()
}

fn encrypt(key: &[u8], context: &str, plain: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let key = UnboundKey::new(&AES_256_GCM, key).context("the key of stored secrets")?;
    let nonce = random_bytes(NONCE_LEN)?;
    let used = Nonce::try_assume_unique_for_key(&nonce).context("a nonce")?;
    let mut sealed = plain.to_vec();
    LessSafeKey::new(key)
        .seal_in_place_append_tag(used, Aad::from(context), &mut sealed)
        .context("a secret cannot be sealed")?;
    Ok((nonce, sealed))
}

fn decrypt(key: &[u8], context: &str, nonce: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut sealed = sealed.to_vec();
    key.open_in_place(nonce, Aad::from(context), &mut sealed).ok().map(|plain| plain.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const CONTEXT: &str = "tenant=t&row=r&purpose=p";
    /// Sealed under both by Python's `cryptography`.
    const FOREIGN: &str = r#"{
        "v": 1, "key": "local", "nonce": "DA0ODxAREhMUFRYX",
        "data_key": "AAECAwQFBgcICQoLGIDrcxkM305/u++X7lVi9fEtpJ0Md2EmDtd5oZLKcxpeEvgHft+DymqfvjiT14NU",
        "ciphertext": "4JERulIQjjxaBy254u5RjzBxiLVQOSkhisiVbN7yhRSW5/Y="
    }"#;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_context_only() {
        let sealed = seal(&KEY, CONTEXT, "xoxb-ä").unwrap();
        assert_eq!(open(&KEY, CONTEXT, &sealed).as_deref(), Some("xoxb-ä"));
        assert_eq!(open(&[8; 32], CONTEXT, &sealed), None);
        assert_eq!(open(&KEY, "tenant=t&row=s&purpose=p", &sealed), None);
        assert!(!sealed.to_string().contains("xoxb"));
        assert_ne!(seal(&KEY, CONTEXT, "xoxb-ä").unwrap(), sealed);
    }

    #[test]
    fn parts_have_the_lengths_of_the_format() {
        let sealed = seal(&KEY, CONTEXT, "four").unwrap();
        let length = |name: &str| BASE64_STANDARD.decode(sealed[name].as_str().unwrap()).unwrap().len();
        assert_eq!((length("nonce"), length("data_key"), length("ciphertext")), (12, 12 + 32 + 16, 4 + 16));
        assert_eq!((&sealed["v"], &sealed["key"]), (&json!(1), &json!("local")));
    }

    #[test]
    fn what_others_sealed_in_this_format_opens() {
        let sealed: Value = serde_json::from_str(FOREIGN).unwrap();
        assert_eq!(open(&KEY, CONTEXT, &sealed).as_deref(), Some("xoxb-from-elsewhere"));
    }

    #[test]
    fn what_is_not_sealed_or_was_changed_does_not_open() {
        let sealed = seal(&KEY, CONTEXT, "xoxb-1").unwrap();
        for name in ["nonce", "data_key", "ciphertext"] {
            for broken in [json!(null), json!("!"), json!(""), json!(BASE64_STANDARD.encode([1; 60]))] {
                let mut changed = sealed.clone();
                changed[name] = broken;
                assert_eq!(open(&KEY, CONTEXT, &changed), None, "{name}");
            }
        }
        for other in [json!(null), json!("xoxb-1"), json!({}), json!({"v": 2})] {
            assert_eq!(open(&KEY, CONTEXT, &other), None);
        }
    }
}
