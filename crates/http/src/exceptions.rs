//! The exceptions that a deployment makes from the guard's rules. None is made here, and nothing but the exact pair of
//! host and port counts.

use http::Uri;
use http::uri::{Authority, Scheme};

/// Hosts and ports that may be called though they are not public, by http, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exceptions(Vec<(String, u16)>);

/// A list of exceptions that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` is not host:port (an exception is a name or an address, a colon and a port)")]
pub struct ExceptionsError {
    entry: String,
}

impl Exceptions {
    /// Reads `host:port` pairs with commas between them; an empty text has none.
    ///
    /// # Errors
    /// [`ExceptionsError`] names the first entry that is no such pair.
    pub fn parse(list: &str) -> Result<Self, ExceptionsError> {
        if list.trim().is_empty() {
            return Ok(Self::default());
        }
        let pair = |entry: &str| pair(entry).ok_or_else(|| ExceptionsError { entry: entry.to_owned() });
        list.split(',').map(|entry| pair(entry.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a URL's host and port are one of the pairs.
    pub(crate) fn cover(&self, uri: &Uri) -> bool {
        let (Some(host), Some(port)) = (uri.host(), port_of(uri)) else { return false };
        self.0.iter().any(|(name, at)| *at == port && name.eq_ignore_ascii_case(host))
    }
}

/// The port that a URL leads to.
fn port_of(uri: &Uri) -> Option<u16> {
    uri.port_u16().or_else(|| match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => Some(443),
        Some(scheme) if *scheme == Scheme::HTTP => Some(80),
        _ => None,
    })
}

fn pair(entry: &str) -> Option<(String, u16)> {
    let authority: Authority = entry.parse().ok()?;
    let (host, port) = (authority.host(), authority.port_u16()?);
    // An asterisk would look as if it stood for others.
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "-._[]:".contains(sign);
    let whole = !host.is_empty() && host.chars().all(is_plain) && port != 0;
    // Nothing but the two: no user information, no sign that was read over.
    (whole && entry == format!("{host}:{port}")).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(list: &str, uri: &'static str) -> bool {
        Exceptions::parse(list).unwrap().cover(&Uri::from_static(uri))
    }

    #[test]
    fn the_exact_pair_is_excepted_and_nothing_beside_it() {
        let list = "127.0.0.1:8713, shop.test:443,[::1]:9000";
        assert!(covers(list, "http://127.0.0.1:8713/mcp"));
        assert!(covers(list, "https://127.0.0.1:8713"));
        assert!(covers(list, "https://Shop.Test/mcp"));
        assert!(covers(list, "http://[::1]:9000/"));
        for other in [
            "http://127.0.0.1:8714/",
            "http://127.0.0.1/",
            "http://127.0.0.2:8713/",
            "http://localhost:8713/",
            "http://shop.test/",
            "https://a.shop.test/",
            "https://shop.test./",
            "http://[::]:9000/",
        ] {
            assert!(!covers(list, other), "{other}");
        }
        assert_eq!(Exceptions::parse("").unwrap(), Exceptions::default());
        assert_eq!(Exceptions::parse("  ").unwrap(), Exceptions::default());
    }

    #[test]
    fn what_is_no_pair_of_host_and_port_is_named() {
        for entry in [
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:0",
            "127.0.0.1:99999",
            ":8713",
            "http://a:1",
            "a:1/x",
            "a@b:1",
            "a b:1",
            "*:80",
            "a:1:2",
            "a:+1",
            "a:01",
            "::1:80",
        ] {
            let list = format!("b:2,{entry}");
            let said = Exceptions::parse(&list).err().map(|error| error.to_string());
            assert!(said.as_ref().is_some_and(|said| said.contains(entry)), "{entry}: {said:?}");
        }
        assert!(Exceptions::parse("a:1,,b:2").is_err());
        assert!(Exceptions::parse("a:1,").is_err());
    }
}
