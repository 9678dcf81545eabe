//! Sealing and opening with a local key. What KMS says is tested where KMS is called.

use konstruct_ports::BoxFuture;
use konstruct_ports::{DataKey, SealedDataKey};
use proptest::prelude::*;
use serde_json::json;
use tokio::runtime::Builder;
use uuid::Uuid;

use super::*;

/// The bytes 0 to 31.
const MASTER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const TENANT: Uuid = Uuid::from_u128(0x0192_f0a1_0000_7000_8000_0000_0000_00aa);
const ROW: Uuid = Uuid::from_u128(0x0192_f0a1_0000_7000_8000_0000_0000_c001);
const CONTEXT: SecretContext<'_> = SecretContext { tenant: TENANT, row: ROW, purpose: "slack_bot_token" };

/// Sealed by Python's `cryptography` from the description alone: master key 0 to 31, data key 100 to 131, nonces 200 to
/// 211 (data key) and 220 to 231 (secret).
fn vector() -> Value {
    json!({
        "v": 1,
        "key": "local",
        "nonce": "3N3e3+Dh4uPk5ebn",
        "data_key": "yMnKy8zNzs/Q0dLTdR0HvO6lkUsYUXHRbneZZ5Tymt98EtJfkdRFnloQKWpo5wzAzFMmAKsA+fkp3x0F",
        "ciphertext": "2GfpyJHTXSGuRDHiHQgCON5dvt7+s5QzyhF2optV",
    })
}

fn secrets(master: &str) -> Secrets {
    Secrets::new(Arc::new(LocalKeys::new(master, true).unwrap()))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().build().unwrap().block_on(future)
}

fn open(context: &SecretContext<'_>, sealed: &Value) -> Result<String, SecretError> {
    run(secrets(MASTER).open(context, sealed)).map(|secret| secret.to_string())
}

fn sealed(secret: &str) -> Value {
    run(secrets(MASTER).seal(&CONTEXT, secret)).unwrap().to_json()
}

/// proves SLACK-06
#[test]
fn what_somebody_else_sealed_by_the_description_opens() {
    assert_eq!(open(&CONTEXT, &vector()).as_deref(), Ok("xoxb-vector-ä"));
}

/// proves SLACK-06
#[test]
fn what_is_sealed_opens_and_shows_nothing() {
    for secret in ["", "xoxb-ä", &"x".repeat(SECRET_BYTES_MAX)] {
        let kept = sealed(secret);
        assert_eq!(open(&CONTEXT, &kept).as_deref(), Ok(secret));
        assert!(secret.is_empty() || !kept.to_string().contains(secret));
        assert_ne!(sealed(secret), kept, "each time under a fresh key");
    }
    let too_much = "x".repeat(SECRET_BYTES_MAX + 1);
    assert_eq!(run(secrets(MASTER).seal(&CONTEXT, &too_much)).unwrap_err(), SecretError::Unsealable);
}

/// proves SLACK-06
#[test]
fn another_tenant_row_purpose_or_key_opens_nothing() {
    let kept = sealed("xoxb-secret");
    let others = [
        SecretContext { tenant: ROW, ..CONTEXT },
        SecretContext { row: TENANT, ..CONTEXT },
        SecretContext { purpose: "slack_bot_toke", ..CONTEXT },
        SecretContext { purpose: "", ..CONTEXT },
    ];
    for context in others {
        for kept in [&kept, &vector()] {
            assert!(
                matches!(open(&context, kept), Err(SecretError::Keys(KeyError::Refused(_)))),
                "{context}"
            );
        }
    }
    let other = secrets("AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    assert!(run(other.open(&CONTEXT, &kept)).is_err());
}

/// proves SLACK-06
#[test]
fn every_flipped_bit_and_every_missing_byte_is_noticed() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let kept = vector();
    for member in ["nonce", "data_key", "ciphertext"] {
        let bytes = STANDARD.decode(kept[member].as_str().unwrap()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut changed = kept.clone();
            changed[member] = json!(STANDARD.encode(bytes));
            assert!(open(&CONTEXT, &changed).is_err(), "bit {bit} of {member}");
        }
        for left in 0..bytes.len() {
            let mut cut = kept.clone();
            cut[member] = json!(STANDARD.encode(&bytes[..left]));
            assert!(open(&CONTEXT, &cut).is_err(), "{member} cut to {left}");
        }
    }
}

