//! Answers as people read them, or as JSON. What was stored is shown without what would steer a terminal.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal prints")]

use serde_json::{Map, Value};

/// What comes first, in this order; the rest follows by name.
const FIRST: [&str; 16] = [
    "slug",
    "email",
    "provider",
    "server",
    "name",
    "role",
    "url",
    "id",
    "is_active",
    "is_default",
    "has_key",
    "users",
    "agents",
    "models",
    "tools",
    "confirm",
];

/// Columns that would make a list unreadable: `show` has them.
const TOO_LONG: [&str; 6] =
    ["persona", "instructions", "language", "http_hosts", "failures_until_human", "created_at"];

/// An answer on one line.
pub fn json(answer: &Value) {
    println!("{answer}");
}

/// Why there is no answer.
pub fn failure(message: &str) {
    eprintln!("konstruct: {}", plain(message));
}

/// An answer for people: a list as a table, everything else one value a line.
pub fn table(answer: &Value) {
    match answer {
        Value::Array(rows) => print!("{}", listed(rows)),
        Value::Object(members) => print!("{}", told(members)),
        other => println!("{other}"),
    }
}

/// `created tenant`, and what it is now.
fn told(members: &Map<String, Value>) -> String {
    let outcome = members.get("outcome").and_then(Value::as_str);
    let of = members.iter().find_map(|(name, value)| Some((name, value.as_object()?)));
    let (title, members) = match (outcome, of) {
        (Some(outcome), Some((what, members))) => (format!("{what} {outcome}\n"), members),
        _ => (String::new(), members),
    };
    let members = in_order(members);
    let width = members.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines = members.iter().map(|(name, value)| format!("  {name:width$}  {}\n", cell(value)));
    title + &lines.collect::<String>()
}

fn listed(rows: &[Value]) -> String {
    let Some(first) = rows.first().and_then(Value::as_object) else { return "none\n".to_owned() };
    let columns = in_order(first).into_iter().map(|(name, _)| name.as_str());
    let columns: Vec<&str> = columns.filter(|name| !TOO_LONG.contains(name)).collect();
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|name| (*name).to_owned()).collect()];
    for row in rows {
        lines.push(columns.iter().map(|name| cell(row.get(name).unwrap_or(&Value::Null))).collect());
    }
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn in_order(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = members.iter().collect();
    let place = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    members.sort_by_key(|(name, _)| (place(name), name.as_str()));
    members
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => plain(text),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Without control characters: a name is data, and a terminal obeys escapes.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_table_of_what_fits() {
        let rows = [
            json!({"name": "Ada", "is_active": true, "tools": ["a", "b"], "persona": "long"}),
            json!({"name": "Ägidius", "is_active": false, "tools": []}),
        ];
        let text = listed(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("name") && !lines[0].contains("persona"), "{text}");
        assert!(lines[2].contains("Ägidius") && lines[2].contains("no"), "{text}");
        assert_eq!(listed(&[]), "none\n");
    }

    #[test]
    fn an_outcome_stands_above_what_it_is_now() {
        let answer = json!({"outcome": "created", "tenant": {"slug": "acme", "tokens_per_month": null}});
        assert_eq!(
            told(answer.as_object().unwrap()),
            "tenant created\n  slug              acme\n  tokens_per_month  -\n"
        );
        assert_eq!(plain("a\u{1b}[31m\nb"), "a [31m b");
    }
}
