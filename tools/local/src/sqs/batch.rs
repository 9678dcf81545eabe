//! What a function's answer says of the records it was given (contracts.md 2.2).
//! In doubt the whole batch has failed: deleting a record too many loses a message.

use serde_json::Value;

use crate::lambda::Outcome;

/// The message ids that are done and may be deleted.
pub fn done<'a>(outcome: &Outcome, ids: &[&'a str], reports_failures: bool) -> Vec<&'a str> {
    let Ok(body) = outcome else { return Vec::new() };
    if !reports_failures {
        return ids.to_vec();
    }
    match failures(body) {
        Some(failed) if failed.iter().all(|id| ids.contains(&id.as_str())) => {
            ids.iter().copied().filter(|id| !failed.iter().any(|failed| failed == id)).collect()
        }
        // An id that was not in the batch, or an answer that cannot be read: all of it comes back.
        _ => Vec::new(),
    }
}

/// The ids that are reported as failed; none: the answer cannot be read.
fn failures(body: &[u8]) -> Option<Vec<String>> {
    if body.is_empty() {
        return Some(Vec::new());
    }
    let answer: Value = serde_json::from_slice(body).ok()?;
    let listed = match &answer {
        Value::Null => return Some(Vec::new()),
        Value::Object(members) => match members.get("batchItemFailures") {
            None | Some(Value::Null) => return Some(Vec::new()),
            Some(listed) => listed.as_array()?,
        },
        _ => return None,
    };
    let id =
        |item: &Value| item.get("itemIdentifier")?.as_str().filter(|id| !id.is_empty()).map(str::to_string);
    listed.iter().map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::Failure;

    fn of(body: &str) -> Vec<&'static str> {
        done(&Ok(body.to_string().into()), &["a", "b"], true)
    }

    #[test]
    fn an_answer_without_failures_is_a_complete_success() {
        for body in ["", "null", "{}", r#"{"batchItemFailures":null}"#, r#"{"batchItemFailures":[]}"#] {
            assert_eq!(of(body), ["a", "b"], "{body}");
        }
    }

    #[test]
    fn reported_records_come_back() {
        assert_eq!(of(r#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#), ["a"]);
    }

    #[test]
    fn what_cannot_be_read_is_a_complete_failure() {
        for body in [
            "x",
            "5",
            r#"{"batchItemFailures":{}}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"id":"a"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"c"}]}"#,
        ] {
            assert!(of(body).is_empty(), "{body}");
        }
        assert!(done(&Err(Failure::Crashed), &["a"], false).is_empty());
    }

    #[test]
    fn without_the_setting_every_answer_is_a_success() {
        assert_eq!(done(&Ok("x".into()), &["a"], false), ["a"]);
    }
}
