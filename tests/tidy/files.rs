//! How long a file may be and how it begins. It does not judge what is in between.

use crate::project::{Verdict, files, verdict};

const LINES_MAX: usize = 500;
const MAIN_LINES_MAX: usize = 40;
const COUNTED: [&str; 5] = ["rs", "sql", "py", "ts", "tsx"];

#[test]
fn no_source_file_is_longer_than_500_lines() -> Verdict {
    let mut broken = Vec::new();
    for file in files()?.iter().filter(|file| COUNTED.contains(&file.extension())) {
        let lines = file.lines().count();
        if lines > LINES_MAX {
            broken
                .push(format!("{}: {lines} lines, {LINES_MAX} are the end: split it by subject", file.path));
        }
    }
    verdict(&broken)
}

#[test]
fn no_function_has_a_main_of_more_than_40_lines() -> Verdict {
    let mut broken = Vec::new();
    let files = files()?;
    let mains = files.iter().filter(|file| file.path.starts_with("functions/") && file.name() == "main.rs");
    for file in mains {
        let lines = file.lines().count();
        if lines > MAIN_LINES_MAX {
            broken.push(format!("{}: {lines} lines, a main has at most {MAIN_LINES_MAX}", file.path));
        }
    }
    verdict(&broken)
}

#[test]
fn every_rust_file_says_first_what_it_is() -> Verdict {
    let mut broken = Vec::new();
    for file in files()?.iter().filter(|file| file.extension() == "rs") {
        if !file.text.starts_with("//! ") {
            broken.push(format!("{}: begins with `//!`: what it is and one thing it must not do", file.path));
        }
    }
    verdict(&broken)
}

#[test]
fn no_module_is_a_mod_rs() -> Verdict {
    let mut broken = Vec::new();
    for file in files()?.iter().filter(|file| file.name() == "mod.rs") {
        broken.push(format!("{}: `name.rs` beside `name/`", file.path));
    }
    verdict(&broken)
}
