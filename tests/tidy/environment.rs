//! docs/ENVIRONMENT.md against the variables that infra/template.yaml gives each function. What a function's main
//! reads is not seen from here.

use std::collections::{BTreeMap, BTreeSet};

use crate::functions::TEMPLATE;
use crate::markdown::{quoted, table};
use crate::project::{File, Verdict, file, verdict};

const PAGE: &str = "docs/ENVIRONMENT.md";
/// How deep a variable stands: of all functions (Globals.Function.Environment.Variables), of one.
const GLOBAL: &str = "        ";
const OWN: &str = "          ";
const HEADER: [&str; 5] = ["variable", "functions", "meaning", "unit", "default"];

#[test]
fn the_environment_page_says_what_the_template_gives_each_function() -> Verdict {
    let template = file(TEMPLATE)?;
    let page = file(PAGE)?;
    let given = variables(&template);
    let all: BTreeSet<&str> = given.values().flatten().copied().collect();
    let rows = table(&page.text, &HEADER).ok_or_else(|| format!("{PAGE}: has no table {HEADER:?}"))?;
    let mut told: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, cells) in &rows {
        let [variable, functions, ..] = cells.as_slice() else {
            continue;
        };
        let functions =
            if *functions == "all" { all.clone() } else { quoted(functions).into_iter().collect() };
        told.insert(variable.trim_matches('`'), functions);
    }
    let mut broken = Vec::new();
    for variable in given.keys().chain(told.keys()).collect::<BTreeSet<_>>() {
        let (given, told) = (given.get(variable), told.get(variable));
        if given != told {
            broken.push(format!("{variable}: {TEMPLATE} gives it to {given:?}, {PAGE} says {told:?}"));
        }
    }
    if given.is_empty() {
        broken.push(format!("{TEMPLATE}: no function has a variable"));
    }
    verdict(&broken)
}

/// Variable → the functions (folders) that have it.
fn variables(template: &File) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut folder = "";
    let everywhere: Vec<&str> = template.lines().filter_map(|(_, line)| variable(line, GLOBAL)).collect();
    for (_, line) in template.lines() {
        if let Some(path) = line.trim().strip_prefix("CodeUri: ../target/lambda/") {
            folder = path.trim_end_matches('/');
            for name in &everywhere {
                found.entry(name).or_default().insert(folder);
            }
        }
        if let Some(name) = variable(line, OWN) {
            found.entry(name).or_default().insert(folder);
        }
    }
    found
}

/// The variable that a line sets at so deep an indentation.
fn variable<'a>(line: &'a str, indentation: &str) -> Option<&'a str> {
    let (name, _) = line.strip_prefix(indentation)?.split_once(": ")?;
    (!name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')).then_some(name)
}
