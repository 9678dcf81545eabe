//! Reads the tables of our own pages. It knows no more of Markdown than they need.

/// The rows under the table whose header cells are `header`, each as (line number, cells); `None` if there is no
/// such table.
pub fn table<'a>(text: &'a str, header: &[&str]) -> Option<Vec<(usize, Vec<&'a str>)>> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.find(|(_, line)| cells(line).is_some_and(|cells| cells == header))?;
    lines.next().filter(|(_, line)| line.starts_with("| -") || line.starts_with("|-"))?;
    Some(lines.map_while(|(number, line)| Some((number, cells(line)?))).collect())
}

/// What stands in backticks, in order.
pub fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The cells of a table's line, trimmed; `\|` inside a cell is not supported.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

#[test]
fn a_table_is_read_up_to_the_line_that_ends_it() {
    let text = "intro\n| a | b |\n| --- | --- |\n| `x`, `y` | |\n| z | w |\n\n| not | ours |\n";
    let rows = table(text, &["a", "b"]).unwrap_or_default();
    assert_eq!(rows, vec![(4, vec!["`x`, `y`", ""]), (5, vec!["z", "w"])]);
    assert_eq!(quoted("`x`, `y` only"), vec!["x", "y"]);
    assert_eq!(table(text, &["b", "a"]), None);
}
