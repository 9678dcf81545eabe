//! Ids in the forms AWS makes them.
//! They only have to look right and be different; nothing may rely on their order.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use uuid::Uuid;

use crate::clock::now_ms;

/// A random UUID.
#[allow(clippy::disallowed_methods, reason = "the local stack's one source of ids")]
pub fn uuid() -> Uuid {
    Uuid::new_v4()
}

/// An id of API Gateway (`TXzPWdnOjoECGjA=`): of a request, a message or a connection. The `=` at
/// its end is the reason why it must be percent-encoded in a path.
pub fn gateway_id() -> String {
    // Eleven bytes give fifteen characters and one `=`; the first five of a v4 id are random.
    let random = uuid().into_bytes();
    let second = uuid().into_bytes();
    let bytes: Vec<u8> = random.into_iter().take(5).chain(second.into_iter().take(6)).collect();
    BASE64_URL_SAFE.encode(bytes)
}

/// An X-Ray root as load balancers make it.
pub fn trace_root() -> String {
    let random = uuid().simple().to_string();
    format!("Root=1-{:08x}-{}", now_ms() / 1000, random.get(..24).unwrap_or_default())
}

/// The trace header a function is given.
pub fn lambda_trace() -> String {
    let parent = uuid().simple().to_string();
    format!("{};Parent={};Sampled=0", trace_root(), parent.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_ids_look_like_real_ones() {
        let id = gateway_id();
        assert_eq!(id.len(), "TXzPWdnOjoECGjA=".len());
        assert!(id.ends_with('=') && !id.ends_with("=="), "{id}");
        assert_ne!(id, gateway_id());
    }
}
