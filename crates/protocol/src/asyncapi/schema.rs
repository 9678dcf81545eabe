//! From a type's schema to one that stands alone: references and `allOf` are resolved, and what may be absent is
//! never `null`. It adds no field of its own.

use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A type's schema, without a reference to another.
pub(super) fn of<T: ToSchema>() -> Value {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    let parts: Map<String, Value> = parts.into_iter().map(|(name, schema)| (name, json(&schema))).collect();
    let mut schema = json(&T::schema());
    resolve(&mut schema, &parts);
    super::absent_not_null(&mut schema);
    schema
}

fn json(schema: &impl serde::Serialize) -> Value {
    // A schema is made of strings and numbers; one that did not serialise would show in the committed files.
    serde_json::to_value(schema).unwrap_or_default()
}

/// Puts what a reference names in its place, and one object in the place of an `allOf`.
fn resolve(value: &mut Value, parts: &Map<String, Value>) {
    let named = value.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    if let Some(part) = named.and_then(|name| parts.get(name)).cloned()
        && let (Value::Object(here), Value::Object(mut part)) = (&mut *value, part)
    {
        here.remove("$ref");
        // What the field says of itself counts more than what its type says.
        part.append(here);
        *here = part;
    }
    match value {
        Value::Object(object) => object.values_mut().for_each(|inner| resolve(inner, parts)),
        Value::Array(array) => array.iter_mut().for_each(|inner| resolve(inner, parts)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    if let Value::Object(object) = value
        && let Some(Value::Array(all)) = object.remove("allOf")
    {
        all.into_iter().for_each(|one| merge(object, one));
    }
}

/// Adds the fields of another object.
fn merge(object: &mut Map<String, Value>, other: Value) {
    let Value::Object(other) = other else { return };
    for (key, value) in other {
        match (object.get_mut(&key), value) {
            (Some(Value::Object(here)), Value::Object(more)) => here.extend(more),
            (Some(Value::Array(here)), Value::Array(more)) => here.extend(more),
            (Some(_), _) => {}
            (None, value) => {
                object.insert(key, value);
            }
        }
    }
}
