//! The environment, read once at start: the one home of `std::env` (docs/ENVIRONMENT.md lists every variable). An
//! empty variable counts as not set.

use crate::start::StartError;

/// A variable that must be set.
pub(crate) fn required(name: &'static str) -> Result<String, StartError> {
    optional(name).ok_or_else(|| StartError(format!("the environment variable {name} is not set")))
}

/// A variable that may be set.
#[expect(clippy::disallowed_methods, reason = "the one home of the environment")]
pub(crate) fn optional(name: &'static str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that is a whole number where it is set.
pub(crate) fn number(name: &'static str) -> Result<Option<u64>, StartError> {
    optional(name)
        .map(|text| text.parse().map_err(|_| StartError(format!("{name} is no whole number"))))
        .transpose()
}
