//! The table under "Rules" in ARCHITECTURE.md against `cargo metadata`. deny.toml guards what third-party crates pull
//! in; here only what our own manifests say is compared.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::markdown::{quoted, table};
use crate::project::{Verdict, Violations, file, root, run, verdict};

const PAGE: &str = "ARCHITECTURE.md";
const HEADER: [&str; 3] = ["crate", "may use (ours)", "alone may use (outside)"];

/// What a crate may use of ours.
#[derive(Debug, PartialEq, Eq)]
enum Ours<'a> {
    All,
    These(Vec<&'a str>),
}

/// A row of the table. Outside crates in backticks belong to the rows that name them (a `*` at the end stands for
/// any ending); a cell that ends in "only", or is "none", lists all that the row may use.
#[derive(Debug, PartialEq, Eq)]
struct Rule<'a> {
    name: &'a str,
    ours: Ours<'a>,
    outside: Vec<&'a str>,
    only: bool,
}

/// A package of the workspace.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    package: String,
    /// Where it is, from the root.
    folder: String,
    dependencies: Vec<Dependency>,
}

/// One line of a manifest.
#[derive(Debug, PartialEq, Eq)]
struct Dependency {
    name: String,
    /// Its folder from the root, if it is ours.
    ours: Option<String>,
    /// Whether only tests have it.
    dev: bool,
}

#[test]
fn every_dependency_is_one_that_the_rules_table_allows() -> Verdict {
    let page = file(PAGE)?;
    let rules = rules(&page.text)?;
    let members = members()?;
    let mut broken = Vec::new();
    for member in &members {
        let Some(rule) = rules.iter().find(|rule| rule.covers(&member.folder)) else {
            broken.push(format!("{}: has no row in the table of {PAGE}", member.folder));
            continue;
        };
        for dependency in &member.dependencies {
            if let Some(why) = forbidden(&rules, rule, dependency) {
                broken.push(format!("{}/Cargo.toml: {}: {why}", member.folder, dependency.name));
            }
        }
    }
    for rule in &rules {
        if !members.iter().any(|member| rule.covers(&member.folder)) {
            broken.push(format!("{PAGE}: there is no crate `{}`", rule.name));
        }
        if let Ours::These(names) = &rule.ours {
            for name in names.iter().filter(|name| !rules.iter().any(|other| other.name == **name)) {
                broken.push(format!("{PAGE}: `{}` may use `{name}`, which has no row", rule.name));
            }
        }
    }
    verdict(&broken)
}

#[test]
fn every_function_package_is_called_like_its_folder() -> Verdict {
    let mut broken = Vec::new();
    for member in members()? {
        let function = member.folder.strip_prefix("functions/");
        if function.is_some_and(|folder| folder != member.package) {
            broken.push(format!("{}: its package is called `{}`", member.folder, member.package));
        }
    }
    verdict(&broken)
}

impl Rule<'_> {
    /// Whether the row speaks of the package in this folder: `domain` is crates/domain, `functions/*` all under it.
    fn covers(&self, folder: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(start) => folder.starts_with(start),
            None => folder == self.name || folder.strip_prefix("crates/") == Some(self.name),
        }
    }

    fn names(&self, outside: &str) -> bool {
        self.outside.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => outside.starts_with(start),
            None => *name == outside,
        })
    }
}

/// Why a dependency is not allowed; `None` if it is.
fn forbidden(rules: &[Rule<'_>], rule: &Rule<'_>, dependency: &Dependency) -> Option<String> {
    let Ours::These(allowed) = &rule.ours else {
        return None;
    };
    if let Some(folder) = &dependency.ours {
        let listed = rules.iter().any(|other| allowed.contains(&other.name) && other.covers(folder));
        return (!listed).then(|| format!("`{}` may use {allowed:?} of ours", rule.name));
    }
    if rule.only && !dependency.dev && !rule.names(&dependency.name) {
        return Some(format!("`{}` may use only {:?} from outside", rule.name, rule.outside));
    }
    let owners: Vec<&str> = rules
        .iter()
        .filter(|other| !other.only && other.names(&dependency.name))
        .map(|other| other.name)
        .collect();
    (!owners.is_empty() && !rule.names(&dependency.name)).then(|| format!("belongs to {owners:?} alone"))
}

/// The table, row by row.
fn rules(page: &str) -> Result<Vec<Rule<'_>>, Violations> {
    let rows = table(page, &HEADER)
        .filter(|rows| !rows.is_empty())
        .ok_or_else(|| format!("{PAGE}: has no table {HEADER:?}"))?;
    let mut rules = Vec::new();
    for (line, cells) in rows {
        let [name, ours, outside] = cells.as_slice() else {
            return Err(format!("{PAGE}:{line}: has not three cells").into());
        };
        let list = |cell: &'_ str| cell == "none" || cell.is_empty();
        let ours = match *ours {
            "all" => Ours::All,
            cell if list(cell) => Ours::These(Vec::new()),
            cell => Ours::These(cell.split(',').map(|name| name.trim().trim_matches('`')).collect()),
        };
        rules.push(Rule {
            name: name.trim_matches('`'),
            ours,
            outside: quoted(outside),
            only: outside.ends_with("only") || *outside == "none",
        });
    }
    if rules.iter().all(|rule| rule.outside.is_empty()) {
        return Err(format!("{PAGE}: no row names its outside crates in backticks").into());
    }
    Ok(rules)
}