#[test]
fn members_that_are_missing_or_of_another_form_are_named() {
    for member in ["v", "key", "nonce", "data_key", "ciphertext"] {
        for other in [json!(null), json!(2), json!(""), json!("!"), json!({}), json!("x".repeat(100_000))] {
            let mut changed = vector();
            changed[member] = other;
            let expected = if member == "key" && changed[member] == json!("!") {
                SecretError::Keys(KeyError::Refused("not sealed by this key for this".to_owned()))
            } else {
                SecretError::Malformed(member)
            };
            assert_eq!(open(&CONTEXT, &changed), Err(expected));
        }
        let mut less = vector();
        less.as_object_mut().unwrap().remove(member);
        assert_eq!(open(&CONTEXT, &less), Err(SecretError::Malformed(member)));
    }
}

/// proves SLACK-06
#[test]
fn a_local_key_refuses_to_exist_in_lambda() {
    let refused = LocalKeys::new(MASTER, false).unwrap_err();
    assert_eq!(refused, NoLocalKeys::NotLocal);
    assert!(refused.to_string().contains("SECRETS_KMS_KEY_ID"));
    for not_a_key in ["", "AAEC", "not base64", &MASTER[1..]] {
        assert_eq!(LocalKeys::new(not_a_key, true).unwrap_err(), NoLocalKeys::NotAKey);
    }
}

/// proves SLACK-06
#[test]
fn neither_key_nor_secret_is_in_any_debug_output_or_error() {
    let keys = LocalKeys::new(MASTER, true).unwrap();
    let sealed = run(secrets(MASTER).seal(&CONTEXT, "xoxb-secret")).unwrap();
    let error = open(&SecretContext { row: TENANT, ..CONTEXT }, &sealed.to_json()).unwrap_err();
    let said = format!("{keys:?} {:?} {sealed:?} {error:?} {error}", secrets(MASTER));
    assert_eq!(
        said,
        "LocalKeys(…) Secrets Sealed { key: \"local\", .. } \
         Keys(Refused(\"not sealed by this key for this\")) the keys refuse: not sealed by this key for this"
    );
}

/// Keys that are away.
struct Away;

impl DataKeys for Away {
    fn generate<'a>(
        &'a self,
        _: &'a SecretContext<'a>,
    ) -> BoxFuture<'a, Result<(DataKey, SealedDataKey), KeyError>> {
        Box::pin(async { Err(KeyError::Away("x".to_owned())) })
    }

    fn open<'a>(
        &'a self,
        _: &'a SealedDataKey,
        _: &'a SecretContext<'a>,
    ) -> BoxFuture<'a, Result<DataKey, KeyError>> {
        Box::pin(async { Err(KeyError::Away("x".to_owned())) })
    }
}

#[test]
fn only_keys_that_are_away_are_worth_another_try() {
    let away = Secrets::new(Arc::new(Away));
    assert!(run(away.seal(&CONTEXT, "x")).unwrap_err().is_retryable());
    assert!(run(away.open(&CONTEXT, &vector())).unwrap_err().is_retryable());
    assert!(!run(away.open(&CONTEXT, &json!({}))).unwrap_err().is_retryable());
    assert!(!open(&SecretContext { purpose: "x", ..CONTEXT }, &vector()).unwrap_err().is_retryable());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        "[A-Za-z0-9+/]{0,90}={0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let name = prop_oneof![Just("v"), Just("key"), Just("nonce"), Just("data_key"), Just("ciphertext")];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name.prop_map(str::to_owned), inner, 0..6).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    /// proves SLACK-06
    #[test]
    fn no_json_panics_and_none_opens(kept in any_json(), member in 0_usize..5) {
        prop_assert!(open(&CONTEXT, &kept).is_err());
        let mut changed = vector();
        changed[["v", "key", "nonce", "data_key", "ciphertext"][member]] = kept;
        prop_assert!(changed == vector() || open(&CONTEXT, &changed).is_err());
    }
}
