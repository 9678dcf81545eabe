//! A command's arguments, read one by one, so that each refusal names its field. One that nobody asked for is refused:
//! a misspelt argument must not be a command without it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// Most entries of a list.
const LIST_MAX: usize = 100;

/// The members of a command.
pub(super) struct Arguments<'a> {
    members: &'a Map<String, Value>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(members: &'a Map<String, Value>) -> Self {
        Self { members, asked: RefCell::default() }
    }

    /// An argument as it is, where it is there; `null` is there.
    fn raw(&self, field: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(field);
        self.members.get(field)
    }

    /// An argument, where it is there and not `null`.
    fn given(&self, field: &'static str) -> Option<&'a Value> {
        self.raw(field).filter(|value| !value.is_null())
    }

    /// A text of a form, where it is given.
    pub(super) fn optional<T>(&self, field: &'static str) -> Result<Option<T>, Refusal>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.given(field).map(|value| parsed(field, value)).transpose()
    }

    /// A text of a form.
    pub(super) fn required<T>(&self, field: &'static str) -> Result<T, Refusal>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.optional(field)?.ok_or_else(|| Refusal::invalid(field, "is missing"))
    }

    /// One of these words.
    pub(super) fn word<T>(
        &self,
        field: &'static str,
        words: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.optional::<String>(field)? else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| Refusal::invalid(field, format!("is not {words}")))
    }

    /// A yes or no; not given: no.
    pub(super) fn flag(&self, field: &'static str) -> Result<bool, Refusal> {
        let value = self.given(field);
        value.map_or(Ok(false), |value| {
            value.as_bool().ok_or_else(|| Refusal::invalid(field, "must be true or false"))
        })
    }

    /// A whole number in a range.
    pub(super) fn number<T>(&self, field: &'static str, least: i64, most: i64) -> Result<Option<T>, Refusal>
    where
        T: TryFrom<i64>,
    {
        self.given(field).map(|value| number(field, value, least, most)).transpose()
    }

    /// The same, or `null` for none: `None` is not given, `Some(None)` is none.
    pub(super) fn number_or_none<T>(
        &self,
        field: &'static str,
        least: i64,
        most: i64,
    ) -> Result<Option<Option<T>>, Refusal>
    where
        T: TryFrom<i64>,
    {
        match self.raw(field) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => number(field, value, least, most).map(|number| Some(Some(number))),
        }
    }

    /// A list of texts of a form, each there once, where it is given.
    pub(super) fn list<T>(&self, field: &'static str) -> Result<Option<Vec<T>>, Refusal>
    where
        T: FromStr + PartialEq,
        T::Err: Display,
    {
        let Some(value) = self.given(field) else { return Ok(None) };
        let values = value.as_array().ok_or_else(|| Refusal::invalid(field, "must be a list"))?;
        if values.len() > LIST_MAX {
            return Err(Refusal::invalid(field, format!("has more than {LIST_MAX} entries")));
        }
        let mut all: Vec<T> = Vec::new();
        for value in values {
            let one = parsed(field, value)?;
            if all.contains(&one) {
                return Err(Refusal::invalid(field, "has an entry twice"));
            }
            all.push(one);
        }
        Ok(Some(all))
    }

    /// Refuses what nobody asked for. Called when all is read and before anything is done.
    pub(super) fn complete(&self) -> Result<(), Refusal> {
        let asked = self.asked.borrow();
        let unknown = self.members.keys().find(|name| !asked.contains(name.as_str()));
        unknown.map_or(Ok(()), |name| Err(Refusal::invalid(name, "is not an argument of this command")))
    }
}

fn parsed<T>(field: &str, value: &Value) -> Result<T, Refusal>
where
    T: FromStr,
    T::Err: Display,
{
    let text = value.as_str().ok_or_else(|| Refusal::invalid(field, "must be a text"))?;
    text.parse().map_err(|why: T::Err| Refusal::invalid(field, why))
}

fn number<T: TryFrom<i64>>(field: &str, value: &Value, least: i64, most: i64) -> Result<T, Refusal> {
    let number = value.as_i64().filter(|number| (least..=most).contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| Refusal::invalid(field, format!("must be a whole number from {least} to {most}")))
}
