//! Whom TLS trusts. Roots are never read before the first connection.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::HttpError;

/// Where the roots of trust come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Roots {
    /// Mozilla's, compiled in: nothing is parsed at start (rust-lambda.md 2.2).
    #[default]
    CompiledIn,
    /// The machine's own (`TLS_ROOTS=native`): a changed chain then needs no new build. Costs some 3 ms.
    Native,
}

/// The TLS set-up; aws-lc, named here so that it does not depend on which library was installed first.
pub(crate) fn config(roots: Roots) -> Result<ClientConfig, HttpError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| HttpError::Tls("no protocol version in common with the library"))?;
    Ok(builder.with_root_certificates(store(roots)?).with_no_client_auth())
}

fn store(roots: Roots) -> Result<RootCertStore, HttpError> {
    match roots {
        Roots::CompiledIn => Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }),
        Roots::Native => {
            let mut store = RootCertStore::empty();
            let (valid, _) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if valid == 0 { Err(HttpError::Tls("no native roots")) } else { Ok(store) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_roots_trust_amazon_and_others() {
        assert!(store(Roots::CompiledIn).unwrap().len() > 100);
        assert!(config(Roots::CompiledIn).is_ok());
    }
}
