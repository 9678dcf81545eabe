//! What no log may hold: every token, secret and text of this run. Whoever says, hears or mints one tells it here, on its
//! way through the clients, so that no test has to think of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Shorter texts are too likely to stand in a log for another reason.
const BYTES_MIN: usize = 10;
/// A window of this many bytes finds where a text may stand.
const WINDOW: usize = 8;

static TEXTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static SECRETS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static STATES: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

fn note(to: &Mutex<BTreeSet<String>>, text: &str) {
    if text.len() >= BYTES_MIN {
        to.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned());
    }
}

/// A text of a person, a model or a tool.
pub fn text(text: &str) {
    at_work();
    note(&TEXTS, text);
}

/// A token or another secret.
pub fn secret(secret: &str) {
    note(&SECRETS, secret);
}

/// A frame or a body: what is written in it, and the token.
pub fn body(raw: &str) {
    at_work();
    let Ok(body) = serde_json::from_str::<Value>(raw) else { return };
    for (name, value) in body.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("content" | "text", Value::String(said))
                if body["streaming"] != true && body["type"] != "chunk" =>
            {
                text(said);
            }
            ("token", Value::String(token)) => secret(token),
            // Slack's events have the message inside.
            ("event", Value::Object(event)) => {
                let said = event.get("text").and_then(Value::as_str).unwrap_or_default();
                text(said);
                text(said.split_once("> ").map_or(said, |(_, behind_the_mention)| behind_the_mention));
            }
            _ => {}
        }
    }
}

/// A stack: its logs are looked through, and its own secrets looked for.
pub fn stack(state: &Path, info: &Value) {
    STATES.lock().unwrap_or_else(PoisonError::into_inner).insert(state.to_owned());
    for secret in secrets_of(info) {
        self::secret(&secret);
    }
    let kept = std::fs::read_to_string(state.join("secrets.json")).expect("the stack's secrets");
    let kept: BTreeMap<String, Value> = serde_json::from_str(&kept).expect("secrets.json");
    kept.values().filter_map(Value::as_str).for_each(secret);
}

/// Tokens, secrets, passwords and addresses of `stack.json`.
fn secrets_of(info: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![("", info)];
    while let Some((name, value)) = open.pop() {
        match value {
            Value::Object(fields) => open.extend(fields.iter().map(|(name, value)| (name.as_str(), value))),
            Value::Array(items) => open.extend(items.iter().map(|item| (name, item))),
            Value::String(text) if name.ends_with("token") || name.ends_with("secret") || name == "email" => {
                found.push(text.clone());
            }
            Value::String(url) if name.ends_with("database_url") || name == "redis_url" => {
                let user =
                    url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user);
                found.extend(
                    user.and_then(|user| user.split_once(':')).map(|(_, password)| password.to_owned()),
                );
            }
            _ => {}
        }
    }
    found
}

/// A test that talks to a stack is at work until its thread ends.
pub fn at_work() {
    struct Here;
    impl Drop for Here {
        fn drop(&mut self) {
            AT_WORK.fetch_sub(1, Ordering::SeqCst);
        }
    }
    thread_local! {
        static HERE: Here = {
            AT_WORK.fetch_add(1, Ordering::SeqCst);
            Here
        };
    }
    HERE.with(|_| ());
}

/// How many tests are at work.
pub fn tests_at_work() -> usize {
    AT_WORK.load(Ordering::SeqCst)
}

/// Every log of every stack of this run.
pub fn logs() -> Vec<PathBuf> {
    let states = STATES.lock().unwrap_or_else(PoisonError::into_inner);
    states.iter().flat_map(|state| files(&state.join("logs"))).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("logs").map(|entry| entry.expect("a log").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What a search found: how much it looked for and in, and where it stands, without saying it.
#[derive(Debug, Default)]
pub struct Found {
    pub texts: usize,
    pub secrets: usize,
    pub bytes: usize,
    pub places: Vec<String>,
}

/// Looks through logs for everything that was told here.
pub fn search(logs: &[PathBuf]) -> Found {
    let of = |from: &Mutex<BTreeSet<String>>| from.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (texts, secrets) = (of(&TEXTS), of(&SECRETS));
    let mut found = Found { texts: texts.len(), secrets: secrets.len(), ..Found::default() };
    let mut windows: HashMap<[u8; WINDOW], Vec<(&str, Vec<u8>)>> = HashMap::new();
    let whats =
        texts.iter().map(|text| ("a text", text)).chain(secrets.iter().map(|text| ("a secret", text)));
    for (what, text) in whats {
        // As it is, and as JSON writes it.
        let escaped = Value::from(text.as_str()).to_string();
        let forms = BTreeSet::from([text.as_bytes(), escaped.trim_matches('"').as_bytes()]);
        for form in forms {
            if let Some(window) = form.first_chunk::<WINDOW>() {
                windows.entry(*window).or_default().push((what, form.to_vec()));
            }
        }
    }
    for path in logs {
        let log = std::fs::read(path).expect("a log");
        found.bytes += log.len();
        for (at, window) in log.windows(WINDOW).enumerate() {
            let Some(candidates) = windows.get(window) else { continue };
            for (what, _) in candidates.iter().filter(|(_, form)| log[at..].starts_with(form)) {
                let line = log[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
                found.places.push(format!("{}:{line} holds {what}", path.display()));
            }
        }
        // Whatever token it is: the head of a JWT, Slack's prefixes.
        for shape in ["eyJhbGci", "xoxb-", "Bearer "] {
            if log.windows(shape.len()).any(|window| window == shape.as_bytes()) {
                found.places.push(format!("{} holds what looks like a token", path.display()));
            }
        }
    }
    found
}
