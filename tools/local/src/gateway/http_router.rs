//! Which route of the HTTP API a request takes.
//! The order is AWS's: exact before variables before a greedy one before `$default`.

use std::collections::BTreeMap;

use crate::template::Integration;

use super::parameters::decode;

/// A route that fits, with what its variables stand for.
#[derive(Debug)]
pub struct Match<'a> {
    /// The route's key.
    pub key: &'a str,
    /// Its function.
    pub integration: &'a Integration,
    /// Its path variables, decoded.
    pub variables: Vec<(String, String)>,
}

/// The best route for a request.
pub fn find<'a>(routes: &'a BTreeMap<String, Integration>, method: &str, path: &str) -> Option<Match<'a>> {
    let fits = routes.iter().filter_map(|(key, integration)| {
        let (wanted, pattern) = key.split_once(' ')?;
        if wanted != method && wanted != "ANY" {
            return None;
        }
        let (rank, variables) = compare(pattern, path)?;
        Some(((rank, wanted == "ANY"), Match { key, integration, variables }))
    });
    let best = fits.min_by_key(|(rank, _)| *rank).map(|(_, found)| found);
    best.or_else(|| {
        let (key, integration) = routes.get_key_value("$default")?;
        Some(Match { key, integration, variables: Vec::new() })
    })
}

/// How loosely a path fits (0: exactly) and its variables; none: not at all.
fn compare(pattern: &str, path: &str) -> Option<(usize, Vec<(String, String)>)> {
    let mut rank = 0;
    let mut variables = Vec::new();
    let mut parts = path.split('/');
    for expected in pattern.split('/') {
        let variable = expected.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let part = parts.next()?;
        match variable {
            Some(name) if name.ends_with('+') => {
                let rest: Vec<&str> = std::iter::once(part).chain(parts.by_ref()).collect();
                variables.push((name.trim_end_matches('+').to_string(), decode(&rest.join("/"))));
                rank += 1000;
            }
            Some(name) if !part.is_empty() => {
                variables.push((name.to_string(), decode(part)));
                rank += 1;
            }
            Some(_) => return None,
            None if decode(part) == expected => {}
            None => return None,
        }
    }
    parts.next().is_none().then_some((rank, variables))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str) -> Option<(String, Vec<(String, String)>)> {
        let keys = [
            "GET /things",
            "GET /things/{id}",
            "GET /things/new",
            "ANY /any/{rest+}",
            "POST /things/{id}/parts",
            "$default",
        ];
        let routes = keys.map(|key| {
            let integration = Integration { function: "f".into(), timeout: std::time::Duration::ZERO };
            (key.to_string(), integration)
        });
        find(&routes.into(), method, path).map(|found| (found.key.to_string(), found.variables))
    }

    #[test]
    fn the_most_specific_route_is_taken() {
        let none = Vec::new;
        let id = |value: &str| vec![("id".to_string(), value.to_string())];
        assert_eq!(route("GET", "/things"), Some(("GET /things".into(), none())));
        assert_eq!(route("GET", "/things/new"), Some(("GET /things/new".into(), none())));
        assert_eq!(route("GET", "/things/a%20b"), Some(("GET /things/{id}".into(), id("a b"))));
        assert_eq!(route("POST", "/things/7/parts"), Some(("POST /things/{id}/parts".into(), id("7"))));
        assert_eq!(
            route("PUT", "/any/a/b"),
            Some(("ANY /any/{rest+}".into(), vec![("rest".into(), "a/b".into())]))
        );
    }

    #[test]
    fn what_fits_nowhere_goes_to_default() {
        for (method, path) in [("POST", "/things"), ("GET", "/things/"), ("GET", "/things/1/2"), ("GET", "/")]
        {
            assert_eq!(route(method, path).unwrap().0, "$default", "{method} {path}");
        }
    }
}
