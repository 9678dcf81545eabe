//! What a function's main reads of its environment: the names in the source of `crates/runtime`, followed from
//! `main` through the functions it calls. It reads text, not types: a name that is put together is not found.

use std::collections::{BTreeMap, BTreeSet};

use crate::project::{File, Violations, files};

const FOLDER: &str = "crates/runtime/src/";

/// One `fn` of the crate.
struct Item {
    module: String,
    name: String,
    body: String,
    /// What its file imports from the crate: name → module.
    imports: BTreeMap<String, String>,
}

/// The crate's functions.
pub struct Code {
    items: Vec<Item>,
}

impl Code {
    /// Reads the crate, without its tests.
    pub fn read() -> Result<Self, Violations> {
        let files = files()?;
        let sources = files.iter().filter(|file| file.path.starts_with(FOLDER) && file.extension() == "rs");
        Ok(Self { items: sources.flat_map(items).collect() })
    }

    /// The variables that the function in `functions/{folder}` reads, those of AWS's own left out.
    pub fn variables(&self, folder: &str) -> BTreeSet<&str> {
        let texts = self.reached(folder);
        texts.into_iter().flat_map(literals).filter(|name| !name.starts_with("AWS_")).collect()
    }

    /// Whether its code calls a method of this name.
    pub fn calls(&self, folder: &str, method: &str) -> bool {
        let call = format!(".{method}(");
        self.reached(folder).iter().any(|body| body.contains(&call))
    }

    fn reached(&self, folder: &str) -> Vec<&str> {
        let module = folder.replace('-', "_");
        let first = self.items.iter().position(|item| item.module == module && item.name == "main");
        let mut seen: BTreeSet<usize> = first.into_iter().collect();
        let mut open: Vec<usize> = seen.iter().copied().collect();
        while let Some(item) = open.pop().and_then(|index| self.items.get(index)) {
            for index in self.mentioned(item) {
                if seen.insert(index) {
                    open.push(index);
                }
            }
        }
        seen.iter().filter_map(|index| self.items.get(*index)).map(|item| item.body.as_str()).collect()
    }

    /// The functions of the crate that one calls: of a module it names or imports from, or of its own file.
    fn mentioned(&self, item: &Item) -> Vec<usize> {
        let find = |module: &str, name: &str| {
            self.items.iter().position(|other| other.module == module && other.name == name)
        };
        let mut found = Vec::new();
        for (before, word) in called(&item.body) {
            // A path's last part is a module, or a type that was imported or is of this file.
            let imported = |name: &str| item.imports.get(name).unwrap_or(&item.module).clone();
            let there = match before {
                Some(before) => find(before, word).or_else(|| find(&imported(before), word)),
                None => find(&imported(word), word),
            };
            found.extend(there);
        }
        found
    }
}

/// The functions of a file; what follows `#[cfg(test)]` is none.
fn items(file: &File) -> Vec<Item> {
    let path = file.path.trim_start_matches(FOLDER).trim_end_matches(".rs");
    // A file in a module's folder counts as the module.
    let module = path.split('/').next().unwrap_or(path).to_owned();
    let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
    let imports = imports(code);
    let mut pieces = code.split("fn ");
    pieces.next();
    let item = |piece: &str| {
        let name: String = piece.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        Item { module: module.clone(), name, body: piece.to_owned(), imports: imports.clone() }
    };
    pieces.map(item).collect()
}

/// What a file imports from the crate: name → module.
fn imports(code: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for statement in code.split("use crate::").skip(1) {
        let statement = statement.split(';').next().unwrap_or_default();
        let Some((module, names)) = statement.split_once("::") else { continue };
        for name in names.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty()) {
            found.insert(name.to_owned(), module.to_owned());
        }
    }
    found
}

/// What a text calls: each name with the one before it where `::` stands between. No methods; `start(run)` calls both.
fn called(text: &str) -> Vec<(Option<&str>, &str)> {
    let mut found = Vec::new();
    let (mut before, mut rest) = (None, text);
    while let Some(start) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
        let (between, tail) = rest.split_at(start);
        let end = tail.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tail.len());
        let (word, after) = tail.split_at(end);
        if after.starts_with('(') && !between.ends_with('.') || before == Some("start") && between == "(" {
            found.push((before.filter(|_| between == "::"), word));
        }
        (before, rest) = (Some(word), after);
    }
    found
}

/// String literals that can only be the name of a variable.
fn literals(body: &str) -> Vec<&str> {
    let is_name = |text: &&str| {
        text.contains('_') && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    body.split('"').skip(1).step_by(2).filter(is_name).collect()
}

#[test]
fn what_a_function_reads_is_found_through_what_it_calls() {
    let source = |path: &str, text: &str| File { path: format!("{FOLDER}{path}.rs"), text: text.to_owned() };
    let a = "use crate::start::{StartError, start};
        use crate::shared::Shared;
        pub fn main() { start(run) }
        async fn run() { parts::db(1); Shared::new(); self.queue(); queue: 1; optional(\"OWN_NAME\") }";
    let files = [
        source("a", a),
        source("start", "fn start(run: F) { logs::start(); \"AWS_REGION\" }"),
        source("logs/lines", "fn start() { \"LOG_LEVEL\" \"not a name\" }"),
        source("parts", "fn db() { url(\"DATABASE_URL\") } fn queue() { required(\"QUEUE_URL\") }"),
        source("shared", "fn new() { Own::made() } fn made() { \"OF_OWN_TYPE\" }"),
        source("other", "fn run() { \"NEVER_READ\" } #[cfg(test)] fn main() {}"),
    ];
    let code = Code { items: files.iter().flat_map(items).collect() };
    let found: Vec<&str> = code.variables("a").into_iter().collect();
    assert_eq!(found, ["DATABASE_URL", "LOG_LEVEL", "OF_OWN_TYPE", "OWN_NAME"]);
}