/// The workspace's packages, as cargo tells them.
fn members() -> Result<Vec<Member>, Violations> {
    let root = root()?;
    let told = run(Command::new(env!("CARGO")).current_dir(&root).args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ]))?;
    let told: Value = serde_json::from_str(&told).map_err(|error| format!("cargo metadata: {error}"))?;
    let members: Vec<Member> = list(&told, "packages").iter().map(|package| member(&root, package)).collect();
    if members.is_empty() {
        return Err("cargo metadata: no package".to_owned().into());
    }
    Ok(members)
}

fn member(root: &Path, package: &Value) -> Member {
    let manifest = Path::new(text(package, "manifest_path"));
    let dependencies = list(package, "dependencies").iter().map(|dependency| Dependency {
        name: text(dependency, "name").to_owned(),
        ours: dependency.get("path").and_then(Value::as_str).map(|path| from_root(root, Path::new(path))),
        dev: text(dependency, "kind") == "dev",
    });
    Member {
        package: text(package, "name").to_owned(),
        folder: from_root(root, manifest.parent().unwrap_or(manifest)),
        dependencies: dependencies.collect(),
    }
}

fn from_root(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
const SAMPLE: &str = "\
## 2. Rules

| crate | may use (ours) | alone may use (outside) |
| --- | --- | --- |
| domain | none | `serde`, `uuid` only |
| postgres | domain | `tokio-postgres` |
| aws | domain | `aws-sdk-*` |
| functions/* | runtime | none |
| runtime | domain, postgres, aws | |
| tools/local | none | |
| tests | all | |
";

#[test]
fn an_edge_that_the_table_lacks_is_noticed() -> Verdict {
    let rules = rules(SAMPLE)?;
    let judge = |folder: &str, name: &str, ours: Option<&str>| {
        let rule = rules.iter().find(|rule| rule.covers(folder))?;
        let dependency = Dependency { name: name.to_owned(), ours: ours.map(str::to_owned), dev: false };
        forbidden(&rules, rule, &dependency)
    };
    assert_eq!(judge("crates/postgres", "konstruct-domain", Some("crates/domain")), None);
    assert!(judge("crates/domain", "konstruct-postgres", Some("crates/postgres")).is_some());
    assert!(judge("crates/postgres", "konstruct-aws", Some("crates/aws")).is_some());
    assert!(judge("crates/postgres", "konstruct-tests", Some("tests")).is_some());
    assert_eq!(judge("tests", "konstruct-postgres", Some("crates/postgres")), None);
    assert!(judge("tools/local", "konstruct-domain", Some("crates/domain")).is_some());
    assert_eq!(judge("functions/agent", "konstruct-runtime", Some("crates/runtime")), None);
    assert!(judge("functions/agent", "konstruct-domain", Some("crates/domain")).is_some());
    Ok(())
}

#[test]
fn an_outside_crate_out_of_its_place_is_noticed() -> Verdict {
    let rules = rules(SAMPLE)?;
    let judge = |folder: &str, name: &str| {
        let rule = rules.iter().find(|rule| rule.covers(folder))?;
        forbidden(&rules, rule, &Dependency { name: name.to_owned(), ours: None, dev: false })
    };
    assert_eq!(judge("crates/postgres", "tokio-postgres"), None);
    assert!(judge("crates/runtime", "tokio-postgres").is_some());
    assert!(judge("tools/local", "tokio-postgres").is_some());
    assert_eq!(judge("tests", "tokio-postgres"), None);
    assert_eq!(judge("crates/aws", "aws-sdk-sqs"), None);
    assert!(judge("crates/postgres", "aws-sdk-sqs").is_some());
    assert_eq!(judge("crates/postgres", "serde"), None);
    assert!(judge("crates/domain", "tokio").is_some());
    assert!(judge("functions/agent", "tokio").is_some());
    Ok(())
}
