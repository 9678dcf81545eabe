//! Stopping (CHAT-11) and resetting an answer that is being written.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::client::{Rest, Ws, text_of};
use crate::device::Device;
use crate::dice::Dice;
use crate::resume::MACHINE;
use crate::stack::Stack;

/// protocol: no piece comes later than this after a stop was accepted.
const LATEST_PIECE: Duration = Duration::from_millis(250);
const STOPS: usize = 40;

/// proves CHAT-11
#[tokio::test]
async fn a_stop_from_another_device_keeps_what_was_written_and_marks_it() {
    let user = Stack::get().member("acme");
    let mut ws = Ws::session(&user).await;
    let mut other = Ws::portal(&user, &ws.conversation()).await;
    let id = ws.say("/tokens 500 50").await;
    ws.until(|f| f["streaming"] == true).await;
    other.send(&json!({"type": "cancel"})).await;
    let (a, b) = (ws.end_of(&id).await, other.end_of(&id).await);
    assert_eq!((&a["stopped"], &b["stopped"]), (&json!(true), &json!(true)));
    assert_eq!(text_of(&a), text_of(&b));
    assert_eq!(ws.pieces(&a["message_id"]), text_of(&a));
    assert!(text_of(&a).split(' ').count() < 500);
    let history = Rest::of(&user).history(&ws.conversation()).await;
    let stored = history.iter().find(|m| m["in_reply_to"] == json!(id)).expect("the stopped answer");
    assert_eq!((&stored["stopped"], stored["content"].as_str()), (&json!(true), Some(text_of(&a))));
    other.send(&json!({"type": "cancel"})).await;
    assert!(text_of(&ws.ask("and on").await).contains("and on"), "a stop after the end does nothing");
}

/// proves CHAT-11
#[tokio::test]
async fn a_stop_before_the_first_piece_leaves_an_empty_stopped_answer() {
    let user = Stack::get().member("acme");
    let mut ws = Ws::session(&user).await;
    let id = ws.say("/slow 20000").await;
    ws.until(|f| f["type"] == "openai_call").await;
    ws.send(&json!({"type": "cancel"})).await;
    let end = ws.end_of(&id).await;
    assert_eq!((&end["stopped"], text_of(&end)), (&json!(true), ""));
}

/// proves CHAT-03
#[tokio::test]
async fn a_reset_stops_the_answer_then_everything_said_is_gone_and_seq_goes_on() {
    let user = Stack::get().member("acme");
    let rest = Rest::of(&user);
    let mut ws = Ws::session(&user).await;
    let conversation = ws.conversation();
    let id = ws.say("/tokens 500 50").await;
    ws.until(|f| f["streaming"] == true).await;
    let reset = rest.call("DELETE", &format!("/conversations/{conversation}"), None).await;
    assert_eq!(reset.status, 204, "{}", reset.body);
    let end = ws.end_of(&id).await;
    assert_eq!(end["stopped"], true);
    assert_eq!(ws.pieces(&end["message_id"]), text_of(&end));
    assert_eq!(rest.history(&conversation).await.len(), 0);
    let next = ws.ask("/history").await;
    assert!(next["seq"].as_i64() > end["seq"].as_i64());
    assert!(!text_of(&next).contains("w1"), "the agent remembers what was reset");
    ws.send(&json!({"type": "message", "id": id, "content": "/tokens 500 50"})).await;
    let ack = ws.until(|f| f["type"] == "ack" && f["id"] == json!(id) && f["duplicate"] == true).await;
    assert_eq!(ack["duplicate"], true, "a resend of what was reset remains a copy");
}

/// One answer stopped so long after its first piece, by the device that asked or by another; how long after the stop
/// was written the last piece came on either, zero where none came any more.
async fn stopped_after(pause: Duration, by_another: bool) -> Duration {
    let stack = Stack::get();
    let user = stack.member("acme");
    let asks = Device::fresh(stack, &user).await;
    let other = Device::of(stack, &user, &format!("conversation_id={}", asks.conversation())).await;
    let id = asks.said("/tokens 400 200").await;
    asks.first_piece(Duration::from_secs(30)).await;
    sleep(pause).await;
    let asked = if by_another { other.cancel().await } else { asks.cancel().await };
    let end = asks.end_of(&id, Duration::from_secs(30)).await;
    let twin = other.end_of(&id, Duration::from_secs(30)).await;
    // Pieces that came late would be seen by now: the ping is answered behind them.
    sleep(Duration::from_millis(300)).await;
    assert_eq!((&end["stopped"], &twin["stopped"]), (&json!(true), &json!(true)));
    assert_eq!(text_of(&end), text_of(&twin));
    let mut late = Duration::ZERO;
    for device in [&asks, &other] {
        let (text, last): (String, Option<Instant>) = device.look(|kept| {
            let last = kept.pieces(&end["message_id"]).map(|came| came.at).max();
            (kept.text(&end["message_id"]), last)
        });
        assert_eq!(text, text_of(&end), "pieces and whole");
        late = late.max(last.map_or(Duration::ZERO, |at| at.saturating_duration_since(asked)));
    }
    // With nothing being written a stop does nothing, and the next answer is whole.
    other.cancel().await;
    sleep(Duration::from_millis(50)).await;
    let then = asks.said("/tokens 20 200").await;
    asks.end_of(&then, Duration::from_secs(30)).await;
    let said = [(id, Some(text_of(&end).to_owned())), (then, Some(crate::verify::words(20)))];
    let found = asks.verify(&said, true).await;
    assert!(found.failed.is_empty() && found.discards == 0);
    let history = Rest::of(&user).history(&asks.conversation()).await;
    let stops: Vec<bool> = history.iter().skip(1).step_by(2).map(|m| m["stopped"] == true).collect();
    assert_eq!(stops, [true, false], "the first is stopped, the second is not");
    late
}

/// proves CHAT-11
#[tokio::test]
async fn no_piece_comes_later_than_250_ms_after_a_stop_from_either_device() {
    let _machine = MACHINE.lock().await;
    let mut dice = Dice::new();
    println!("seed {}", dice.seed);
    let runs = (0..STOPS).map(|n| (Duration::from_millis(dice.between(0, 1500)), n % 2 == 1));
    let runs: Vec<_> = runs.map(|(pause, by_another)| stopped_after(pause, by_another)).collect();
    let mut late: Vec<Duration> = stream::iter(runs).buffer_unordered(4).collect().await;
    late.sort_unstable();
    println!(
        "{STOPS} stops at random moments of a stream of 200 tokens a second: last piece p50 {} ms, max {} ms after the \
         cancel was written",
        late[STOPS / 2].as_millis(),
        late[STOPS - 1].as_millis()
    );
    assert!(late[STOPS - 1] <= LATEST_PIECE, "a piece came {:?} after the stop", late[STOPS - 1]);
}

/// proves CHAT-11
#[tokio::test]
async fn a_disconnect_stops_nothing() {
    let stack = Stack::get();
    let device = Device::fresh(stack, &stack.member("acme")).await;
    let id = device.said("/tokens 120 60").await;
    device.first_piece(Duration::from_secs(30)).await;
    device.cut(Duration::from_millis(2500));
    device.end_of(&id, Duration::from_secs(30)).await;
    let found = device.verify(&[(id, Some(crate::verify::words(120)))], true).await;
    assert_eq!((found.failed.len(), found.discards, found.connections), (0, 0, 2));
}
