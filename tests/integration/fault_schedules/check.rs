//! What must hold when all is over, whatever went wrong.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use konstruct_domain::Seq;
use konstruct_service::conversations::history;
use konstruct_tests::TestApp;
use konstruct_tests::fakes::model::echo;
use konstruct_tests::history::{Ending, dense, endings};

use super::room::{Gone, Room, Sent};
use super::tally::Tally;

/// A device whose connection is open and known has every frame, without asking again.
pub async fn devices_that_stayed_have_everything(app: &TestApp, room: &Room, seed: u64) {
    let frames = app.redis.frames_after(room.tenant.id, room.conversation, Seq(0), 100_000).await.unwrap();
    dense(&frames).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    let live = app.redis.live(room.tenant.id, room.conversation).await.unwrap();
    for device in &room.devices {
        let Some(live) = live.iter().find(|live| live.connection_id == device.connection()) else {
            continue;
        };
        // The last frame of a turn is its end, which every dialect sees.
        let ends = frames.iter().rev().find(|(_, event)| !event.is_telemetry()).map(|(seq, _)| seq.0);
        let has = device.last_seq(app);
        assert!(
            ends.is_none_or(|end| has >= end),
            "seed {seed}: {} is live since {:?} and has {has}, the log ends at {ends:?}: {:#?}",
            room.canary,
            live.joined,
            device.frames(app)
        );
    }
}

/// One room: what is stored, and what each device was told.
pub async fn room(app: &TestApp, room: &Room, seed: u64, tally: &Tally) {
    let open = "SELECT 1 FROM turns WHERE tenant_id = $1 AND delivered_at IS NULL";
    assert_eq!(app.count(open, &[&room.tenant.id.0]).await, 0, "seed {seed}: {} has open turns", room.canary);
    let stored = stored(app, room, seed).await;
    tally.messages.fetch_add(room.sent.len(), Relaxed);
    for sent in &room.sent {
        match (sent.gone, stored.get(&sent.id.to_string())) {
            (Gone::No, None) => panic!("seed {seed}: {} is not stored, or has no end", sent.text),
            (Gone::Yes, Some(end)) => panic!("seed {seed}: {} came back after a reset: {end:?}", sent.text),
            (_, None) => drop(tally.gone.fetch_add(1, Relaxed)),
            (_, Some(end)) => is_right(app, room, sent, end, seed, tally),
        }
    }
    for device in &room.devices {
        let told =
            endings(&device.told(app)).unwrap_or_else(|why| panic!("seed {seed}: {}: {why}", room.canary));
        let gap = device.frames(app).iter().any(|frame| frame["code"] == "replay_gap");
        tally.gaps.fetch_add(usize::from(gap), Relaxed);
        assert!(
            !gap || room.flushes > 0 || room.resets > 0,
            "seed {seed}: {} is told of a gap where nothing was lost",
            room.canary
        );
        for ending in &told {
            if let Some(end) = stored.get(&ending.in_reply_to) {
                assert_eq!(end, ending, "seed {seed}: {} was told otherwise", room.canary);
            }
        }
        for end in stored.values() {
            let was_told = told.iter().any(|ending| ending.in_reply_to == end.in_reply_to);
            assert!(was_told || gap, "seed {seed}: {} was never told of {end:?}", room.canary);
        }
    }
}

/// The end of each stored message, from the history; and the history's order.
async fn stored(app: &TestApp, room: &Room, seed: u64) -> BTreeMap<String, Ending> {
    let (messages, _) = history(&app.db, &room.tenant.caller(), room.conversation, None, 200).await.unwrap();
    let mut ends = BTreeMap::new();
    let mut asked: Vec<String> = Vec::new();
    let mut answered = Vec::new();
    for message in &messages {
        let Some(question) = message.in_reply_to else {
            asked.push(message.id.to_string());
            if let Some(code) = &message.error {
                let (in_reply_to, error) = (message.id.to_string(), Some(code.clone()));
                ends.insert(in_reply_to.clone(), Ending { in_reply_to, answer: None, stopped: false, error });
            }
            continue;
        };
        let in_reply_to = question.to_string();
        let answer = Some((message.id.to_string(), message.content.clone()));
        let ending =
            Ending { in_reply_to: in_reply_to.clone(), answer, stopped: message.stopped, error: None };
        assert!(asked.contains(&in_reply_to), "seed {seed}: an answer before its question");
        let twice = ends.insert(in_reply_to.clone(), ending);
        assert_eq!(twice, None, "seed {seed}: ended twice");
        answered.push(in_reply_to);
    }
    let mut questions = asked.iter();
    assert!(
        answered.iter().all(|question| questions.any(|asked| asked == question)),
        "seed {seed}: answers out of order"
    );
    ends
}

/// What a message's end says follows from what happened to it.
fn is_right(app: &TestApp, room: &Room, sent: &Sent, end: &Ending, seed: u64, tally: &Tally) {
    let failed = app.model().failed(&sent.text);
    match (&end.answer, end.stopped) {
        (Some((_, text)), false) => {
            assert_eq!(*text, echo(&sent.text), "seed {seed}");
            tally.answers.fetch_add(1, Relaxed);
        }
        (Some((_, text)), true) => {
            assert!(room.cancels > 0, "seed {seed}: nobody stopped {}", sent.text);
            assert!(
                echo(&sent.text).starts_with(text),
                "seed {seed}: {text:?} is no beginning of the answer"
            );
            tally.answers.fetch_add(1, Relaxed);
            tally.stopped.fetch_add(1, Relaxed);
        }
        (None, _) => {
            assert!(failed.fatal || failed.times >= 3, "seed {seed}: {end:?} though the model did its part");
            tally.errors.fetch_add(1, Relaxed);
        }
    }
}

/// Whatever died and was delivered twice: for a question its tool ran once at most.
pub fn no_tool_ran_twice(app: &TestApp, seed: u64, tally: &Tally) {
    let mut runs = BTreeMap::new();
    for (_, arguments) in app.tools().runs() {
        *runs.entry(arguments["what"].to_string()).or_insert(0_usize) += 1;
    }
    assert!(runs.values().all(|times| *times == 1), "seed {seed}: {runs:?}");
    tally.tools.fetch_add(runs.len(), Relaxed);
}

/// No byte of one tenant reached another's device, or a prompt of another's.
pub fn nothing_crossed(app: &TestApp, rooms: &[Room], seed: u64) {
    for room in rooms {
        let others: Vec<&str> =
            rooms.iter().map(|r| r.canary.as_str()).filter(|canary| *canary != room.canary).collect();
        for frame in room.devices.iter().flat_map(|device| device.frames(app)) {
            let frame = frame.to_string();
            assert!(!others.iter().any(|canary| frame.contains(canary)), "seed {seed}: {frame}");
        }
    }
    for prompt in app.model().prompts() {
        let whole = prompt.join("\n");
        let seen = rooms.iter().filter(|room| whole.contains(room.canary.as_str())).count();
        assert!(seen <= 1, "seed {seed}: a prompt knows two tenants");
    }
}
