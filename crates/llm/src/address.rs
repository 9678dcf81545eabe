//! Where a provider is and the header that its key travels in, judged once at start rather than at each call. A
//! value that is refused is never repeated.

use http::Uri;
use http::header::HeaderValue;
use konstruct_ports::{ApiKey, ModelError};

use crate::failure::fatal;

/// A configuration that cannot be used. Does not repeat the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The base URL is no absolute `http` or `https` URL.
    #[error("the model's base URL is no absolute URL")]
    BaseUrl,
    /// The key has characters that no header can hold.
    #[error("the model's API key has characters that no header can hold")]
    ApiKey,
}

/// The address of a call: a base URL, whatever slashes it ends in, and a path behind it.
pub(crate) fn endpoint(base_url: &str, path: &str) -> Result<Uri, ConfigError> {
    let url = format!("{}{path}", base_url.trim().trim_end_matches('/'));
    let uri = Uri::try_from(url).map_err(|_| ConfigError::BaseUrl)?;
    if uri.authority().is_none() || !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(ConfigError::BaseUrl);
    }
    Ok(uri)
}

/// The header of a key, behind a prefix such as `Bearer `; none for no key and for an empty one.
pub(crate) fn key_header(prefix: &str, key: Option<&str>) -> Result<Option<HeaderValue>, ConfigError> {
    match key.map(str::trim) {
        None | Some("") => Ok(None),
        Some(key) => {
            let mut value =
                HeaderValue::try_from(format!("{prefix}{key}")).map_err(|_| ConfigError::ApiKey)?;
            value.set_sensitive(true);
            Ok(Some(value))
        }
    }
}

/// The header of a tenant's key. One that is empty is an error: the platform does not pay in its place.
pub(crate) fn key_of(key: &ApiKey, prefix: &str) -> Result<HeaderValue, ModelError> {
    match key_header(prefix, Some(key.reveal())) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(fatal("the tenant's key is empty")),
        Err(_) => Err(fatal("the tenant's key has characters that no header can hold")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_of_the_base_url_does_not_matter() {
        for base in
            ["https://api.openai.com/v1", "https://api.openai.com/v1/", " https://api.openai.com/v1// "]
        {
            let uri = endpoint(base, "/chat/completions").unwrap();
            assert_eq!(uri.to_string(), "https://api.openai.com/v1/chat/completions");
        }
    }

    #[test]
    fn a_base_url_that_cannot_be_called_is_refused_at_start() {
        for base in ["", "/v1", "api.openai.com", "ftp://host/v1", "https://"] {
            assert_eq!(endpoint(base, "/x").unwrap_err(), ConfigError::BaseUrl, "{base}");
        }
    }

    #[test]
    fn a_key_is_marked_as_one_and_an_empty_one_is_none() {
        assert!(key_header("Bearer ", Some("k")).unwrap().unwrap().is_sensitive());
        assert_eq!(key_header("Bearer ", Some(" ")), Ok(None));
        assert_eq!(key_header("Bearer ", None), Ok(None));
        assert_eq!(key_header("", Some("sk-\n")).unwrap().unwrap(), "sk-");
        assert_eq!(key_header("", Some("a\nb")), Err(ConfigError::ApiKey));
    }
}
