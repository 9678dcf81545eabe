//! Query strings and percent-encoding.
//! Malformed escapes are kept as they stand: refusing them is the function's decision.

use percent_encoding::percent_decode_str;

/// Decodes percent-escapes.
pub fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Name and value of each parameter, decoded, in order.
pub fn query(raw: &str) -> impl Iterator<Item = (String, String)> {
    raw.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_in_order() {
        let all: Vec<_> = query("a=1&b=x%20y+z&a=%C3%A4&c").collect();
        let expected = [("a", "1"), ("b", "x y z"), ("a", "ä"), ("c", "")];
        assert_eq!(all, expected.map(|(n, v)| (n.to_string(), v.to_string())));
    }
}
