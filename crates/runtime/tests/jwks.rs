//! Keys of an identity provider: when they are fetched, for how long they count, and what they are good for. It
//! fetches nothing over a network.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jsonwebtoken::Algorithm;
use konstruct_ports::BoxFuture;
use konstruct_runtime::identity::{AuthError, FetchJwks, Jwks, Keys};

/// One P-256 key, from RFC 7515 appendix A.3.
const KEY: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"one","use":"sig","alg":"ES256",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

#[derive(Clone, Default)]
struct Provider {
    answer: Arc<Mutex<Option<&'static str>>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    fn with(answer: &'static str) -> Self {
        let provider = Self::default();
        provider.says(Some(answer));
        provider
    }

    fn says(&self, answer: Option<&'static str>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl FetchJwks for Provider {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = *self.answer.lock().unwrap();
        Box::pin(async move { answer.map(|a| a.as_bytes().to_vec()).ok_or_else(|| "away".to_owned()) })
    }
}

/// proves CHAT-06
#[tokio::test]
async fn keys_are_fetched_once_an_hour_and_usable_for_a_day() {
    let provider = Provider::with(KEY);
    let keys = Jwks::new(Box::new(provider.clone()));
    for now in [0, 10, 3_599] {
        assert!(keys.find(Some("one"), Algorithm::ES256, now).await.is_ok());
    }
    assert_eq!(provider.asked(), 1);
    provider.says(None);
    assert!(keys.find(Some("one"), Algorithm::ES256, 3_600).await.is_ok(), "stale, but usable");
    assert!(keys.find(Some("one"), Algorithm::ES256, 86_399).await.is_ok());
    let gone = keys.find(Some("one"), Algorithm::ES256, 86_400).await.err();
    assert_eq!(gone, Some(AuthError::KeysAway));
}

/// proves CHAT-06
#[tokio::test]
async fn an_unknown_key_is_looked_for_once_in_thirty_seconds() {
    let provider = Provider::with(KEY);
    let keys = Jwks::new(Box::new(provider.clone()));
    for now in 0..29 {
        assert!(matches!(
            keys.find(Some("two"), Algorithm::ES256, now).await.err(),
            Some(AuthError::Refused(_))
        ));
    }
    assert_eq!(provider.asked(), 1);
    let _ = keys.find(Some("two"), Algorithm::ES256, 30).await;
    assert_eq!(provider.asked(), 2);
}

/// proves CHAT-06
#[tokio::test]
async fn a_key_is_good_for_its_own_algorithm_only_and_no_key_is_no_token() {
    let keys = Jwks::new(Box::new(Provider::with(KEY)));
    for (kid, algorithm) in
        [(Some("one"), Algorithm::RS256), (Some("one"), Algorithm::HS256), (None, Algorithm::ES256)]
    {
        assert!(matches!(keys.find(kid, algorithm, 0).await.err(), Some(AuthError::Refused(_))));
    }
    let none = Jwks::new(Box::new(Provider::default()));
    assert_eq!(none.find(Some("one"), Algorithm::ES256, 0).await.err(), Some(AuthError::KeysAway));
}

/// proves CHAT-06
#[test]
fn a_shared_secret_of_less_than_32_bytes_is_an_error_at_start() {
    assert!(matches!(Keys::secret(&[0; 31]), Err(AuthError::WeakSecret)));
    assert!(Keys::secret(&[0; 32]).is_ok());
}
