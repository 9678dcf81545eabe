//! Tokens, minted with the stack's secret, good ones and forged ones. Written by hand: a library would refuse to make
//! the bad ones.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::stack::{Stack, User};
use crate::unlogged;

/// The claims of a good token.
pub fn claims(user: &User, role: &str) -> Value {
    let jwt = &Stack::get().info["jwt"];
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    json!({
        "sub": user.id, "role": role, "tenant_id": user.tenant,
        "iss": jwt["issuer"], "aud": jwt["audience"], "iat": now, "exp": now + 3600,
    })
}

/// Signs claims with HS256 under a header.
pub fn sign(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
    unlogged::secret(&token);
    token
}

/// The stack's own secret.
pub fn secret() -> String {
    Stack::get().info["jwt"]["secret"].as_str().expect("a secret").to_owned()
}

/// A good token of a user.
pub fn mint(user: &User, role: &str) -> String {
    sign(&json!({"alg": "HS256", "typ": "JWT"}), &claims(user, role), &secret())
}

/// Tokens that must be refused, each with what is wrong with it.
pub fn bad_tokens(user: &User) -> Vec<(&'static str, String)> {
    let good = claims(user, "tenant_member");
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let with = |changes: Value| {
        let mut claims = good.clone();
        for (name, value) in changes.as_object().expect("changes") {
            if value.is_null() {
                claims.as_object_mut().expect("claims").remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        sign(&header, &claims, &secret())
    };
    let none = json!({"alg": "none"});
    let unsigned = sign(&none, &good, "");
    let stripped = format!("{}.", unsigned.rsplit_once('.').expect("three parts").0);
    let valid = sign(&header, &good, &secret());
    vec![
        ("no token at all", "x".to_owned()),
        ("another secret", sign(&header, &good, "another-secret-of-at-least-32-bytes!")),
        ("alg none with a signature", unsigned),
        ("alg none without one", stripped),
        ("alg HS384", sign(&json!({"alg": "HS384"}), &good, &secret())),
        ("crit", sign(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &good, &secret())),
        ("jku", sign(&json!({"alg": "HS256", "jku": "https://evil.example/keys"}), &good, &secret())),
        ("x5u", sign(&json!({"alg": "HS256", "x5u": "https://evil.example/cert"}), &good, &secret())),
        ("a changed signature", format!("{}A", &valid[..valid.len() - 1])),
        ("expired", with(json!({"exp": 1_000}))),
        ("not valid yet", with(json!({"nbf": 4_000_000_000_u64}))),
        ("another audience", with(json!({"aud": "someone-else"}))),
        ("another issuer", with(json!({"iss": "https://evil.example"}))),
        ("sub no UUID", with(json!({"sub": "nobody"}))),
        ("no sub", with(json!({"sub": null}))),
        ("no role", with(json!({"role": null}))),
        ("an unknown role", with(json!({"role": "root"}))),
        ("no tenant", with(json!({"tenant_id": null}))),
        ("no exp", with(json!({"exp": null}))),
        ("no iss", with(json!({"iss": null}))),
        ("no aud", with(json!({"aud": null}))),
        ("exp a text", with(json!({"exp": "tomorrow"}))),
    ]
}
