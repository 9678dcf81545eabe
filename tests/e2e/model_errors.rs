//! Everything a model can do wrong: the turn ends once, and the conversation goes on.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::device::Device;
use crate::stack::Stack;
use crate::trouble::Trouble;
use crate::verify::words;

/// delivery.md section 3: within 90 s when the model never answers.
const SILENCE: Duration = Duration::from_secs(90);

/// One kind of failure in a conversation of its own; how long until its end.
async fn fails(kind: &str) -> (String, Duration) {
    let stack = Stack::get();
    let device = Device::fresh(stack, &stack.member("acme")).await;
    let directive = format!("/error {kind}");
    let id = device.said(&directive).await;
    let asked = Instant::now();
    device.end_of(&id, SILENCE + Duration::from_secs(30)).await;
    let took = asked.elapsed();
    let then = device.said("and on").await;
    device.end_of(&then, Duration::from_secs(30)).await;
    let found = device.verify(&[(id.clone(), None), (then.clone(), None)], true).await;
    let expected = if kind == "500 once" { Vec::new() } else { vec![id] };
    assert_eq!(found.failed, expected, "{directive}: which messages ended in agent_failed");
    (kind.to_owned(), took)
}

/// proves AGNT-02, CHAT-08, CHAT-12
#[tokio::test]
async fn whatever_the_model_does_a_turn_ends_once_and_the_next_is_answered() {
    let kinds =
        ["400", "401", "429", "500", "503", "529", "midstream", "garbage", "hang", "500 once"].map(fails);
    for (kind, took) in join_all(kinds).await {
        println!("the model fails with {kind}: one end after {:.1} s", took.as_secs_f64());
        assert!(took <= SILENCE, "{kind} took {took:?}");
    }
}

/// proves AGNT-02, CHAT-08, CHAT-12
#[tokio::test]
async fn a_model_that_is_away_ends_turns_once_and_one_that_is_back_in_time_answers() {
    let trouble = Trouble::outages().await;
    let devices = trouble.devices(3).await;
    let cut = devices[0].said("/tokens 200 20").await;
    devices[0].first_piece(Duration::from_secs(30)).await;
    trouble.service("model", "stop").await;
    let refused = devices[1].said("nobody there").await;
    for (device, id) in [(&devices[0], &cut), (&devices[1], &refused)] {
        let end = device.end_of(id, SILENCE).await;
        assert_eq!(end["code"], "agent_failed");
    }
    let waits = devices[2].said("/tokens 20 50").await;
    sleep(Duration::from_millis(200)).await;
    trouble.service("model", "start").await;
    let answered = devices[2].end_of(&waits, SILENCE).await;
    assert_eq!(answered["code"], serde_json::Value::Null, "the model was back before the third try");
    let mut failed = 0;
    let firsts = [(cut, None), (refused, None), (waits, Some(words(20)))];
    for (device, first) in devices.iter().zip(firsts) {
        let then = device.said("/tokens 30 300").await;
        device.end_of(&then, SILENCE).await;
        let found = device.verify(&[first, (then, Some(words(30)))], true).await;
        failed += found.failed.len();
    }
    assert_eq!(failed, 2, "the two that the model was away for, and no other");
    println!("model away: {failed} turns ended in agent_failed, once each; 4 answered when it was back");
}
