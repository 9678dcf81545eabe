//! How migrations are named and numbered. What they do to the schema is for the catalogue test.

use crate::functions::TEMPLATE;
use crate::project::{Verdict, file, files, verdict};

#[test]
fn every_migration_is_named_and_numbered_in_turn() -> Verdict {
    let mut broken = Vec::new();
    let mut numbers = Vec::new();
    for file in files()?.iter().filter(|file| file.path.starts_with("migrations/")) {
        match number(&file.path) {
            Some(number) => numbers.push(number),
            None if file.path == "migrations/README.md" => {}
            None => broken.push(format!("{}: named `V<n>__what_it_does.sql`", file.path)),
        }
    }
    numbers.sort_unstable();
    let expected: Vec<usize> = (1..=numbers.len()).collect();
    if numbers.is_empty() || numbers != expected {
        broken.push(format!("migrations: numbered {numbers:?}, which is not 1, 2, 3 … without a gap"));
    }
    verdict(&broken)
}

/// proves OPS-01: a deploy with a new migration runs it, because the custom resource has changed.
#[test]
fn the_template_names_the_newest_migration() -> Verdict {
    let newest = files()?.into_iter().filter_map(|file| Some((number(&file.path)?, file.path))).max();
    let name = newest.map(|(_, path)| path.replace("migrations/", "").replace(".sql", ""));
    let wanted = format!("Schema: {}", name.unwrap_or_default());
    let told = file(TEMPLATE)?.lines().any(|(_, line)| line.trim() == wanted);
    verdict(&if told { Vec::new() } else { vec![format!("{TEMPLATE}: SchemaMigration has no `{wanted}`")] })
}

/// The number in a migration's name; `None` if it is not named like one.
fn number(path: &str) -> Option<usize> {
    let (number, name) = path.strip_prefix("migrations/V")?.strip_suffix(".sql")?.split_once("__")?;
    let named =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if number.starts_with('0') || !named { None } else { number.parse().ok() }
}

#[test]
fn a_migration_without_a_plain_number_and_name_is_none() {
    assert_eq!(number("migrations/V12__add_usage.sql"), Some(12));
    for wrong in
        ["V012__a.sql", "V1_a.sql", "V1__.sql", "V1__Add.sql", "1__a.sql", "V1__a.txt", "old/V1__a.sql"]
    {
        assert_eq!(number(&format!("migrations/{wrong}")), None, "{wrong}");
    }
}
