//! docs/requirements.md against the tests it names. Whether a test proves what it says is for its reader.

use crate::markdown::{quoted, table};
use crate::project::{File, Verdict, file, files, verdict};

const PAGE: &str = "docs/requirements.md";

#[test]
fn every_requirement_names_tests_that_exist_and_name_it_back() -> Verdict {
    let page = file(PAGE)?;
    let files = files()?;
    let rows = table(&page.text, &["ID", "proven by"])
        .filter(|rows| !rows.is_empty())
        .ok_or_else(|| format!("{PAGE}: has no table `| ID | proven by |`"))?;
    let mut broken = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (line, cells) in rows {
        let [id, proofs] = cells.as_slice() else {
            broken.push(format!("{PAGE}:{line}: has not two cells"));
            continue;
        };
        if !is_id(id) || seen.contains(id) {
            broken.push(format!("{PAGE}:{line}: `{id}` is no requirement's ID, or is here twice"));
        }
        seen.push(id);
        let tests = quoted(proofs);
        if tests.is_empty() {
            broken.push(format!("{PAGE}:{line}: {id} names no test (`file.rs::test_name`)"));
        }
        for test in tests {
            if let Some(why) = unproven(&files, id, test) {
                broken.push(format!("{PAGE}:{line}: {id}: {why}"));
            }
        }
    }
    for file in files.iter().filter(|file| file.extension() == "rs") {
        for (number, line) in file.lines() {
            for id in proven_in(line).filter(|id| !seen.contains(id)) {
                broken.push(format!("{}:{number}: proves {id}, which {PAGE} does not list", file.path));
            }
        }
    }
    verdict(&broken)
}

/// Why `test` (`path/file.rs::test_name`) does not prove `id`; `None` if it is there and says that it does.
fn unproven(files: &[File], id: &str, test: &str) -> Option<String> {
    let Some((path, name)) = test.split_once("::") else {
        return Some(format!("`{test}` is not `file.rs::test_name`"));
    };
    let name = name.rsplit("::").next().unwrap_or(name);
    let Some(file) = files.iter().find(|file| file.path == path) else {
        return Some(format!("there is no {path}"));
    };
    let declared = format!("fn {name}(");
    if !file.lines().any(|(_, line)| line.contains(&declared)) {
        return Some(format!("{path} has no `fn {name}`"));
    }
    let named = file.lines().any(|(_, line)| proven_in(line).any(|proven| proven == id));
    (!named).then(|| format!("{path} has no `// proves {id}`"))
}

/// The IDs that a line `// proves CHAT-04, TEN-01` names; none for any other line.
fn proven_in(line: &str) -> impl Iterator<Item = &str> {
    let rest = line.trim().trim_start_matches('/').trim_start().strip_prefix("proves ").unwrap_or("");
    rest.split([',', ' ', '.', ':']).filter(|word| is_id(word))
}

/// `CHAT-04`: capitals, a hyphen, two digits.
fn is_id(word: &str) -> bool {
    word.split_once('-').is_some_and(|(family, number)| {
        !family.is_empty()
            && family.chars().all(|c| c.is_ascii_uppercase())
            && number.len() == 2
            && number.chars().all(|c| c.is_ascii_digit())
    })
}

#[test]
fn a_proof_must_exist_and_name_its_requirement() {
    let text = concat!("// ", "proves CHAT-04, TEN-01\n#[test]\nfn it_holds() {}\n");
    let files = [File { path: "tests/integration/a.rs".to_owned(), text: text.to_owned() }];
    let why = |id, test| unproven(&files, id, test);
    assert_eq!(why("CHAT-04", "tests/integration/a.rs::it_holds"), None);
    assert_eq!(why("TEN-01", "tests/integration/a.rs::inner::it_holds"), None);
    assert!(why("TEN-02", "tests/integration/a.rs::it_holds").is_some());
    assert!(why("TEN-01", "tests/integration/a.rs::it_hold").is_some());
    assert!(why("TEN-01", "tests/integration/b.rs::it_holds").is_some());
    assert!(why("TEN-01", "it_holds").is_some());
}
