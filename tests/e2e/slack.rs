//! Slack end to end: events as Slack signs them, answers as the recorder took them. Nobody looks inside.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use konstruct_http::{Client, ClientConfig};
use konstruct_tests::seeds::Chance;
use serde_json::{Value, json};

use crate::stack::Stack;
use crate::unlogged;

const BOT: &str = "U00FAKEBOT01";
const THINKING: &str = "Thinking";

/// Slack's side of an installation.
pub struct Workspace {
    client: Client,
    stack: &'static Stack,
}

impl Workspace {
    fn new() -> Self {
        Self::of(Stack::get())
    }

    pub fn of(stack: &'static Stack) -> Self {
        let config = ClientConfig { allow_plain: true, ..ClientConfig::default() };
        Self { client: Client::new(config), stack }
    }

    /// Tells the recorder how a next call ends.
    pub async fn script(&self, script: &Value) {
        self.on_script("POST", script.to_string()).await;
    }

    /// From here on calls succeed.
    pub async fn unscript(&self) {
        self.on_script("DELETE", String::new()).await;
    }

    async fn on_script(&self, method: &str, body: String) {
        let url = format!("{}/_recorder/script", self.stack.url("recorder_url"));
        let request =
            http::Request::builder().method(method).uri(url).header("content-type", "application/json");
        let request = request.body(Bytes::from(body)).expect("a request");
        let answer = self.client.send(request).await.expect("an answer");
        assert_eq!(answer.status.as_u16(), 204);
    }

    /// How many calls about a room did not succeed.
    pub async fn failed_calls(&self, room: &str) -> usize {
        let calls = self.calls().await;
        let failed = |call: &&Value| call["args"]["channel"] == room && call["response"]["ok"] != true;
        calls.iter().filter(failed).count()
    }

    fn secret(&self) -> &str {
        self.stack.info["secrets"]["slack_signing_secret"].as_str().expect("a secret")
    }

    /// Sends a body with a signature made at `age` seconds ago with this secret.
    async fn deliver_as(&self, body: &str, secret: &str, age: i64) -> u16 {
        unlogged::body(body);
        let stamp = (time::OffsetDateTime::now_utc().unix_timestamp() - age).to_string();
        let signed = format!("v0:{stamp}:{body}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, signed.as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.post(body, &[("x-slack-request-timestamp", &stamp), ("x-slack-signature", &format!("v0={hex}"))])
            .await
            .0
    }

    async fn post(&self, body: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let url = format!("{}/slack/events", self.stack.url("http_url"));
        let mut request =
            http::Request::builder().method("POST").uri(url).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::from(body.to_owned())).expect("a request");
        let answer = self.client.send(request).await.expect("an answer");
        let status = answer.status.as_u16();
        let text = answer.body.collect(1_000_000).await.expect("a body");
        (status, String::from_utf8_lossy(&text).into_owned())
    }

    pub async fn deliver(&self, event: &Value) -> u16 {
        self.deliver_as(&event.to_string(), self.secret(), 0).await
    }

    /// Mentions the bot in a new thread with a word, which its answer has again.
    pub async fn answers(&self, word: &str) {
        let (room, ts) = (room(), new_ts());
        assert_eq!(self.deliver(&event(&room, &ts, &mention(word), &json!({}))).await, 200);
        let answered = |texts: &Vec<String>| texts.iter().any(|text| text.contains(word));
        self.until(&room, |threads| threads.get(&ts).is_some_and(answered)).await;
    }

    /// Every call that the recorder took.
    async fn calls(&self) -> Vec<Value> {
        let url = format!("{}/_recorder/calls?channel=slack", self.stack.url("recorder_url"));
        let request = http::Request::builder().uri(url).body(Bytes::new()).expect("a request");
        let answer = self.client.send(request).await.expect("an answer");
        let bytes = answer.body.collect(200_000_000).await.expect("a body");
        serde_json::from_slice(&bytes).expect("a list")
    }

    /// What stands in a room's threads: the texts by thread, put together from posts, edits and streams.
    pub async fn threads(&self, room: &str) -> BTreeMap<String, Vec<String>> {
        let mut posts: BTreeMap<String, (String, String)> = BTreeMap::new();
        for call in self.calls().await {
            let (args, answer) = (&call["args"], &call["response"]);
            if call["status"] != 200 || answer["ok"] != true || args["channel"] != room {
                continue;
            }
            let ts = |of: &Value| of["ts"].as_str().unwrap_or_default().to_owned();
            match call["method"].as_str().unwrap_or_default() {
                "chat.postMessage" | "chat.startStream" => {
                    let thread = args["thread_ts"].as_str().unwrap_or_default().to_owned();
                    posts.insert(ts(answer), (thread, shown(args)));
                }
                "chat.update" => {
                    if let Some(post) = posts.get_mut(&ts(args)) {
                        post.1 = shown(args);
                    }
                }
                "chat.appendStream" | "chat.stopStream" => {
                    if let Some(post) = posts.get_mut(&ts(args)) {
                        post.1.push_str(&shown(args));
                    }
                }
                "chat.delete" => drop(posts.remove(&ts(args))),
                _ => {}
            }
        }
        let mut threads: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (thread, text) in posts.into_values() {
            threads.entry(thread).or_default().push(text);
        }
        threads
    }

