//! The keys of an identity provider: fetched when they are first needed, fresh for an hour, usable for a day,
//! fetched once more for an unknown `kid` (at most every 30 s). Nothing of a token decides where keys come from.

use std::collections::HashMap;
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey};
use konstruct_http::Client;
use konstruct_ports::BoxFuture;
use tokio::sync::Mutex;

use crate::auth::AuthError;

/// Keys are fresh for so many seconds.
const FRESH: i64 = 3_600;
/// And usable for so many, while new ones cannot be had.
const USABLE: i64 = 24 * 3_600;
/// Between two fetches for unknown `kid`s, or after one that failed.
const FETCH_EVERY: i64 = 30;
/// Largest key set, bytes.
const BYTES_MAX: usize = 64 * 1024;
/// Longest fetch.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Gets the key set's text.
pub trait FetchJwks: Send + Sync {
    /// Its bytes, or why not.
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>>;
}

/// Fetches over HTTPS, without redirects.
pub(crate) struct HttpJwks {
    client: Client,
    uri: http::Uri,
}

impl HttpJwks {
    pub(crate) fn new(client: Client, url: &str) -> Result<Self, String> {
        let uri: http::Uri = url.parse().map_err(|_| "JWT_JWKS_URL is no URL".to_owned())?;
        if uri.scheme_str() != Some("https") {
            return Err("JWT_JWKS_URL must be https".to_owned());
        }
        Ok(Self { client, uri })
    }
}

impl FetchJwks for HttpJwks {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async {
            let request =
                http::Request::get(&self.uri).body(Default::default()).map_err(|e| e.to_string())?;
            let get = async {
                let response = self.client.send(request).await.map_err(|e| e.to_string())?;
                if response.status != http::StatusCode::OK {
                    return Err(format!("status {}", response.status));
                }
                response.body.collect(BYTES_MAX).await.map_err(|e| e.to_string())
            };
            match tokio::time::timeout(TIMEOUT, get).await {
                Ok(body) => body.map(|bytes| bytes.to_vec()),
                Err(_) => Err("no answer within 2 s".to_owned()),
            }
        })
    }
}

#[derive(Default)]
struct Cache {
    keys: HashMap<String, (DecodingKey, Algorithm)>,
    fetched_at: Option<i64>,
    tried_at: Option<i64>,
}

/// A cached key set.
pub struct Jwks {
    fetch: Box<dyn FetchJwks>,
    cache: Mutex<Cache>,
}

impl std::fmt::Debug for Jwks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jwks")
    }
}

impl Jwks {
    /// A key set that is fetched when it is needed.
    #[must_use]
    pub fn new(fetch: Box<dyn FetchJwks>) -> Self {
        Self { fetch, cache: Mutex::new(Cache::default()) }
    }

    /// The key of that id, if it is for that algorithm.
    ///
    /// # Errors
    /// The token is refused, or the keys cannot be had.
    pub async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: i64,
    ) -> Result<(DecodingKey, Algorithm), AuthError> {
        let kid = kid.ok_or(AuthError::Refused("its header names no key"))?;
        let mut cache = self.cache.lock().await;
        let age = cache.fetched_at.map(|at| now - at);
        let stale = age.is_none_or(|age| age >= FRESH);
        let may_try = cache.tried_at.is_none_or(|at| now - at >= FETCH_EVERY);
        if (stale || !cache.keys.contains_key(kid)) && may_try {
            cache.tried_at = Some(now);
            match self.fetch.fetch().await.and_then(|text| parse(&text)) {
                Ok(keys) => {
                    cache.keys = keys;
                    cache.fetched_at = Some(now);
                }
                Err(error) => tracing::warn!(%error, "the key set could not be fetched"),
            }
        }
        if cache.fetched_at.is_none_or(|at| now - at >= USABLE) {
            return Err(AuthError::KeysAway);
        }
        match cache.keys.get(kid) {
            Some((key, of)) if *of == algorithm => Ok((key.clone(), *of)),
            Some(_) => Err(AuthError::Refused("its algorithm is not its key's")),
            None => Err(AuthError::Refused("its key is not known")),
        }
    }
}

fn parse(text: &[u8]) -> Result<HashMap<String, (DecodingKey, Algorithm)>, String> {
    let set: JwkSet = serde_json::from_slice(text).map_err(|_| "it is no key set".to_owned())?;
    Ok(set.keys.iter().filter_map(usable).collect())
}

/// A signing key with an id and one of our algorithms; others are passed over.
fn usable(jwk: &Jwk) -> Option<(String, (DecodingKey, Algorithm))> {
    use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve};
    let algorithm = match (&jwk.algorithm, jwk.common.key_algorithm) {
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
        (AlgorithmParameters::EllipticCurve(ec), None | Some(KeyAlgorithm::ES256))
            if ec.curve == EllipticCurve::P256 =>
        {
            Algorithm::ES256
        }
        (AlgorithmParameters::OctetKeyPair(okp), None | Some(KeyAlgorithm::EdDSA))
            if okp.curve == EllipticCurve::Ed25519 =>
        {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    Some((jwk.common.key_id.clone()?, (DecodingKey::from_jwk(jwk).ok()?, algorithm)))
}
