//! The table in docs/requirements.md is what the tests say of themselves: each names above it what it proves.
//! `UPDATE_DOCS=1` writes it anew. Whether a test proves what it says is for its reader.

use std::collections::BTreeMap;

use crate::project::{File, Verdict, file, files, root};

const PAGE: &str = "docs/requirements.md";
const HEADER: &str = "| ID | proven by |\n| --- | --- |\n";
/// In the order of the requirements.
const FAMILIES: [&str; 7] = ["CHAT", "WS", "SLACK", "CHAN", "AGNT", "TEN", "OPS"];

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn the_page_of_requirements_is_what_the_tests_say() -> Verdict {
    let page = file(PAGE)?;
    let (before, rest) =
        page.text.split_once(HEADER).ok_or_else(|| format!("{PAGE}: has no table `{HEADER}`"))?;
    let (table, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let proofs = proofs(&files()?)?;
    let expected: Vec<String> =
        proofs.iter().map(|(id, tests)| format!("| {} | {} |", id.1, tests.join(", "))).collect();
    let expected = expected.join("\n");
    if table == expected {
        return Ok(());
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = format!("{before}{HEADER}{expected}\n\n{after}");
        return std::fs::write(root()?.join(PAGE), text).map_err(|error| error.to_string().into());
    }
    Err(format!("{PAGE} is not what the tests say: UPDATE_DOCS=1 cargo test -p konstruct-tests --test tidy")
        .into())
}

/// What is proven by which tests, in the order of the requirements.
fn proofs(files: &[File]) -> Result<BTreeMap<(usize, String), Vec<String>>, String> {
    let mut proofs: BTreeMap<(usize, String), Vec<String>> = BTreeMap::new();
    for file in
        files.iter().filter(|file| file.extension() == "rs" && file.path != "tests/tidy/requirements.rs")
    {
        let mut proven: Vec<&str> = Vec::new();
        for (number, line) in file.lines() {
            let ids: Vec<&str> = proven_in(line).collect();
            if !ids.is_empty() {
                proven.extend(ids);
            } else if let Some(name) = declared(line) {
                for id in proven.drain(..) {
                    let family = id.split('-').next().unwrap_or_default();
                    let place = FAMILIES.iter().position(|known| *known == family);
                    let place = place.ok_or_else(|| format!("{}:{number}: nobody knows {id}", file.path))?;
                    let tests = proofs.entry((place, id.to_owned())).or_default();
                    tests.push(format!("`{}::{name}`", file.path));
                }
            } else if line.trim().is_empty() && !proven.is_empty() {
                return Err(format!("{}:{number}: what is proven stands above no test", file.path));
            }
        }
    }
    for tests in proofs.values_mut() {
        tests.sort();
        tests.dedup();
    }
    Ok(proofs)
}

/// The name of the function that a line declares.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
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
fn a_test_proves_what_stands_above_it() {
    let text = concat!(
        "/// ",
        "proves CHAT-04, TEN-01\n#[test]\nfn it_holds() {}\n\n",
        "fn helps() {}\n\n// ",
        "proves CHAT-04\nasync fn so_does_this() {}\n"
    );
    let files = [File { path: "tests/a.rs".to_owned(), text: text.to_owned() }];
    let found = proofs(&files).unwrap_or_default();
    let chat = found.get(&(0, "CHAT-04".to_owned())).cloned().unwrap_or_default();
    assert_eq!(chat, ["`tests/a.rs::it_holds`", "`tests/a.rs::so_does_this`"]);
    assert_eq!(found.get(&(5, "TEN-01".to_owned())).map(Vec::len), Some(1));
    let alone =
        [File { path: "a.rs".to_owned(), text: concat!("// ", "proves CHAT-04\n\nfn f() {}").to_owned() }];
    assert!(proofs(&alone).is_err());
}
