//! What a file may be called, and what no file may name: machines and package mirrors. It knows no exceptions;
//! what it looks for is put together here so that this file does not name it either.

use crate::project::{File, Verdict, files, verdict};

const DRAWERS: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "misc"];
const MACHINE_FOLDERS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
const MIRROR_WORDS: [&str; 6] = [
    concat!("index", "-url"),
    concat!("index", "_url"),
    concat!("trusted", "-host"),
    concat!("find", "-links"),
    concat!("[sour", "ce."),
    concat!("_auth", "token"),
];

#[test]
fn no_file_or_folder_is_a_drawer_for_anything() -> Verdict {
    let mut broken = Vec::new();
    for file in &files()? {
        if let Some(word) = drawer(&file.path) {
            broken.push(format!("{}: `{word}` says nothing; name it after what it holds", file.path));
        }
    }
    verdict(&broken)
}

#[test]
fn no_file_names_a_folder_of_one_machine() -> Verdict {
    let mut broken = Vec::new();
    for file in &files()? {
        for (number, line) in file.lines() {
            if let Some(folder) = machine_folder(line) {
                broken.push(format!("{}:{number}: `{folder}` exists on one machine only", file.path));
            }
        }
    }
    verdict(&broken)
}

#[test]
fn no_file_names_a_package_mirror() -> Verdict {
    let mut broken = Vec::new();
    for file in &files()? {
        for (number, line) in file.lines() {
            if let Some(what) = mirror(file, line) {
                broken.push(format!(
                    "{}:{number}: {what}: packages come from the public registries",
                    file.path
                ));
            }
        }
    }
    verdict(&broken)
}

/// The word of a path that says nothing, if there is one.
fn drawer(path: &str) -> Option<&str> {
    path.split(['/', '.', '_', '-']).find(|word| DRAWERS.contains(&word.to_lowercase().as_str()))
}

/// The folder at the root of a machine that a line names, if it does. `x/work/y` is a path of the project.
fn machine_folder(line: &str) -> Option<&'static str> {
    MACHINE_FOLDERS.into_iter().find(|folder| {
        line.match_indices(folder).any(|(at, _)| {
            let before = line.get(..at).and_then(|head| head.chars().next_back());
            !before.is_some_and(|c| c.is_alphanumeric() || "._-~*/)}]>".contains(c))
        })
    })
}

/// What a line has to do with a package mirror, if anything.
fn mirror(file: &File, line: &str) -> Option<String> {
    let value = line.trim();
    let foreign = match file.name() {
        "Cargo.lock" => {
            value.starts_with("source = ")
                && value != "source = \"registry+https://github.com/rust-lang/crates.io-index\""
        }
        "package-lock.json" => {
            value.starts_with("\"resolved\":") && !value.contains("\"https://registry.npmjs.org/")
        }
        _ => false,
    };
    if foreign {
        return Some(value.to_owned());
    }
    let lower = line.to_lowercase();
    MIRROR_WORDS.into_iter().find(|word| lower.contains(word)).map(|word| format!("`{word}`"))
}

#[test]
fn the_name_checks_notice_what_they_look_for() {
    assert_eq!(drawer("crates/service/src/string_utils.rs"), Some("utils"));
    assert_eq!(drawer("crates/common/src/lib.rs"), Some("common"));
    assert_eq!(drawer("docs/uncommon.md"), None);
    let [work, root, ..] = MACHINE_FOLDERS;
    assert_eq!(machine_folder(&format!("see `{work}main`")), Some(work));
    assert_eq!(machine_folder(&format!("{root}.cache")), Some(root));
    assert_eq!(machine_folder(&format!("https://example.com{work}x, ./target{root}y")), None);
    let lock = |text: &str| File { path: "Cargo.lock".to_owned(), text: text.to_owned() };
    let own = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    assert_eq!(mirror(&lock(own), own), None);
    let other = "source = \"registry+https://mirror.example.com/index\"";
    assert_eq!(mirror(&lock(other), other), Some(other.to_owned()));
}
