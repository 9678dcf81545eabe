//! One message's way through all logs by its trace id (OPS-04): undisturbed, through a death in mid-answer, and through
//! a yes. It reads what the functions wrote and looks inside nothing.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::client::{Rest, Ws, text_of};
use crate::device::Device;
use crate::stack::Stack;
use crate::trouble::Trouble;

const LINES_WITHIN: Duration = Duration::from_secs(60);

/// The functions' lines: the log's name and the object.
fn lines(stack: &Stack) -> Vec<(String, Value)> {
    let logs = stack.logs().into_iter();
    let of_log = logs.map(|(path, text)| {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let parsed = text.lines().filter(|line| line.starts_with('{'));
        let parsed = parsed.filter_map(|line| serde_json::from_str(line).ok());
        parsed.map(move |line: Value| (name.clone(), line)).collect::<Vec<_>>()
    });
    of_log.flatten().collect()
}

/// The way of a message, once `until` is so of it: every line with its trace id.
async fn way_of(
    stack: &Stack,
    message: &str,
    until: impl Fn(&[(String, Value)]) -> bool,
) -> Vec<(String, Value)> {
    let began = Instant::now();
    loop {
        let all = lines(stack);
        let accepted = |(log, line): &&(String, Value)| {
            log == "ws-message" && line["message"] == "accepted" && line["message_id"] == message
        };
        let trace = all.iter().find(accepted).map(|(_, line)| line["trace_id"].clone());
        let way: Vec<_> =
            all.into_iter().filter(|(_, line)| Some(&line["trace_id"]) == trace.as_ref()).collect();
        if until(&way) {
            return way;
        }
        let told: Vec<String> = way.iter().map(|(log, line)| format!("{log}: {}", line["message"])).collect();
        assert!(began.elapsed() < LINES_WITHIN, "{message} {trace:?}: {told:#?}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// The lines of a function that say this.
fn said<'a>(way: &'a [(String, Value)], log: &str, message: &str) -> Vec<&'a Value> {
    way.iter().filter(|(of, line)| of == log && line["message"] == message).map(|(_, line)| line).collect()
}

/// Whatever line of whatever log names the message carries its trace, its tenant and a request.
fn check_every_line(stack: &Stack, message: &str, trace: &Value) {
    for (path, text) in stack.logs() {
        for line in text.lines().filter(|line| line.contains(message)) {
            let parsed: Value = serde_json::from_str(line).unwrap_or_default();
            assert_eq!(parsed["trace_id"], *trace, "{}: {line}", path.display());
            for id in ["request_id", "tenant_id", "conversation_id", "function", "timestamp"] {
                assert!(parsed[id].is_string(), "{}: no {id} in {line}", path.display());
            }
        }
    }
}

fn delivered(way: &[(String, Value)]) -> bool {
    !said(way, "agent", "delivered").is_empty()
}

/// proves OPS-04
#[tokio::test]
async fn one_trace_id_finds_every_line_of_a_message_and_its_metrics_are_the_answers() {
    let stack = Stack::get();
    let mut ws = Ws::session(&stack.member("acme")).await;
    // As many words as no other test asks for.
    let id = ws.say("/tokens 437 0").await;
    ws.end_of(&id).await;
    let way = way_of(stack, &id, delivered).await;
    for (log, message) in [
        ("ws-message", "accepted"),
        ("ws-message", "enqueued"),
        ("agent", "record received"),
        ("agent", "turn begun"),
        ("agent", "model asked"),
        ("agent", "first token"),
        ("agent", "turn ended"),
        ("agent", "delivered"),
    ] {
        assert_eq!(said(&way, log, message).len(), 1, "{log}: {message}");
    }
    let trace = &way[0].1["trace_id"];
    check_every_line(stack, &id, trace);
    let received = said(&way, "agent", "record received")[0];
    assert_ne!(
        received["invocation_trace_id"], *trace,
        "as on AWS, the agent's invocation has a trace of its own"
    );
    assert_eq!(received["waker_trace_id"], *trace, "SQS hands on the sender's trace header");
    assert!(said(&way, "agent", "delivered")[0]["posts"].as_u64() >= Some(1));

    let calls = Rest::with(None).get(&format!("{}/_model/calls", stack.url("model_url"))).await.body;
    let call = calls.as_array().expect("calls").iter().find(|call| call["completion_tokens"] == 437);
    let call = call.expect("the model's own count");
    let ended = said(&way, "agent", "turn ended")[0];
    assert_eq!(ended["outcome"], "answered");
    assert_eq!((&ended["CompletionTokens"], &ended["PromptTokens"]), (&json!(437), &call["prompt_tokens"]));
    assert!(ended["FirstToken"].as_u64() <= ended["TurnDuration"].as_u64() && ended["FirstToken"].is_u64());
    assert_eq!(ended["TurnsFailed"], 0);
    assert_eq!(
        metrics(ended),
        ["CompletionTokens", "FirstToken", "PromptTokens", "TurnDuration", "TurnsFailed"]
    );
    assert_eq!(metrics(received), ["QueueAge"]);
    let all = lines(stack);
    let request = &ended["request_id"];
    let posts = all.iter().find(|(_, line)| line["Posts"].is_u64() && line["request_id"] == *request);
    assert_eq!(metrics(&posts.expect("the invocation's posts").1), ["PostFailures", "Posts"]);
    let cold =
        all.iter().find(|(log, line)| log == "agent" && line["ColdStarts"] == 1).expect("a cold start");
    assert_eq!(cold.1["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["function"]]));
    shows_its_way(stack, &id, trace.as_str().expect("a trace id"));
}

/// The metrics of a line, and that they are there in the stack's namespace.
fn metrics(line: &Value) -> Vec<String> {
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().expect("directives");
    assert!(directives.iter().all(|d| d["Namespace"].as_str().is_some_and(|n| n.starts_with("Konstruct/"))));
    let named = directives.iter().flat_map(|directive| directive["Metrics"].as_array().expect("metrics"));
    let names: BTreeSet<String> = named.map(|m| m["Name"].as_str().expect("a name").to_owned()).collect();
    assert!(names.iter().all(|name| line[name].is_number()), "{line}");
    names.into_iter().collect()
}

/// `make trace` tells of a message, by its own id and by its trace, and says so where it knows of none.
fn shows_its_way(stack: &Stack, message: &str, trace: &str) {
    let run = |id: &str| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/setup/trace");
        let ran = Command::new(script).arg(id).env("STATE_DIR", &stack.state).output().expect("python3");
        (ran.status.success(), String::from_utf8_lossy(&ran.stdout).into_owned())
    };
    let (found, by_message) = run(message);
    assert!(found && by_message.contains(trace), "{by_message}");
    let order = [
        "ws-message",
        "accepted",
        "enqueued",
        "agent",
        "turn begun",
        "model asked",
        "turn ended",
        "delivered",
    ];
    let at: Vec<usize> = order.iter().map(|word| by_message.find(word).expect(word)).collect();
    assert!(at.is_sorted(), "{by_message}");
    let x_ray = format!("1-{}-{}", &trace[..8], &trace[8..]);
    assert_eq!(run(trace), (true, by_message.clone()));
    assert_eq!(run(&x_ray), (true, by_message));
    assert_eq!(run("0af7651916cd43dd8448eb211c80319c"), (false, String::new()));
}

/// proves OPS-04
#[tokio::test]
async fn an_agent_that_dies_in_mid_answer_and_the_one_behind_it_log_under_the_same_trace() {
    let trouble = Trouble::deaths().await;
    let device = Device::fresh(trouble.stack, &trouble.user()).await;
    device.end_of(&device.said("warm up, please").await, Duration::from_secs(60)).await;
    trouble.kill("agent", 1500, 1).await;
    let id = device.said("/tokens 80 20").await;
    device.end_of(&id, Duration::from_secs(120)).await;
    let way = way_of(trouble.stack, &id, delivered).await;
    let begun = said(&way, "agent", "turn begun");
    let requests: BTreeSet<&str> = begun.iter().filter_map(|line| line["request_id"].as_str()).collect();
    assert!(requests.len() >= 2, "{begun:#?}");
    assert!(said(&way, "agent", "model asked").len() >= 2);
    assert_eq!(said(&way, "agent", "turn ended").len(), 1);
    check_every_line(trouble.stack, &id, &way[0].1["trace_id"]);
}

/// proves OPS-04, AGNT-05
#[tokio::test]
async fn what_a_yes_sets_going_is_logged_under_the_trace_of_the_message_it_was_asked_for() {
    let stack = Stack::get();
    let mut ws = Ws::session(&stack.member("acme")).await;
    let id = ws.say("/tool tickets_close {\"ticket\": \"traced\"}").await;
    let asked = ws.until(|frame| frame["type"] == "tool_confirm").await;
    way_of(stack, &id, |way| !said(way, "agent", "a call waits for a yes").is_empty()).await;
    ws.send(&json!({"type": "tool_confirm", "tool_call_id": asked["tool_call_id"], "approve": true})).await;
    assert!(text_of(&ws.end_of(&id).await).contains("traced"));
    let way = way_of(stack, &id, delivered).await;
    let decided = said(&way, "ws-control", "enqueued");
    assert_eq!((decided.len(), &decided[0]["why"]), (1, &json!("decision")));
    let tasks: Vec<&Value> =
        said(&way, "agent", "record received").into_iter().map(|line| &line["task"]).collect();
    assert_eq!(tasks, ["message", "continue"]);
    assert_eq!(said(&way, "agent", "tool begun")[0]["tool"], "tickets_close");
    assert_eq!(said(&way, "agent", "tool ended").len(), 1);
    let left = said(&way, "agent", "turn left");
    assert_eq!((left.len(), &left[0]["outcome"]), (1, &json!("waits")));
    assert_eq!(said(&way, "agent", "turn ended").len(), 1);
    check_every_line(stack, &id, &way[0].1["trace_id"]);
}

/// proves OPS-04
#[tokio::test]
async fn a_turn_that_the_janitor_rescues_is_logged_under_the_trace_it_was_accepted_in() {
    let trouble = Trouble::deaths().await;
    let device = Device::fresh(trouble.stack, &trouble.user()).await;
    // It dies before its first act: the record stays hidden for as long as the agent may take.
    trouble.kill("agent", 0, 1).await;
    let id = device.said("rescue this, please").await;
    let aged = format!("UPDATE turns SET created_at = created_at - interval '1 minute' WHERE id = '{id}'");
    trouble.stack.sql(&aged);
    device.end_of(&id, Duration::from_secs(180)).await;
    let way = way_of(trouble.stack, &id, delivered).await;
    let woken = said(&way, "janitor", "enqueued");
    assert!(woken.iter().any(|line| line["why"] == "rescue"), "{woken:?}");
    let received = said(&way, "agent", "record received");
    assert!(received.iter().any(|line| line["rescue"] == true), "{received:?}");
    check_every_line(trouble.stack, &id, &way[0].1["trace_id"]);
}
