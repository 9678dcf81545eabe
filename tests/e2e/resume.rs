//! Coming back (CHAT-09): with the last `seq` one saw, every later frame comes, in order, once.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::{Barrier, Mutex};

use crate::client::{Ws, text_of};
use crate::stack::{Stack, User};

/// Who keeps the whole machine busy, or measures what it does when it is not, has it for himself.
pub static MACHINE: Mutex<()> = Mutex::const_new(());

/// Reconnects under a session with the last `seq` seen.
async fn back(user: &User, session: &str, last_seq: i64) -> Ws {
    let mut ws = Ws::open(&format!("session_id={session}")).await;
    ws.send(&json!({"type": "auth", "token": user.token, "last_seq": last_seq})).await;
    ws.until(|f| f["type"] == "connection").await;
    ws
}

/// One answer, cut after `cut` numbered frames and resumed; whether there were so many: a busy machine puts pieces
/// together.
async fn cut_once(user: &User, cut: usize, words: usize, rate: usize) -> bool {
    let session = format!("cut-{}", uuid::Uuid::new_v4());
    let mut ws = back(user, &session, 0).await;
    let id = ws.say(&format!("/tokens {words} {rate}")).await;
    let mut seen: Vec<Value> = Vec::new();
    while seen.len() < cut {
        let frame = ws.until(|f| f["seq"].is_i64()).await;
        seen.push(frame.clone());
        if frame["in_reply_to"] == json!(id) {
            break;
        }
    }
    let cut_there = seen.len() == cut;
    // A message is sent when it is acknowledged.
    if !ws.frames.iter().any(|f| f["type"] == "ack") {
        ws.until(|f| f["type"] == "ack").await;
    }
    drop(ws.cut());
    let last = seen.last().map_or(0, |f| f["seq"].as_i64().expect("a seq"));
    let mut ws = back(user, &session, last).await;
    if !seen.iter().any(|f| f["in_reply_to"] == json!(id)) {
        ws.end_of(&id).await;
    }
    seen.extend(ws.frames.iter().filter(|f| f["seq"].is_i64()).cloned());
    let seqs: Vec<i64> = seen.iter().filter_map(|f| f["seq"].as_i64()).collect();
    assert!(seqs.windows(2).all(|w| w[0] < w[1]), "cut after {cut}: a frame came twice or out of order");
    assert!(!ws.frames.iter().any(|f| f["code"] == "replay_gap"), "cut after {cut}: a gap");
    let end = seen.iter().find(|f| f["in_reply_to"] == json!(id)).expect("the end");
    let pieces: String = seen
        .iter()
        .filter(|f| f["streaming"] == true && f["message_id"] == end["message_id"])
        .map(text_of)
        .collect();
    let expected: Vec<String> = (1..=words).map(|n| format!("w{n}")).collect();
    assert_eq!(pieces, expected.join(" "), "cut after {cut}");
    assert_eq!(text_of(end), pieces, "cut after {cut}");
    cut_there
}

/// Answers that are longer and longer, until one has frames enough to be cut where it shall be.
const LONGER: [usize; 4] = [1, 2, 4, 8];

/// proves CHAT-09
#[tokio::test]
async fn an_answer_of_500_frames_cut_after_every_frame_and_resumed_is_whole_501_times() {
    let user = Stack::get().member("acme");
    let _machine = MACHINE.lock().await;
    // 500 words at 45 a second: a frame each, for pieces are put together only within 20 ms.
    let runs = stream::iter(0..=500).map(|cut| {
        let user = user.clone();
        tokio::spawn(async move {
            for longer in LONGER {
                if cut_once(&user, cut, 500 * longer, 45).await {
                    return longer > 1;
                }
            }
            panic!("no answer had {cut} frames");
        })
    });
    let again: Vec<bool> = runs.buffer_unordered(60).map(|run| run.expect("a run")).collect().await;
    println!(
        "{} of 501 runs of an answer of 500 frames whole, cut after each frame k = 0…500; {} needed a longer answer",
        again.len(),
        again.iter().filter(|again| **again).count()
    );
    assert_eq!(again.len(), 501);
}

