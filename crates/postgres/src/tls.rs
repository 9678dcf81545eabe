//! Whom TLS to Postgres trusts: the public roots, and those of RDS, which are in nobody's list. It never skips a
//! check, and reads nothing before the first connection.
//!
//! `rds_roots.der`, beside `src`, has the three current roots of each commercial region one behind the other, as AWS publishes
//! them; they end in 2061 at the earliest. `tools/setup/rds-roots` renews the file, which a new region needs.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where the public roots come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Roots {
    /// Mozilla's, compiled in: nothing is parsed.
    #[default]
    CompiledIn,
    /// The machine's own (`TLS_ROOTS=native`).
    Native,
}

const RDS_ROOTS: &[u8] = include_bytes!("../rds_roots.der");

/// TLS for a database that is found at one of these hosts.
pub(crate) fn connector<'a>(roots: Roots, hosts: impl IntoIterator<Item = &'a str>) -> MakeRustlsConnect {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let store = Arc::new(store(roots, hosts));
    // aws-lc has both versions of the protocol, so this does not fail; without trust no handshake would succeed.
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(Arc::clone(&store)).with_no_client_auth())
        .unwrap_or_else(|_| ClientConfig::builder().with_root_certificates(store).with_no_client_auth());
    MakeRustlsConnect::new(config)
}

fn store<'a>(roots: Roots, hosts: impl IntoIterator<Item = &'a str>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::CompiledIn => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Roots::Native => {
            let (valid, _) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if valid == 0 {
                tracing::error!("TLS_ROOTS=native: this machine has no roots");
            }
        }
    }
    if let Some(region) = hosts.into_iter().find_map(rds_region) {
        let (valid, _) = store.add_parsable_certificates(rds_roots(region));
        if valid == 0 {
            tracing::error!(region, "no root of RDS is compiled in for this region: tools/setup/rds-roots");
        }
    }
    store
}

/// The region of a host of RDS or Aurora: `{name}.{…}.{region}.rds.amazonaws.com`.
fn rds_region(host: &str) -> Option<&str> {
    host.strip_suffix(".rds.amazonaws.com")?.rsplit('.').next()
}

/// Where in a root its issuer, which is itself, has been named: looking no further is four times as fast.
const NAMED_WITHIN: usize = 256;

/// The roots of RDS in one region: a database of another is not trusted.
fn rds_roots(region: &str) -> impl Iterator<Item = CertificateDer<'static>> {
    let name = format!("Amazon RDS {region} Root CA");
    certificates(RDS_ROOTS)
        .filter(move |root| {
            let start = root.get(..NAMED_WITHIN).unwrap_or(root);
            start.windows(name.len()).any(|part| part == name.as_bytes())
        })
        .map(CertificateDer::from)
}

/// DER certificates that stand one behind the other: each begins with `30 82` and the length of what follows.
fn certificates(mut bytes: &'static [u8]) -> impl Iterator<Item = &'static [u8]> {
    std::iter::from_fn(move || {
        let [0x30, 0x82, high, low, ..] = bytes else { return None };
        let (first, rest) = bytes.split_at_checked(4 + usize::from(u16::from_be_bytes([*high, *low])))?;
        bytes = rest;
        Some(first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_in_the_hosts_name() {
        for (host, region) in [
            ("live.c0ffee.eu-central-1.rds.amazonaws.com", Some("eu-central-1")),
            ("live.cluster-ro-c0ffee.us-east-1.rds.amazonaws.com", Some("us-east-1")),
            ("live.proxy-c0ffee.us-west-2.rds.amazonaws.com", Some("us-west-2")),
            ("db.example.com", None),
            ("rds.amazonaws.com", None),
            ("live.eu-central-1.rds.amazonaws.com.example.com", None),
        ] {
            assert_eq!(rds_region(host), region, "{host}");
        }
    }

    #[test]
    fn each_region_has_three_roots_and_all_of_them_parse() {
        let roots: Vec<_> = certificates(RDS_ROOTS).collect();
        assert_eq!(roots.iter().map(|root| root.len()).sum::<usize>(), RDS_ROOTS.len());
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(CertificateDer::from(*root)).unwrap();
        }
        assert!(roots.len() >= 81 && roots.len() % 3 == 0);
        for region in ["eu-central-1", "us-east-1", "ap-southeast-2", "ap-northeast-3", "me-central-1"] {
            assert_eq!(rds_roots(region).count(), 3, "{region}");
        }
        assert_eq!(rds_roots("mars-north-1").count(), 0);
    }

    #[test]
    fn a_host_of_rds_is_trusted_by_its_regions_roots_beside_the_public_ones() {
        let public = store(Roots::CompiledIn, ["db.example.com"]).len();
        let rds = store(Roots::CompiledIn, ["live.c0ffee.eu-central-1.rds.amazonaws.com"]).len();
        assert!(public > 100);
        assert_eq!(rds, public + 3);
    }
}
