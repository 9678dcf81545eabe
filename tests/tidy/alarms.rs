//! The alarms of infra/watch.yaml against their table in docs/OPERATIONS.md: who is woken finds what to do. Whether an
//! alarm is right is not seen from here.

use std::collections::BTreeSet;

use crate::markdown::{quoted, table};
use crate::project::{File, Verdict, file, verdict};

const TEMPLATE: &str = "infra/watch.yaml";
const PAGE: &str = "docs/OPERATIONS.md";
const HEADER: [&str; 3] = ["alarm", "means", "first step"];
const ALARM: &str = "Type: AWS::CloudWatch::Alarm";
/// Every alarm is called after its stack.
const NAME: &str = "AlarmName: !Sub ${Stack}-";

#[test]
fn each_alarm_has_a_first_step_and_each_first_step_an_alarm() -> Verdict {
    let template = file(TEMPLATE)?;
    let page = file(PAGE)?;
    let rows = table(&page.text, &HEADER).ok_or_else(|| format!("{PAGE}: has no table {HEADER:?}"))?;
    let mut broken = Vec::new();
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for (line, cells) in &rows {
        let [alarm, means, first_step] = cells.as_slice() else {
            broken.push(format!("{PAGE}:{line}: has not {} cells", HEADER.len()));
            continue;
        };
        match quoted(alarm).as_slice() {
            [name] if !told.insert(*name) => broken.push(format!("{PAGE}:{line}: {name} is there twice")),
            [_] if means.is_empty() || first_step.is_empty() => {
                broken.push(format!("{PAGE}:{line}: says nothing"));
            }
            [_] => {}
            _ => broken.push(format!("{PAGE}:{line}: names not one alarm")),
        }
    }
    let alarms = alarms(&template);
    broken.extend(alarms.difference(&told).map(|name| format!("{PAGE}: says nothing of the alarm {name}")));
    broken.extend(told.difference(&alarms).map(|name| format!("{TEMPLATE}: has no alarm {name}")));
    let resources = template.lines().filter(|(_, line)| line.trim() == ALARM).count();
    if resources == 0 || resources != alarms.len() {
        broken.push(format!(
            "{TEMPLATE}: {resources} alarms have {} names that begin with the stack's",
            alarms.len()
        ));
    }
    verdict(&broken)
}

/// The names, without the stack's.
fn alarms(template: &File) -> BTreeSet<&str> {
    template.lines().filter_map(|(_, line)| line.trim().strip_prefix(NAME)).collect()
}