    /// Waits until a room looks so.
    async fn until(
        &self,
        room: &str,
        like: impl Fn(&BTreeMap<String, Vec<String>>) -> bool,
    ) -> BTreeMap<String, Vec<String>> {
        let began = std::time::Instant::now();
        loop {
            let threads = self.threads(room).await;
            if like(&threads) {
                return threads;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{room}: {threads:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The text that a reader sees of a call.
fn shown(args: &Value) -> String {
    match args {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(shown).collect(),
        _ => ["chunks", "blocks", "elements", "markdown_text", "text"]
            .iter()
            .find_map(|key| args.get(*key).filter(|value| !value.is_null()).map(shown))
            .unwrap_or_default(),
    }
}

fn new_ts() -> String {
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    format!("{now}.{:06}", uuid::Uuid::new_v4().as_u128() % 1_000_000)
}

fn event(room: &str, ts: &str, text: &str, more: &Value) -> Value {
    let mut inner = json!({"type": "app_mention", "user": "U00FAKEUSER1", "ts": ts, "event_ts": ts, "text": text, "channel": room});
    if let (Some(inner), Some(more)) = (inner.as_object_mut(), more.as_object()) {
        inner.extend(more.clone());
    }
    json!({"type": "event_callback", "team_id": "T00FAKE00AA", "api_app_id": "A00FAKEAPP01", "event": inner,
        "event_id": format!("Ev{}", uuid::Uuid::new_v4().simple()), "event_time": 1,
        "authorizations": [{"team_id": "T00FAKE00AA", "user_id": BOT, "is_bot": true}]})
}

pub fn room() -> String {
    format!("C{}", uuid::Uuid::new_v4().simple().to_string().to_uppercase().get(..12).expect("letters"))
}

fn mention(text: &str) -> String {
    format!("<@{BOT}> {text}")
}

/// proves SLACK-01
#[tokio::test]
async fn only_what_slack_signed_is_heard() {
    let slack = Workspace::new();
    let challenge = json!({"type": "url_verification", "challenge": "abc-123"}).to_string();
    let room = room();
    let body = event(&room, &new_ts(), &mention("hi"), &json!({})).to_string();
    assert_eq!(slack.deliver_as(&challenge, slack.secret(), 0).await, 200);
    for (body, secret, age) in [
        (&body, "wrong", 0),
        (&body, slack.secret(), 301),
        (&body, slack.secret(), -301),
        (&challenge, "wrong", 0),
    ] {
        assert_eq!(slack.deliver_as(body, secret, age).await, 401, "{age}");
    }
    assert_eq!(slack.post(&body, &[]).await.0, 401);
    assert_eq!(
        slack.post(&body, &[("x-slack-request-timestamp", "1"), ("x-slack-signature", "v0=00")]).await.0,
        401
    );
    assert!(slack.threads(&room).await.is_empty());
}

/// proves SLACK-03
#[tokio::test]
async fn an_unknown_workspace_and_what_is_not_understood_are_answered_200_and_dropped() {
    let slack = Workspace::new();
    let room = room();
    let mut stranger = event(&room, &new_ts(), &mention("hi"), &json!({}));
    stranger["team_id"] = json!("T00UNKNOWN0");
    let nonsense =
        [json!([]), json!({"type": "event_callback"}), json!({"type": "event_callback", "event": 7})];
    for body in [&stranger].into_iter().chain(&nonsense) {
        assert_eq!(slack.deliver(body).await, 200, "{body}");
    }
    assert_eq!(slack.deliver_as("not json", slack.secret(), 0).await, 200);
    assert!(slack.threads(&room).await.is_empty());
}

/// proves SLACK-02, SLACK-04, SLACK-07, CHAN-05
#[tokio::test]
async fn a_mention_is_answered_once_in_its_thread_whatever_comes_again() {
    let slack = Workspace::new();
    let (room, ts) = (room(), new_ts());
    let first = event(&room, &ts, &mention("what is kiwi?"), &json!({}));
    let as_message =
        event(&room, &ts, &mention("what is kiwi?"), &json!({"type": "message", "channel_type": "channel"}));
    for body in [&first, &as_message, &first] {
        assert_eq!(slack.deliver(body).await, 200);
    }
    let answered = |threads: &BTreeMap<String, Vec<String>>| {
        threads.get(&ts).is_some_and(|texts| texts.len() == 1 && texts[0].contains("what is kiwi?"))
    };
    let threads = slack.until(&room, answered).await;
    assert_eq!(threads.len(), 1, "{threads:?}");
    assert!(!threads[&ts][0].contains(BOT), "the mention was stripped");
    let thought = slack
        .calls()
        .await
        .iter()
        .any(|call| call["args"]["thread_ts"] == json!(ts) && shown(&call["args"]).contains(THINKING));
    assert!(thought, "no placeholder was posted");
}

/// proves SLACK-01, SLACK-04
#[tokio::test]
async fn what_a_model_writes_can_ping_nobody_and_a_long_answer_is_cut_into_parts() {
    let slack = Workspace::new();
    let (room, ts) = (room(), new_ts());
    // The development model repeats what it is told: entities arrive as Slack escapes them.
    let text = mention("say &lt;!channel&gt; &amp; &lt;@U12345678&gt;");
    assert_eq!(slack.deliver(&event(&room, &ts, &text, &json!({}))).await, 200);
    let long = new_ts();
    assert_eq!(slack.deliver(&event(&room, &long, &mention("/tokens 4000 4000"), &json!({}))).await, 200);
    let whole: Vec<String> = (1..=4000).map(|n| format!("w{n}")).collect();
    let words =
        |texts: &[String]| -> usize { texts.iter().map(|text| text.split_whitespace().count()).sum() };
    let threads = slack
        .until(&room, |threads| {
            threads.get(&ts).is_some_and(|texts| texts.len() == 1 && texts[0].contains("say"))
                && threads.get(&long).is_some_and(|texts| words(texts) == 4000)
        })
        .await;
    let said = &threads[&ts][0];
    assert!(!said.contains("<!") && !said.contains("<@"), "{said}");
    assert!(said.contains("&lt;!channel&gt; &amp; &lt;@U12345678&gt;"), "{said}");
    assert!(threads[&long].len() > 1 && threads[&long].iter().all(|part| part.chars().count() <= 12_000));
    let mut parts: Vec<&str> = threads[&long].iter().flat_map(|part| part.split_whitespace()).collect();
    parts.sort_unstable();
    let mut expected: Vec<&str> = whole.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(parts, expected, "nothing is lost and nothing twice");
}

/// What is to be done with a captured event: whether a person's message in it is to be answered, and in which thread.
fn expected(event: &Value) -> Option<(String, String, String)> {
    let inner = &event["event"];
    let ours = ["T00FAKE00AA", "T00FAKE00BB"].contains(&event["team_id"].as_str()?);
    if !ours || inner.get("bot_id").is_some() || inner.get("subtype").is_some() {
        return None;
    }
    let room = inner["channel"].as_str()?.to_owned();
    let ts = inner["ts"].as_str()?.to_owned();
    let thread = inner["thread_ts"].as_str().unwrap_or(&ts).to_owned();
    Some((room, thread, ts))
}

/// The captures of the shared fixtures; `None` where they are not there.
fn captures() -> Option<Vec<Value>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/slack");
    let mut events = Vec::new();
    for file in std::fs::read_dir(folder).ok()? {
        let text = std::fs::read_to_string(file.ok()?.path()).ok()?;
        let capture: Value = serde_json::from_str(&text).ok()?;
        events
            .extend(capture.as_object()?.values().filter(|value| value["type"] == "event_callback").cloned());
    }
    Some(events)
}

/// proves SLACK-01, SLACK-02, SLACK-05, SLACK-07
#[tokio::test]
async fn captured_events_in_order_shuffled_and_twice_are_each_answered_once_in_the_right_thread() {
    let Some(captures) = captures() else {
        println!("the captures are not here: nothing was replayed");
        return;
    };
    let slack = Workspace::new();
    for (n, shuffled) in [(0_u64, false), (1, true), (2, true)] {
        let mut events: Vec<Value> = captures.iter().chain(&captures).cloned().collect();
        events.sort_by_key(|event| event["event"]["ts"].as_str().unwrap_or_default().to_owned());
        let mut chance = Chance::of(n);
        if shuffled {
            for at in (1..events.len()).rev() {
                events.swap(at, usize::try_from(chance.below(at as u64 + 1)).expect("an index"));
            }
        }
        // A room of its own for each replay: the same message in another room is another message.
        let rooms = format!("R{n}{}", room());
        let mut wanted: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for event in &mut events {
            let Some(own) = event["event"]["channel"].as_str().map(|room| format!("{room}{rooms}")) else {
                continue;
            };
            event["event"]["channel"] = json!(own);
            if let Some((room, thread, ts)) = expected(event)
                && seen.insert((room.clone(), ts))
            {
                *wanted.entry(room).or_default().entry(thread).or_default() += 1;
            }
        }
        for event in &events {
            assert_eq!(slack.deliver(event).await, 200);
        }
        for (room, threads) in &wanted {
            let stand = slack
                .until(room, |stand| {
                    threads.iter().all(|(thread, count)| {
                        stand.get(thread).is_some_and(|texts| {
                            texts.len() >= *count && texts.iter().all(|text| !text.contains(THINKING))
                        })
                    })
                })
                .await;
            let counted: BTreeMap<String, usize> =
                stand.into_iter().map(|(thread, texts)| (thread, texts.len())).collect();
            assert_eq!(&counted, threads, "replay {n}, room {room}");
        }
        println!(
            "captures, replay {n} (shuffled: {shuffled}): {} deliveries, {} messages answered",
            events.len(),
            seen.len()
        );
    }
}

/// proves SLACK-06, OPS-04
#[tokio::test]
async fn no_token_and_no_secret_is_in_any_log() {
    let slack = Workspace::new();
    let (room, ts) = (room(), new_ts());
    assert_eq!(slack.deliver(&event(&room, &ts, &mention("hello"), &json!({}))).await, 200);
    slack.until(&room, |threads| threads.get(&ts).is_some_and(|texts| !texts[0].contains(THINKING))).await;
    let mut secrets: Vec<String> =
        slack.calls().await.iter().filter_map(|call| Some(call["token"].as_str()?.to_owned())).collect();
    secrets.retain(|token| token.starts_with("xoxb-t0"));
    assert!(!secrets.is_empty(), "no call had a token");
    secrets.push(slack.secret().to_owned());
    secrets.dedup();
    for (path, text) in slack.stack.logs() {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{} holds a secret", path.display());
        }
    }
}

/// proves AGNT-05, AGNT-06, CHAN-05
#[tokio::test]
async fn a_yes_in_a_thread_runs_what_waits_and_a_humans_reply_reaches_the_thread() {
    let slack = Workspace::new();
    let (room, ts, ticket) = (room(), new_ts(), format!("t{}", uuid::Uuid::new_v4().simple()));
    let reply_in_thread = |text: &str| {
        let more = json!({"type": "message", "thread_ts": ts, "channel_type": "channel"});
        event(&room, &new_ts(), text, &more)
    };
    let stands = async |like: &str| {
        let one = |threads: &BTreeMap<String, Vec<String>>| {
            threads.get(&ts).is_some_and(|texts| texts.iter().any(|text| text.contains(like)))
        };
        slack.until(&room, one).await.remove(&ts).expect("the thread")
    };
    let ask = mention(&format!("/tool tickets_close {{\"ticket\": \"{ticket}\"}}"));
    assert_eq!(slack.deliver(&event(&room, &ts, &ask, &json!({}))).await, 200);
    assert_eq!(stands("May I run").await.len(), 1, "the question stands in the placeholder's place");
    assert_eq!(slack.deliver(&reply_in_thread("yes")).await, 200);
    let answered = stands("is closed").await;
    assert_eq!(answered.len(), 1, "{answered:?}");
    assert!(!answered[0].contains("May I run"), "the answer takes the question's place: {answered:?}");

    let rest = crate::client::Rest::of(&slack.stack.admin("acme"));
    let path = format!("/conversations?tenant_id={}&status=ai&limit=200", slack.stack.tenant_id("acme"));
    let listed = rest.get(&path).await.body;
    let found = listed
        .as_array()
        .expect("a list")
        .iter()
        .find(|line| line["last_message_preview"].to_string().contains(&ticket));
    let conversation = found.expect("the thread's conversation")["id"].as_str().expect("an id").to_owned();
    let said = json!({"content": "A human is here now."});
    let taken = rest.post(&format!("/conversations/{conversation}/replies"), said).await;
    assert_eq!(taken.status, 202, "{}", taken.body);
    assert_eq!(stands("A human is here now.").await.len(), 2);
    assert_eq!(slack.deliver(&reply_in_thread("thank you, human")).await, 200);
    let back = format!("/conversations/{conversation}/escalation");
    let back = rest.call("PUT", &back, Some(json!({"status": "ai"}))).await;
    assert_eq!((back.status, back.body), (200, json!({"status": "ai"})));
    assert_eq!(slack.deliver(&reply_in_thread("and you, agent?")).await, 200);
    let texts = stands("and you, agent?").await;
    assert!(!texts.iter().any(|text| text.contains("thank you, human")), "the AI was silent: {texts:?}");
}
