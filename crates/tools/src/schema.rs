//! Judges a tool's arguments by its JSON Schema (draft 2020-12 unless it names another). Schemas come from tenants, so
//! everything about them is bounded; none ever has a reference followed out of it.

#[cfg(test)]
mod tests;
mod work;

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::text::cut;

/// Largest schema, as JSON.
const SCHEMA_MAX: usize = 16 * 1024;
/// Longest sentence about what is wrong, in characters.
const SENTENCE_MAX: usize = 300;
/// Longest value that such a sentence repeats, as JSON.
const VALUE_MAX: usize = 60;
/// Largest pattern once compiled. A larger one takes too long to compile and to match.
const PATTERN_MAX: usize = 512 * 1024;

/// Whether a tool with this schema can be called at all.
pub fn is_usable(schema: &Map<String, Value>) -> bool {
    compile(&Value::Object(schema.clone())).is_ok()
}

/// Whether arguments are what a schema asks for; what is wrong and where, in a sentence.
pub fn check(schema: &Map<String, Value>, arguments: &Map<String, Value>) -> Result<(), String> {
    let schema = Value::Object(schema.clone());
    let arguments = Value::Object(arguments.clone());
    let validator = compile(&schema)?;
    work::bounded(&schema, &arguments)?;
    validator.validate(&arguments).map_err(|error| sentence(&error))
}

fn compile(schema: &Value) -> Result<Validator, String> {
    if schema.to_string().len() > SCHEMA_MAX {
        return Err(format!("the tool's schema is larger than {SCHEMA_MAX} bytes"));
    }
    work::fit(schema)?;
    // Patterns are matched in linear time, without look-around and back-references.
    let patterns = PatternOptions::regex().size_limit(PATTERN_MAX);
    let options = jsonschema::options().with_pattern_options(patterns).offline();
    options.build(schema).map_err(|error| {
        let what = format!("the tool's schema is not valid: at {}: {error}", place(&error));
        cut(&what, SENTENCE_MAX)
    })
}

fn sentence(error: &ValidationError<'_>) -> String {
    let is_short = error.instance().to_string().len() <= VALUE_MAX;
    let what = if is_short { error.to_string() } else { error.masked_with("the value").to_string() };
    cut(&format!("at {}: {what}", place(error)), SENTENCE_MAX)
}

/// Where in the arguments.
fn place(error: &ValidationError<'_>) -> String {
    match error.instance_path().as_str() {
        "" => "the top".to_owned(),
        path => format!("`{}`", cut(path, 100)),
    }
}
