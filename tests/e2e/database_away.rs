//! Postgres away: messages wait, REST says when to come again, and nothing is lost or answered twice.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::{Answer, Rest};
use crate::device::{Came, Device};
use crate::trouble::Trouble;
use crate::verify::words;

const OUTAGE: Duration = Duration::from_secs(10);
/// The specification says "within 1 s"; this only tells a slow machine from a call that hangs.
const REST_ANSWERS: Duration = Duration::from_secs(3);

type Said = Vec<(String, Option<String>)>;

/// proves CHAT-07, CHAT-08, CHAT-09, CHAT-12
#[tokio::test]
async fn while_postgres_is_away_for_10_s_messages_wait_and_rest_says_come_again() {
    let trouble = Trouble::outages().await;
    let devices = trouble.devices(6).await;
    let mut said: Vec<Said> = vec![Vec::new(); devices.len()];
    let rest = Rest::on(trouble.stack, &trouble.user());
    let conversation = devices[0].conversation();
    for call in 0..4 {
        assert!(
            ask(&trouble, &rest, &conversation, call).await.status < 300,
            "a REST call that works before"
        );
    }
    // The message that the round of REST calls stored.
    let rest_said = rest.history(&conversation).await[0]["id"].as_str().expect("an id").to_owned();
    said[0].push((rest_said, None));
    for (device, said) in devices.iter().zip(&mut said).take(2) {
        said.push((device.said("/tokens 160 20").await, Some(words(160))));
        device.first_piece(Duration::from_secs(30)).await;
    }
    said[2].push((devices[2].say("just before"), None));
    let stopping = Instant::now();
    trouble.service("postgres", "stop").await;
    let stopped = Instant::now();
    let talk = join_all(devices.iter().enumerate().map(|(n, device)| async move {
        let mut said = Said::new();
        for at in [200, 3000, 6500] {
            sleep_until(stopped + Duration::from_millis(at + n as u64 * 250)).await;
            said.push((device.say("are you there?"), None));
        }
        said
    }));
    let asking = refused_meanwhile(&trouble, &rest, &conversation, stopped);
    let end = async {
        sleep_until(stopped + OUTAGE).await;
        trouble.service("postgres", "start").await;
        Instant::now()
    };
    let (meanwhile, (refused, slowest), started) = tokio::join!(talk, asking, end);
    for (all, some) in said.iter_mut().zip(meanwhile) {
        all.extend(some);
    }
    let well = trouble.healthy(Duration::from_secs(10)).await;
    for (device, said) in devices.iter().zip(&mut said) {
        said.push((device.said("and after").await, None));
    }
    assert_eq!(rest.get(&format!("/conversations/{conversation}/messages")).await.status, 200);
    let last = last_end(&devices, &said, Duration::from_secs(90)).await;
    let (mut discards, mut resends, mut reconnects) = (0, 0, 0);
    for (device, said) in devices.iter().zip(&said) {
        let found = device.verify(said, false).await;
        assert!(found.failed.is_empty(), "an outage of ours ends no turn");
        let refusals = device.look(|kept| kept.refusals().into_iter().cloned().collect::<Vec<Value>>());
        assert!(refusals.is_empty(), "refused within 20 s: {refusals:?}");
        assert_eq!(found.gaps, 0);
        discards += found.discards;
        resends += device.look(|kept| kept.resends);
        reconnects += found.connections - 1;
    }
    assert_eq!(trouble.drained(Duration::from_secs(60)).await.dead, 0);
    println!(
        "Postgres away for {:.1} s: {} messages of {} conversations, each answered once, the last {:.1} s after the \
         start; {refused} REST calls refused with 503, the slowest in {} ms; healthy {} ms after the start; \
         {discards} answers begun anew, {resends} resends, {reconnects} reconnects",
        (started - stopping).as_secs_f64(),
        said.iter().map(Vec::len).sum::<usize>(),
        devices.len(),
        last.saturating_duration_since(started).as_secs_f64(),
        slowest.as_millis(),
        well.as_millis(),
    );
}

/// One of four REST calls.
async fn ask(trouble: &Trouble, rest: &Rest, conversation: &str, call: usize) -> Answer {
    let messages = format!("/conversations/{conversation}/messages");
    let (tenant, agent) = (trouble.stack.tenant_id("acme"), trouble.stack.agents("acme").0);
    match call % 4 {
        0 => rest.get(&format!("/conversations?tenant_id={tenant}")).await,
        1 => rest.get(&messages).await,
        2 => {
            let body = json!({"tenant_id": tenant, "agent_id": agent, "session_id": "e2e-outage"});
            rest.post("/conversations", body).await
        }
        _ => rest.post(&messages, json!({"content": "over REST"})).await,
    }
}

/// Asks over REST until the outage nears its end: every call is refused as the protocol says.
async fn refused_meanwhile(
    trouble: &Trouble,
    rest: &Rest,
    conversation: &str,
    stopped: Instant,
) -> (usize, Duration) {
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    while stopped.elapsed() < OUTAGE - REST_ANSWERS {
        let began = Instant::now();
        let answer = ask(trouble, rest, conversation, refused).await;
        slowest = slowest.max(began.elapsed());
        assert_eq!((answer.status, &answer.body["code"]), (503, &json!("internal")), "{}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let retry_after = answer.headers["retry-after"].to_str().ok().and_then(|s| s.parse::<u64>().ok());
        assert!(retry_after.is_some_and(|seconds| seconds > 0), "Retry-After {retry_after:?}");
        refused += 1;
        let health = rest.get("!/health").await;
        assert_eq!((health.status, &health.body["checks"]["postgres"]), (503, &json!("down")));
        assert_eq!(health.body["checks"]["redis"], "ok", "{}", health.body);
        sleep(Duration::from_millis(200)).await;
    }
    assert!(slowest < REST_ANSWERS, "a REST call took {slowest:?}");
    (refused, slowest)
}

/// Waits for the end of everything; when the last one came.
async fn last_end(devices: &[Device], said: &[Said], within: Duration) -> Instant {
    let mut last = None;
    for (device, said) in devices.iter().zip(said) {
        let ids: Vec<String> = said.iter().map(|(id, _)| id.clone()).collect();
        device.until_ended(&ids, within).await;
        let ends = |came: &&Came| came.frame["in_reply_to"].is_string();
        let end = device.look(|kept| kept.frames.iter().filter(ends).map(|came| came.at).max());
        last = last.max(end);
    }
    last.expect("an end")
}

/// proves CHAT-08, CHAT-09
#[tokio::test]
async fn a_restart_of_postgres_in_mid_answer_leaves_one_whole_answer() {
    let trouble = Trouble::outages().await;
    let devices = trouble.devices(3).await;
    let mut said = Vec::new();
    for device in &devices {
        said.push(vec![(device.said("/tokens 120 25").await, Some(words(120)))]);
        device.first_piece(Duration::from_secs(30)).await;
    }
    let began = Instant::now();
    trouble.service("postgres", "stop").await;
    trouble.service("postgres", "start").await;
    let took = began.elapsed();
    let last = last_end(&devices, &said, Duration::from_secs(90)).await;
    let mut discards = 0;
    for (device, said) in devices.iter().zip(&said) {
        let found = device.verify(said, true).await;
        assert!(found.failed.is_empty(), "an outage of ours ends no turn");
        discards += found.discards;
    }
    println!(
        "Postgres restarted in {} ms in the middle of {} answers: each whole and once, the last {:.1} s after the \
         restart began; {discards} begun anew",
        took.as_millis(),
        devices.len(),
        (last - began).as_secs_f64()
    );
}