/// proves CHAT-09, CHAT-10
#[tokio::test]
async fn three_devices_that_are_cut_at_different_frames_tell_the_same_story_of_three_answers() {
    let user = Stack::get().member("acme");
    let session = format!("three-{}", uuid::Uuid::new_v4());
    let mut sender = back(&user, &session, 0).await;
    let mut ids = Vec::new();
    let mut devices = vec![back(&user, &session, 0).await, back(&user, &session, 0).await];
    for n in 0..3 {
        ids.push(sender.say(&format!("/tokens {} 100", 40 + n)).await);
        let id = ids.last().cloned().unwrap_or_default();
        sender.until(|f| f["type"] == "ack" && f["id"] == json!(id)).await;
    }
    let mut stories: Vec<BTreeMap<i64, Value>> = Vec::new();
    for (n, mut ws) in devices.drain(..).enumerate() {
        let mut seen: Vec<Value> = Vec::new();
        while seen.len() < 17 * (n + 1) {
            seen.push(ws.until(|f| f["seq"].is_i64()).await);
        }
        drop(ws);
        let last = seen.last().map_or(0, |f| f["seq"].as_i64().expect("a seq"));
        let mut ws = back(&user, &session, last).await;
        ws.end_of(ids.last().expect("three")).await;
        seen.extend(ws.frames.into_iter().filter(|f| f["seq"].is_i64()));
        stories.push(whole(&seen));
    }
    sender.end_of(ids.last().expect("three")).await;
    stories.push(whole(&sender.frames));
    assert_eq!(stories[0].len(), 3);
    assert!(stories.iter().all(|story| *story == stories[0]));
}

/// What a device saw of three answers in a row.
struct Seen {
    answers: BTreeMap<i64, Value>,
    /// Whether there were frames enough to cut it where it was to be cut.
    cut_there: bool,
}

/// Three answers in a row seen by a device that is cut after `cut` numbered frames and comes back with what it has: at
/// once, or where `late`, when all has been said.
async fn cut_among_three(mut ws: Ws, user: &User, session: &str, cut: usize, late: Option<&Barrier>) -> Seen {
    let ends = |seen: &[Value]| seen.iter().filter(|f| f["in_reply_to"].is_string()).count();
    let numbered = |f: &Value| f["seq"].is_i64();
    let mut seen: Vec<Value> = Vec::new();
    while seen.len() < cut && ends(&seen) < 3 {
        // The sender has read some of them while it waited for its acks.
        let read = ws.frames.iter().filter(|f| numbered(f)).nth(seen.len()).cloned();
        match read {
            Some(frame) => seen.push(frame),
            None => {
                ws.until(numbered).await;
            }
        }
    }
    let cut_there = seen.len() == cut;
    drop(ws.cut());
    if let Some(late) = late {
        late.wait().await;
    }
    let last = seen.last().map_or(0, |f| f["seq"].as_i64().expect("a seq"));
    let mut ws = back(user, session, last).await;
    while ends(&seen) + ends(&ws.frames) < 3 {
        ws.until(|f| f["in_reply_to"].is_string()).await;
    }
    assert!(!ws.frames.iter().any(|f| f["code"] == "replay_gap"), "cut after {cut}: a gap");
    seen.extend(ws.frames.into_iter().filter(numbered));
    let seqs: Vec<i64> = seen.iter().filter_map(|f| f["seq"].as_i64()).collect();
    assert!(seqs.windows(2).all(|w| w[0] < w[1]), "cut after {cut}: a frame came twice or out of order");
    let answers = whole(&seen);
    assert_eq!(answers.len(), 3, "cut after {cut}");
    Seen { answers, cut_there }
}

