//! The files themselves. With `UPDATE_DOCS` set they are written, else compared; one that nothing generates is
//! wrong too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use konstruct_protocol::asyncapi;
use serde_json::{Value, json};

use crate::yaml;

const SCHEMAS: &str = "schemas";

/// File under docs/ → text.
fn generated() -> BTreeMap<String, String> {
    let mut openapi = serde_json::to_value(konstruct_runtime::openapi::description()).expect("JSON");
    asyncapi::absent_not_null(&mut openapi);
    name_statuses(&mut openapi);
    let mut files = BTreeMap::new();
    files.insert("openapi.yaml".to_owned(), page(&yaml::text(&openapi)));
    files.insert("asyncapi.yaml".to_owned(), page(&yaml::text(&asyncapi::description())));
    for frame in asyncapi::frames() {
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": frame.name(),
        });
        if let (Value::Object(schema), Value::Object(frame)) = (&mut schema, frame.schema.clone()) {
            schema.extend(frame);
        }
        let text = serde_json::to_string_pretty(&sorted(schema)).expect("JSON");
        files.insert(format!("{SCHEMAS}/{}.json", frame.name()), text + "\n");
    }
    files
}

/// OpenAPI wants a description of every answer; where the handler gives none, the status's own words.
fn name_statuses(openapi: &mut Value) {
    let operations = openapi["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = operations.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut());
    for responses in operations.filter_map(|operation| operation["responses"].as_object_mut()) {
        for (status, response) in responses {
            let words =
                http::StatusCode::from_bytes(status.as_bytes()).ok().and_then(|s| s.canonical_reason());
            if let (Some(words), Value::Object(response)) = (words, response) {
                response.entry("description").or_insert_with(|| words.into());
            }
        }
    }
}

fn page(yaml: &str) -> String {
    format!("# Generated from the Rust types (tests/docs); do not edit.\n{yaml}")
}

/// The same file whatever features the build gives serde_json.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let fields: BTreeMap<String, Value> =
                object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            fields.into_iter().collect()
        }
        Value::Array(array) => array.into_iter().map(sorted).collect(),
        scalar => scalar,
    }
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// The files of the schema folder, named from docs/.
fn schema_files() -> Vec<String> {
    let Ok(folder) = std::fs::read_dir(docs().join(SCHEMAS)) else {
        return Vec::new();
    };
    folder.filter_map(|entry| Some(format!("{SCHEMAS}/{}", entry.ok()?.file_name().to_str()?))).collect()
}

#[test]
fn the_committed_descriptions_are_those_of_the_types() {
    let files = generated();
    let stale: Vec<String> = schema_files().into_iter().filter(|file| !files.contains_key(file)).collect();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(docs().join(SCHEMAS)).expect("a folder");
        for (file, text) in &files {
            std::fs::write(docs().join(file), text).expect("a file");
        }
        for file in stale {
            std::fs::remove_file(docs().join(file)).expect("a file");
        }
        return;
    }
    let differ = files
        .iter()
        .filter(|(file, text)| std::fs::read_to_string(docs().join(file)).ok().as_ref() != Some(*text));
    let wrong: Vec<&String> = differ.map(|(file, _)| file).chain(&stale).collect();
    assert!(
        wrong.is_empty(),
        "docs/ is not what the types say: {wrong:?}\nUPDATE_DOCS=1 cargo test -p konstruct-tests --test docs"
    );
}
