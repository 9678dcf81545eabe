//! What an agent's tools and their servers are called. Whether a tool exists is not known here.

use std::fmt;
use std::str::FromStr;

use crate::email::is_host_name;

/// A text that names no tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not 1 to 64 characters of A-Z a-z 0-9 _ -")]
pub struct NotATool;

/// A tool as models are told of it; the database CHECK on `agent_tools` has the same form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ToolName(String);

impl FromStr for ToolName {
    type Err = NotATool;
    fn from_str(text: &str) -> Result<Self, NotATool> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let is_name = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
        if is_name { Ok(Self(text.to_owned())) } else { Err(NotATool) }
    }
}

/// A text that names no server of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not 1 to 24 characters of a-z 0-9 that begin with a letter")]
pub struct NotAServer;

/// A server of tools; it stands before its tools' names. The database CHECK on `tool_servers` has the same form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerName(String);

impl FromStr for ServerName {
    type Err = NotAServer;
    fn from_str(text: &str) -> Result<Self, NotAServer> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
        if begins && text.len() <= 24 && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAServer)
        }
    }
}

/// A text that is no host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a host name such as www.example.com")]
pub struct NotAHost;

/// A whole host name in lower case, with a dot; no address, no port, no wildcard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostName(String);

impl FromStr for HostName {
    type Err = NotAHost;
    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let last = text.rsplit('.').next().unwrap_or_default();
        // A name whose last label is a number is an IPv4 address to whoever resolves it.
        let is_name =
            text.contains('.') && is_host_name(text) && !last.bytes().all(|byte| byte.is_ascii_digit());
        if is_name { Ok(Self(text.to_ascii_lowercase())) } else { Err(NotAHost) }
    }
}

/// A text that names no model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not 1 to 256 printable ASCII characters without a blank")]
pub struct NotAModel;

/// A model as its provider calls it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelName(String);

impl FromStr for ModelName {
    type Err = NotAModel;
    fn from_str(text: &str) -> Result<Self, NotAModel> {
        let is_name = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_name { Ok(Self(text.to_owned())) } else { Err(NotAModel) }
    }
}

macro_rules! text {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
text!(ToolName, ServerName, HostName, ModelName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_forms_of_the_database() {
        assert!("crm_close-2".parse::<ToolName>().is_ok());
        for bad in ["", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(bad.parse::<ToolName>(), Err(NotATool), "{bad}");
        }
        assert!("crm2".parse::<ServerName>().is_ok());
        for bad in ["", "2crm", "Crm", "c_rm", &"x".repeat(25)] {
            assert_eq!(bad.parse::<ServerName>(), Err(NotAServer), "{bad}");
        }
        assert!("arn:aws:bedrock:eu-central-1::model/x-1:0".parse::<ModelName>().is_ok());
        for bad in ["", "a model", "a\n", &"x".repeat(257)] {
            assert_eq!(bad.parse::<ModelName>(), Err(NotAModel), "{bad:?}");
        }
    }

    #[test]
    fn a_host_is_a_whole_name_and_no_address() {
        assert_eq!(
            "WWW.Example.com".parse::<HostName>().map(|host| host.to_string()),
            Ok("www.example.com".to_owned())
        );
        for bad in [
            "",
            "localhost",
            "*.example.com",
            "example.com:443",
            "https://example.com",
            "127.0.0.1",
            "a..b",
            "[::1]",
        ] {
            assert_eq!(bad.parse::<HostName>(), Err(NotAHost), "{bad}");
        }
    }
}
