//! An e-mail address, as a person is known by it. Whether anybody reads what is sent there is not asked.

use std::fmt;
use std::str::FromStr;

/// A text that is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an e-mail address")]
pub struct NotAnEmail;

/// An address in lower case, so that one person is not two: at most 254 bytes (RFC 5321), ASCII, the part before the
/// `@` unquoted, a host name with a dot behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Email(String);

impl Email {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Email {
    type Err = NotAnEmail;
    fn from_str(text: &str) -> Result<Self, NotAnEmail> {
        let (local, host) = text.split_once('@').ok_or(NotAnEmail)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
        let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
        let is_local = (1..=64).contains(&local.len()) && local.bytes().all(plain) && !dots;
        let is_address = is_local && text.len() <= 254 && host.contains('.') && is_host_name(host);
        if is_address { Ok(Self(text.to_ascii_lowercase())) } else { Err(NotAnEmail) }
    }
}

/// Whether a text is a whole host name: labels of letters, digits and inner hyphens, dots between (RFC 1123).
pub(crate) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_whatever_its_case() {
        for (text, address) in [
            ("Bob@ACME.example", "bob@acme.example"),
            ("o'neil+test@mail.acme.example", "o'neil+test@mail.acme.example"),
            ("a@1.io", "a@1.io"),
        ] {
            assert_eq!(text.parse::<Email>().map(|email| email.to_string()), Ok(address.to_owned()));
        }
    }

    #[test]
    fn what_has_a_blank_or_no_host_is_no_address() {
        let long = format!("{}@acme.example", "a".repeat(65));
        for bad in [
            "",
            "bob",
            "bob@",
            "@acme.example",
            "bob smith@acme.example",
            " bob@acme.example",
            "bob@acme.example\n",
            "bob@acme",
            "bob@@acme.example",
            "bob@acme..example",
            "bob@-acme.example",
            "bob.@acme.example",
            "b..b@acme.example",
            "bob@acme.example.",
            "<bob@acme.example>",
            "böb@acme.example",
            "bob@acme,example",
            &long,
        ] {
            assert_eq!(bad.parse::<Email>(), Err(NotAnEmail), "{bad:?}");
        }
    }
}
