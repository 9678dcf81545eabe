//! Coming back (CHAT-09): with the last `seq` one saw, every later frame comes, in order, once.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

use crate::client::{Ws, text_of};
use crate::stack::{Stack, User};
use crate::verify::words;

/// Words a second: a frame each, for pieces are put together only within 20 ms.
const RATE: usize = 45;
/// Devices of a conversation: what an answer costs is shared, and all are cut at different frames of it.
const DEVICES: usize = 10;
/// Conversations at once: the machine shall not be behind, else there are fewer frames to cut at.
const AT_ONCE: usize = 8;

/// Who keeps the whole machine busy, or measures what it does when it is not, has it for himself.
pub static MACHINE: Mutex<()> = Mutex::const_new(());

/// Reconnects under a session with the last `seq` seen.
async fn back(user: &User, session: &str, last_seq: i64) -> Ws {
    let mut ws = Ws::open(&format!("session_id={session}")).await;
    ws.send(&json!({"type": "auth", "token": user.token, "last_seq": last_seq})).await;
    ws.until(|f| f["type"] == "connection").await;
    ws
}

/// What is said in a conversation, and to how many devices.
#[derive(Clone, Copy)]
struct Plan {
    answers: usize,
    /// Of each answer; each is a frame, unless the machine is behind and puts some together.
    words: usize,
    /// Every second device comes back only when all has been said.
    late: bool,
}

/// What a device saw.
struct Seen {
    answers: BTreeMap<i64, Value>,
    /// Whether there were frames enough to cut it where it was to be cut.
    cut_there: bool,
}

/// Reads until `cut` numbered frames were seen, loses the connection, comes back with the last `seq` and sees the rest:
/// no gap, no repeat, each answer whole.
async fn cut_and_resumed(
    mut ws: Ws,
    user: &User,
    session: &str,
    cut: usize,
    plan: Plan,
    back_when: impl Future<Output = ()>,
) -> Seen {
    let numbered = |f: &Value| f["seq"].is_i64();
    let ends = |seen: &[Value]| seen.iter().filter(|f| f["in_reply_to"].is_string()).count();
    let mut seen: Vec<Value> = Vec::new();
    while seen.len() < cut && ends(&seen) < plan.answers {
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
    back_when.await;
    let last = seen.last().map_or(0, |f| f["seq"].as_i64().expect("a seq"));
    let mut ws = back(user, session, last).await;
    while ends(&seen) + ends(&ws.frames) < plan.answers {
        ws.until(|f| f["in_reply_to"].is_string()).await;
    }
    assert!(!ws.frames.iter().any(|f| f["code"] == "replay_gap"), "cut after {cut}: a gap");
    seen.extend(ws.frames.into_iter().filter(numbered));
    let seqs: Vec<i64> = seen.iter().filter_map(|f| f["seq"].as_i64()).collect();
    assert!(seqs.windows(2).all(|w| w[0] < w[1]), "cut after {cut}: a frame came twice or out of order");
    let answers = whole(&seen);
    assert_eq!(answers.len(), plan.answers, "cut after {cut}");
    Seen { answers, cut_there }
}

/// A conversation with a device for each cut; whether all were cut where they were to be.
async fn cut_devices(user: &User, cuts: &[usize], plan: Plan) -> bool {
    let session = format!("cut-{}", uuid::Uuid::new_v4());
    let mut devices = Vec::new();
    for _ in cuts {
        devices.push(back(user, &session, 0).await);
    }
    for _ in 0..plan.answers {
        let sender = &mut devices[0];
        let id = sender.say(&format!("/tokens {} {RATE}", plan.words)).await;
        while !sender.frames.iter().any(|f| f["type"] == "ack" && f["id"] == json!(id)) {
            assert!(sender.next().await.is_some(), "closed");
        }
    }
    let (told, said) = watch::channel(false);
    let runs = devices.into_iter().zip(cuts).enumerate().map(|(n, (ws, cut))| {
        let (mut said, told, session) = (said.clone(), told.clone(), &session);
        async move {
            let back_when = async {
                if plan.late && n % 2 == 1 {
                    said.wait_for(|said| *said).await.expect("the first device tells");
                }
            };
            let seen = cut_and_resumed(ws, user, session, *cut, plan, back_when).await;
            if n == 0 {
                told.send_replace(true);
            }
            seen
        }
    });
    let seen = join_all(runs).await;
    assert!(seen.iter().all(|s| s.answers == seen[0].answers), "cut after {cuts:?}: the devices differ");
    assert!(seen[0].answers.values().all(|end| text_of(end) == words(plan.words)), "cut after {cuts:?}");
    seen.iter().all(|s| s.cut_there)
}

/// Cuts a device after each frame k = 0…500, some devices to a conversation.
async fn cut_after_every_frame(plan: Plan) {
    let user = Stack::get().member("acme");
    let _machine = MACHINE.lock().await;
    let all: Vec<usize> = (0..=500).collect();
    let runs = stream::iter(all.chunks(DEVICES).map(<[usize]>::to_vec)).map(|cuts| {
        let user = user.clone();
        tokio::spawn(async move {
            // Longer answers where a busy machine put so many pieces together that a cut was not reached.
            for longer in [1, 2, 4, 8] {
                let plan = Plan { words: plan.words * longer, ..plan };
                if cut_devices(&user, &cuts, plan).await {
                    return (cuts.len(), longer > 1);
                }
            }
            panic!("no answers had {cuts:?} frames");
        })
    });
    let cuts: Vec<(usize, bool)> =
        runs.buffer_unordered(AT_ONCE).map(|run| run.expect("a run")).collect().await;
    let whole: usize = cuts.iter().map(|(cuts, _)| cuts).sum();
    println!(
        "{whole} of 501 cuts, after each frame k = 0…500 of {} answer(s) in a row: whole, no gap, no repeat; {} \
         conversations with {DEVICES} devices each, {} of them again with longer answers",
        plan.answers,
        cuts.len(),
        cuts.iter().filter(|(_, again)| *again).count()
    );
    assert_eq!(whole, 501);
}

/// proves CHAT-09
#[tokio::test]
async fn an_answer_of_500_frames_cut_after_every_frame_and_resumed_is_whole_501_times() {
    cut_after_every_frame(Plan { answers: 1, words: 560, late: false }).await;
}

/// proves CHAT-09, CHAT-10
#[tokio::test]
async fn three_answers_in_a_row_cut_after_every_frame_are_whole_on_every_device_501_times() {
    cut_after_every_frame(Plan { answers: 3, words: 190, late: true }).await;
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
