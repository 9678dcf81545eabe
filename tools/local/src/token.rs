//! The demo users' tokens (HS256).
//! It only signs: checking a token is the product's work, never the gateway's.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;

use crate::clock::now_ms;
use crate::secrets::sign;

/// Issuer of the demo tokens.
pub const ISSUER: &str = "https://konstruct.example/local";
/// Audience of the demo tokens.
pub const AUDIENCE: &str = "konstruct-chat";
const LIFETIME_S: u64 = 30 * 86_400;

/// A token for `user`, valid for 30 days; without `tenant` it names none.
pub fn mint(secret: &str, user: &str, role: &str, tenant: Option<&str>) -> String {
    let now = now_ms() / 1000;
    let mut claims = json!({
        "sub": user, "role": role, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + LIFETIME_S,
    });
    if let (Some(tenant), Some(claims)) = (tenant, claims.as_object_mut()) {
        claims.insert("tenant_id".into(), tenant.into());
    }
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let signed = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(secret.as_bytes(), signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_three_parts_and_the_claims() {
        let token = mint("secret", "user", "tenant_admin", Some("tenant"));
        let parts: Vec<_> = token.split('.').collect();
        assert_eq!(parts.len(), 3);
        let claims: serde_json::Value =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        assert_eq!(claims["tenant_id"], "tenant");
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), LIFETIME_S);
    }

    #[test]
    fn a_platform_admins_token_names_no_tenant() {
        let token = mint("secret", "user", "platform_admin", None);
        let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        assert!(!String::from_utf8(claims).unwrap().contains("tenant_id"));
    }
}
