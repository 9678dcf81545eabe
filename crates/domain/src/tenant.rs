//! A tenant: a company whose data nobody else may see. Holds no secret of the tenant.

use std::fmt;
use std::str::FromStr;

use crate::id::TenantId;

/// What admission needs to know of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Messages a minute and channel (CHAN-03); 30 unless the database says otherwise.
    pub messages_per_minute: u32,
}

/// A text that is no slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not 1 to 63 characters of a-z 0-9 - that begin with a letter or digit")]
pub struct NotASlug;

/// What operators call a tenant: unique and never changed. The database CHECK on `tenants` has the same form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slug(String);

impl Slug {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Slug {
    type Err = NotASlug;
    fn from_str(text: &str) -> Result<Self, NotASlug> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_slug = (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-');
        if is_slug { Ok(Self(text.to_owned())) } else { Err(NotASlug) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_has_the_form_of_the_database() {
        for good in ["a", "acme", "7-up", "a-b--", &"x".repeat(63)] {
            assert_eq!(good.parse::<Slug>().map(|slug| slug.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "-a", "Acme", "a b", "a_b", "ä", "a\n", &"x".repeat(64)] {
            assert_eq!(bad.parse::<Slug>(), Err(NotASlug), "{bad:?}");
        }
    }
}
