//! functions/ against infra/template.yaml and events/, and what none of them may know. It reads the template line by
//! line; what the translator makes of it is for cfn-lint.

use crate::project::{File, Verdict, file, files, folders_in, verdict};

/// The template that is deployed.
pub const TEMPLATE: &str = "infra/template.yaml";
const LOCAL_ONLY: [&str; 3] = [concat!("/_", "local"), concat!("/_", "model"), concat!("/_", "recorder")];
const LOCAL_ONLY_WORDS: [&str; 3] = ["recorder", "development model", "tickets"];

/// The folders that the template's functions are built from, with the line of each.
pub fn folders_of_template(template: &File) -> Vec<(usize, &str)> {
    template
        .lines()
        .filter_map(|(number, line)| {
            let folder = line.trim().strip_prefix("CodeUri: ../target/lambda/")?;
            Some((number, folder.trim_end_matches('/')))
        })
        .collect()
}

#[test]
fn every_function_is_in_the_template_under_its_own_name() -> Verdict {
    let template = file(TEMPLATE)?;
    let entries = folders_of_template(&template);
    let functions = folders_in(&files()?, "functions");
    let mut broken = Vec::new();
    for function in &functions {
        let times = entries.iter().filter(|(_, folder)| folder == function).count();
        if times != 1 {
            broken.push(format!("functions/{function}: {times} entries in {TEMPLATE}, there must be one"));
        }
        let name = format!("FunctionName: !Sub \"${{AWS::StackName}}-{function}\"");
        if !template.lines().any(|(_, line)| line.trim() == name) {
            broken.push(format!("functions/{function}: {TEMPLATE} has no `{name}`"));
        }
    }
    for (line, folder) in entries.iter().filter(|(_, folder)| !functions.iter().any(|name| name == folder)) {
        broken.push(format!("{TEMPLATE}:{line}: there is no functions/{folder}"));
    }
    let declared =
        template.lines().filter(|(_, line)| line.trim() == "Type: AWS::Serverless::Function").count();
    if declared != entries.len() {
        broken.push(format!(
            "{TEMPLATE}: {declared} functions, {} of them built from target/lambda/",
            entries.len()
        ));
    }
    verdict(&broken)
}

#[test]
fn every_function_has_sample_events_and_every_sample_a_function() -> Verdict {
    let files = files()?;
    let functions = folders_in(&files, "functions");
    let mut broken = Vec::new();
    for function in &functions {
        let folder = format!("events/{function}/");
        if !files.iter().any(|file| file.path.starts_with(&folder) && file.extension() == "json") {
            broken.push(format!("{folder}: has no sample event (*.json)"));
        }
    }
    for folder in folders_in(&files, "events").iter().filter(|folder| !functions.contains(folder)) {
        broken.push(format!("events/{folder}: there is no such function"));
    }
    verdict(&broken)
}

#[test]
fn every_sample_event_is_a_json_object() -> Verdict {
    let mut broken = Vec::new();
    let is_sample = |file: &&File| file.path.starts_with("events/") && file.extension() == "json";
    for file in files()?.iter().filter(is_sample) {
        match serde_json::from_str::<serde_json::Value>(&file.text) {
            Ok(value) if value.is_object() => {}
            Ok(_) => broken.push(format!("{}: no object", file.path)),
            Err(error) => broken.push(format!("{}: {error}", file.path)),
        }
    }
    verdict(&broken)
}

#[test]
fn nothing_that_is_deployed_names_what_only_the_local_stack_has() -> Verdict {
    let mut broken = Vec::new();
    let deployed = ["infra/", "functions/", "crates/", "migrations/"];
    for file in files()?.iter().filter(|file| deployed.iter().any(|folder| file.path.starts_with(folder))) {
        for (number, line) in file.lines() {
            if let Some(what) = local_only(line) {
                broken.push(format!("{}:{number}: `{what}` lives in tools/local only", file.path));
            }
        }
    }
    verdict(&broken)
}

/// What a line names that only the local stack has, if anything.
fn local_only(line: &str) -> Option<&'static str> {
    let lower = line.to_lowercase();
    let whole = |word: &&str| {
        lower.match_indices(*word).any(|(at, found)| {
            let before = lower.get(..at).and_then(|head| head.chars().next_back());
            let after = lower.get(at + found.len()..).and_then(|tail| tail.chars().next());
            !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
        })
    };
    LOCAL_ONLY
        .into_iter()
        .find(|path| lower.contains(path))
        .or_else(|| LOCAL_ONLY_WORDS.into_iter().find(whole))
}

#[test]
fn the_local_stacks_own_paths_and_words_are_noticed() {
    assert!(local_only(concat!("GET /_", "local/functions")).is_some());
    assert_eq!(local_only("recorder_url: &str"), Some("recorder"));
    assert_eq!(local_only("let model = default_model(); LLM_MODEL"), None);
    assert_eq!(local_only("a prerecorded answer"), None);
}
