//! JWT → [`Principal`] (protocol.md section 1). Which keys and algorithms count is configuration; membership is
//! not looked up here.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use konstruct_domain::id::parse_uuid;
use konstruct_domain::{Principal, Role, TenantId, UserId};
use serde::Deserialize;

use crate::jwks::Jwks;

/// Clock leeway, seconds.
pub(crate) const LEEWAY_SECONDS: u64 = 60;
/// A shared secret has at least so many bytes.
const SECRET_BYTES_MIN: usize = 32;
/// A longer token is none.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What tokens are verified with.
pub enum Keys {
    /// HS256 with a shared secret.
    Secret(Box<DecodingKey>),
    /// RS256, ES256, EdDSA against a JWKS.
    Jwks(Jwks),
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// A shared secret.
    ///
    /// # Errors
    /// It has fewer than 32 bytes: an error at start.
    pub fn secret(secret: &[u8]) -> Result<Self, AuthError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(AuthError::WeakSecret);
        }
        Ok(Self::Secret(Box::new(DecodingKey::from_secret(secret))))
    }
}

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is not good; the text says why and repeats nothing of it.
    #[error("The token is not valid: {0}.")]
    Refused(&'static str),
    /// The keys cannot be had and none are cached: not the token's fault.
    #[error("The keys to verify the token with cannot be had at the moment.")]
    KeysAway,
    /// At start only.
    #[error("JWT_SECRET has fewer than 32 bytes")]
    WeakSecret,
}

/// Verifies tokens.
#[derive(Debug)]
pub struct Verifier {
    keys: Keys,
    issuer: String,
    audience: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    role: String,
    tenant_id: Option<String>,
    exp: f64,
}

impl Verifier {
    /// A verifier of tokens of this issuer for this audience.
    #[must_use]
    pub fn new(keys: Keys, issuer: &str, audience: &str) -> Self {
        Self { keys, issuer: issuer.to_owned(), audience: audience.to_owned() }
    }

    /// What a token says, if it is good at the second `now` (since 1970).
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn verify(&self, token: &str, now: i64) -> Result<Principal, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::Refused("it is too long"));
        }
        let header = decode_header(token).map_err(|_| AuthError::Refused("its header is not one"))?;
        if header.jku.is_some() || header.x5u.is_some() || header.jwk.is_some() || has_crit(token) {
            return Err(AuthError::Refused("its header names keys or extensions of its own"));
        }
        match &self.keys {
            Keys::Secret(key) => self.check(token, key, Algorithm::HS256),
            Keys::Jwks(jwks) => {
                let (key, algorithm) = jwks.find(header.kid.as_deref(), header.alg, now).await?;
                self.check(token, &key, algorithm)
            }
        }
    }

    fn check(&self, token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Principal, AuthError> {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = decode::<Claims>(token, key, &validation).map_err(|error| refusal(&error))?.claims;
        principal(&claims)
    }
}

fn refusal(error: &jsonwebtoken::errors::Error) -> AuthError {
    use jsonwebtoken::errors::ErrorKind;
    AuthError::Refused(match error.kind() {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::InvalidIssuer => "it is of another issuer",
        ErrorKind::MissingRequiredClaim(_) => "a claim is missing",
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => "its signature does not fit",
        _ => "it is not a token with the claims we need",
    })
}

fn principal(claims: &Claims) -> Result<Principal, AuthError> {
    let bad = AuthError::Refused("a claim has another form");
    let role = Role::parse(&claims.role).ok_or_else(|| bad.clone())?;
    let user_id = UserId(parse_uuid(&claims.sub).map_err(|_| bad.clone())?);
    let tenant_id = match &claims.tenant_id {
        Some(text) => Some(TenantId(parse_uuid(text).map_err(|_| bad)?)),
        None if role == Role::PlatformAdmin => None,
        None => return Err(AuthError::Refused("a claim is missing")),
    };
    Ok(Principal {
        user_id,
        role,
        tenant_id,
        // Seconds; a fraction of one does not matter.
        expires_at: claims.exp as i64,
    })
}

/// Whether the header has `crit`: extensions we would have to understand.
fn has_crit(token: &str) -> bool {
    use base64::Engine as _;
    #[derive(Deserialize)]
    struct Crit {
        crit: Option<serde_json::Value>,
    }
    let header = token.split('.').next().unwrap_or_default();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    serde_json::from_slice::<Crit>(&json).is_ok_and(|header| header.crit.is_some())
}