/// A conversation of three answers in a row on three devices, each cut somewhere else; whether all could be. The last
/// device comes back when the others have seen all.
async fn three_times_three(user: &User, cuts: [usize; 3], words: usize, rate: usize) -> bool {
    let session = format!("row-{}", uuid::Uuid::new_v4());
    let (mut sender, one, two) =
        (back(user, &session, 0).await, back(user, &session, 0).await, back(user, &session, 0).await);
    for _ in 0..3 {
        let id = sender.say(&format!("/tokens {words} {rate}")).await;
        while !sender.frames.iter().any(|f| f["type"] == "ack" && f["id"] == json!(id)) {
            assert!(sender.next().await.is_some(), "closed");
        }
    }
    let said = Barrier::new(2);
    let (a, b, c) = tokio::join!(
        cut_among_three(sender, user, &session, cuts[0], None),
        async {
            let seen = cut_among_three(one, user, &session, cuts[1], None).await;
            said.wait().await;
            seen
        },
        cut_among_three(two, user, &session, cuts[2], Some(&said)),
    );
    assert!(a.answers == b.answers && b.answers == c.answers, "cut after {cuts:?}: the devices differ");
    let expected: Vec<String> = (1..=words).map(|n| format!("w{n}")).collect();
    assert!(a.answers.values().all(|end| text_of(end) == expected.join(" ")), "cut after {cuts:?}");
    a.cut_there && b.cut_there && c.cut_there
}

/// proves CHAT-09, CHAT-10
#[tokio::test]
async fn three_answers_in_a_row_on_three_devices_cut_after_every_frame_are_whole_501_times() {
    let user = Stack::get().member("acme");
    let _machine = MACHINE.lock().await;
    // Three answers of 168 numbered frames each: 165 pieces, the model asked and answering, the end.
    let runs = stream::iter((0..=500).step_by(3)).map(|k| {
        let user = user.clone();
        tokio::spawn(async move {
            for longer in LONGER {
                if three_times_three(&user, [k, k + 1, k + 2], 165 * longer, 45).await {
                    return longer > 1;
                }
            }
            panic!("no answers had {k} frames");
        })
    });
    let again: Vec<bool> = runs.buffer_unordered(24).map(|run| run.expect("a run")).collect().await;
    println!(
        "{} of 501 cuts whole on three devices among three answers in a row, after each frame k = 0…500; {} \
         conversations needed longer answers",
        again.len() * 3,
        again.iter().filter(|again| **again).count()
    );
    assert_eq!(again.len() * 3, 501);
}

/// The whole answers by `seq`, each checked against its pieces.
fn whole(frames: &[Value]) -> BTreeMap<i64, Value> {
    let ends = frames.iter().filter(|f| f["in_reply_to"].is_string());
    ends.map(|end| {
        let pieces: String = frames
            .iter()
            .filter(|f| f["streaming"] == true && f["message_id"] == end["message_id"])
            .map(text_of)
            .collect();
        assert_eq!(pieces, text_of(end));
        (end["seq"].as_i64().expect("a seq"), end.clone())
    })
    .collect()
}

/// proves CHAT-09
#[tokio::test]
async fn an_answer_produced_while_nobody_was_connected_comes_on_the_next_connection() {
    let user = Stack::get().member("acme");
    let session = format!("gone-{}", uuid::Uuid::new_v4());
    let mut ws = back(&user, &session, 0).await;
    let id = ws.say("/tokens 30 60").await;
    ws.until(|f| f["type"] == "ack").await;
    drop(ws);
    let mut ws = back(&user, &session, 0).await;
    let end = ws.end_of(&id).await;
    assert_eq!(ws.pieces(&end["message_id"]), text_of(&end));
}

/// proves CHAT-09
#[tokio::test]
async fn resume_starts_over_once_and_only_before_the_first_new_frame() {
    let user = Stack::get().member("acme");
    let session = format!("resume-{}", uuid::Uuid::new_v4());
    let mut ws = back(&user, &session, 0).await;
    ws.ask("/tokens 10 500").await;
    let mut again = Ws::open(&format!("session_id={session}")).await;
    again.auth(&user.token).await;
    again.send(&json!({"type": "resume", "after": 0})).await;
    let end = again.until(|f| f["in_reply_to"].is_string()).await;
    assert_eq!(again.pieces(&end["message_id"]), text_of(&end));
    again.send(&json!({"type": "resume", "after": 0})).await;
    assert_eq!(again.error().await, "invalid_message");
    ws.send(&json!({"type": "resume", "after": 0})).await;
    assert_eq!(ws.error().await, "invalid_message", "last_seq in auth was this connection's resume");
    let mut beyond = back(&user, &session, 1_000_000).await;
    assert_eq!(beyond.error().await, "replay_gap");
    assert!(text_of(&beyond.ask("live").await).contains("live"));
}
