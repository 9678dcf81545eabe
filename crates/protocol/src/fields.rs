//! Reads an object field by field, so that every refusal names its field. It never recurses into what it does
//! not ask for: depth, huge numbers and lone surrogates in unknown fields are harmless.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

/// Why a text is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadJson {
    /// Not well-formed.
    #[error("is not JSON")]
    NotJson,
    /// Well-formed, but no object (or one with names that are no Unicode).
    #[error("is not a JSON object")]
    NotAnObject,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct FieldError {
    /// Its name.
    pub field: &'static str,
    /// "is missing", "must be a string", …
    pub problem: String,
    /// Whether size is what is wrong.
    pub too_large: bool,
}

impl FieldError {
    /// A field that is not what it must be.
    #[must_use]
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into(), too_large: false }
    }
}

/// An object's fields, not yet looked into. Of a repeated name the last counts.
#[derive(Debug)]
pub struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// Splits an object into its fields.
    ///
    /// # Errors
    /// [`BadJson`].
    pub fn parse(text: &'a str) -> Result<Self, BadJson> {
        if let Ok(fields) = serde_json::from_str(text) {
            return Ok(Self(fields));
        }
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Err(BadJson::NotAnObject),
            Err(_) => Err(BadJson::NotJson),
        }
    }

    /// Whether a field is there (also as `null`).
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// A field that may be absent or `null`.
    ///
    /// # Errors
    /// It is there and of another form; `form` says what it must be.
    pub fn optional<T: DeserializeOwned>(
        &self,
        field: &'static str,
        form: &str,
    ) -> Result<Option<T>, FieldError> {
        let Some(raw) = self.0.get(field).filter(|raw| raw.get() != "null") else {
            return Ok(None);
        };
        serde_json::from_str(raw.get())
            .map(Some)
            .map_err(|_| FieldError::new(field, format!("must be {form}")))
    }

    /// A field that must be there.
    ///
    /// # Errors
    /// It is missing, `null` or of another form.
    pub fn required<T: DeserializeOwned>(&self, field: &'static str, form: &str) -> Result<T, FieldError> {
        self.optional(field, form)?.ok_or_else(|| {
            let problem = if self.has(field) { format!("must be {form}") } else { "is missing".to_owned() };
            FieldError::new(field, problem)
        })
    }

    /// A string parsed into a type, where it is there.
    ///
    /// # Errors
    /// No string, or not of the type's form.
    pub fn parsed<T>(&self, field: &'static str) -> Result<Option<T>, FieldError>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.optional::<String>(field, "a string")? else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|why: T::Err| FieldError::new(field, why.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_may_hold_anything_well_formed() {
        let deep = format!(
            r#"{{"a":{}1{},"n":1e999,"s":"\ud800","type":"x"}}"#,
            "[".repeat(10_000),
            "]".repeat(10_000)
        );
        let fields = Fields::parse(&deep).expect("an object");
        assert_eq!(fields.required::<String>("type", "a string"), Ok("x".to_owned()));
        assert_eq!(
            fields.required::<String>("s", "a string"),
            Err(FieldError::new("s", "must be a string")),
            "a lone surrogate is no text"
        );
    }

    #[test]
    fn what_is_not_json_is_told_from_what_is_no_object() {
        for text in ["", "{", "{\"a\":}", "nul", "{} x"] {
            assert_eq!(Fields::parse(text).err(), Some(BadJson::NotJson), "{text}");
        }
        for text in ["[]", "1", "\"x\"", "null", "true"] {
            assert_eq!(Fields::parse(text).err(), Some(BadJson::NotAnObject), "{text}");
        }
    }

    #[test]
    fn null_counts_as_absent() {
        let fields = Fields::parse(r#"{"a":null}"#).expect("an object");
        assert_eq!(fields.optional::<String>("a", "a string"), Ok(None));
        assert_eq!(
            fields.required::<String>("a", "a string").map_err(|e| e.to_string()),
            Err("a must be a string".into())
        );
        assert_eq!(
            fields.required::<String>("b", "a string").map_err(|e| e.to_string()),
            Err("b is missing".into())
        );
    }
}
