//! Which addresses are public. What is not surely public counts as private, and no name is looked up here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address belongs to the public internet (IANA's special-purpose registries).
#[must_use]
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

const fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127, ..)              // "this network", private, loopback
            | (100, 64..=127, _)        // shared with the provider (CGNAT)
            | (169, 254, _)             // link-local, and the clouds' metadata
            | (172, 16..=31, _)         // private
            | (192, 0, 0 | 2)           // protocol assignments, documentation
            | (192, 88, 99)             // 6to4 relays, withdrawn
            | (192, 168, _)             // private
            | (198, 18 | 19, _)         // benchmarks
            | (198, 51, 100)            // documentation
            | (203, 0, 113)             // documentation
            | (224..=255, ..) // multicast, reserved, broadcast
    )
}

/// Only 2000::/3 is handed out to the public, and of it not everything; outside of it only NAT64's well-known prefix
/// leads there.
const fn is_global_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, ..] = address.segments();
    match (a, b) {
        // Translated to IPv4: as good as the address inside.
        (0x64, 0xff9b) if c == 0 && d == 0 && e == 0 && f == 0 => is_global_v4(last_four(address)),
        (0x2002, _) => is_global_v4(second_four(address)),
        // Protocol assignments: Teredo, benchmarks, ORCHID.
        (0x2001, 0..=0x01ff) => false,
        // Documentation.
        (0x2001, 0x0db8) | (0x3fff, 0..=0x0fff) => false,
        (0x2000..=0x3fff, _) => true,
        _ => false,
    }
}

const fn last_four(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

const fn second_four(address: Ipv6Addr) -> Ipv4Addr {
    let [_, _, a, b, c, d, ..] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(addresses: &[&str]) -> Vec<(String, bool)> {
        let judge = |text: &&str| ((*text).to_owned(), is_global(text.parse().unwrap()));
        addresses.iter().map(judge).collect()
    }

    /// IPv4, each range at its first and last address or near them.
    const PRIVATE_V4: &[&str] = &[
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.255",
        "192.0.2.0",
        "192.0.2.255",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.0",
        "198.51.100.255",
        "203.0.113.0",
        "203.0.113.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
    ];

    /// IPv6, with IPv4 in disguise among them.
    const PRIVATE_V6: &[&str] = &[
        "::",
        "::1",
        "::2",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "fdff::1",
        "ff02::1",
        "ff0e::1",
        "100::1",
        "100:0:0:1::1",
        "2001:db8::1",
        "2001:db8:ffff::1",
        "3fff::1",
        "3fff:fff::1",
        "2001::1",
        "2001:0:4136:e378::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:1ff::1",
        "4000::1",
        "5f00::1",
        "1fff::1",
        "e000::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b:0:1::8.8.8.8",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::1",
        "2002:a00:1::",
        "2002:c0a8:101::1",
    ];

    #[test]
    fn no_private_reserved_or_disguised_address_is_public() {
        let refused = [PRIVATE_V4, PRIVATE_V6].concat();
        assert!(refused.len() >= 60);
        let wrong: Vec<_> = judged(&refused).into_iter().filter(|(_, global)| *global).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn public_addresses_are_public() {
        let allowed = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2001:db7::1",
            "2001:db9::1",
            "2a00:1450::1",
            "3ffe::1",
            "3fff:1000::1",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ];
        let wrong: Vec<_> = judged(&allowed).into_iter().filter(|(_, global)| !global).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
