//! Redis away and Redis emptied: what is stored stays, and no client sees a wrong or a repeated frame.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::Rest;
use crate::dice::Dice;
use crate::trouble::Trouble;
use crate::verify::words;

const OUTAGE: Duration = Duration::from_secs(4);

type Said = Vec<(String, Option<String>)>;

fn ids(said: &Said) -> Vec<String> {
    said.iter().map(|(id, _)| id.clone()).collect()
}

/// proves CHAT-07, CHAT-08, CHAT-09, CHAT-12
#[tokio::test]
async fn while_redis_is_away_reads_go_on_and_messages_wait() {
    let trouble = Trouble::outages().await;
    let devices = trouble.devices(4).await;
    let mut said: Vec<Said> = vec![Vec::new(); devices.len()];
    for (device, said) in devices.iter().zip(&mut said).take(2) {
        said.push((device.said("/tokens 120 20").await, Some(words(120))));
        device.first_piece(Duration::from_secs(30)).await;
    }
    trouble.service("redis", "stop").await;
    let stopped = Instant::now();
    let talk = join_all(devices.iter().map(|device| async move {
        let mut said = Said::new();
        for at in [500, 2000] {
            sleep_until(stopped + Duration::from_millis(at)).await;
            said.push((device.say("still there?"), None));
        }
        said
    }));
    let conversation = devices[0].conversation();
    let reads = reads_meanwhile(&trouble, &conversation, stopped);
    let end = async {
        sleep_until(stopped + OUTAGE).await;
        trouble.service("redis", "start").await;
        Instant::now()
    };
    let (meanwhile, reads, started) = tokio::join!(talk, reads, end);
    for (all, some) in said.iter_mut().zip(meanwhile) {
        all.extend(some);
    }
    let well = trouble.healthy(Duration::from_secs(10)).await;
    let (mut gaps, mut discards, mut reconnects) = (0, 0, 0);
    for (device, said) in devices.iter().zip(&mut said) {
        said.push((device.said("and after").await, None));
    }
    for (device, said) in devices.iter().zip(&said) {
        device.until_ended(&ids(said), Duration::from_secs(90)).await;
        let found = device.verify(said, false).await;
        assert!(found.failed.is_empty(), "an outage of ours ends no turn");
        gaps += found.gaps;
        discards += found.discards;
        reconnects += found.connections - 1;
    }
    println!(
        "Redis away for {:.1} s: {} messages, each answered once, all ended {:.1} s after the start; {reads} reads over \
         REST answered meanwhile; healthy {} ms after the start; {gaps} gaps, {discards} answers begun anew, \
         {reconnects} reconnects",
        (started - stopped).as_secs_f64(),
        said.iter().map(Vec::len).sum::<usize>(),
        started.elapsed().as_secs_f64(),
        well.as_millis()
    );
}

/// Reads over REST until the outage nears its end; how many were answered. Nothing is admitted meanwhile.
async fn reads_meanwhile(trouble: &Trouble, conversation: &str, stopped: Instant) -> usize {
    let rest = Rest::on(trouble.stack, &trouble.user());
    let messages = format!("/conversations/{conversation}/messages");
    let list = format!("/conversations?tenant_id={}", trouble.stack.tenant_id("acme"));
    let health = rest.get("!/health").await;
    assert_eq!((health.status, &health.body["checks"]["redis"]), (503, &json!("down")), "{}", health.body);
    let refused = rest.post(&messages, json!({"content": "over REST"})).await;
    assert_eq!((refused.status, &refused.body["code"]), (503, &json!("internal")), "{}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));
    let mut reads = 0;
    while stopped.elapsed() < OUTAGE - Duration::from_secs(1) {
        for path in [&messages, &list] {
            let answer = rest.get(path).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            reads += 1;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(reads > 0, "no read was made in the outage");
    reads
}

/// proves CHAT-08, CHAT-09, CHAT-12
#[tokio::test]
async fn redis_emptied_between_and_during_answers_loses_and_repeats_nothing() {
    let trouble = Trouble::outages().await;
    let mut dice = Dice::new();
    println!("seed {}", dice.seed);
    let devices = trouble.devices(4).await;
    let mut said: Vec<Said> = vec![Vec::new(); devices.len()];
    let mut flushes = 0;
    for round in 0..5 {
        // Odd rounds: emptied before anything is said. Even ones: in the middle of the answers.
        if round % 2 == 1 {
            trouble.service("redis", "flush").await;
            flushes += 1;
        }
        let asked = join_all(devices.iter().map(|device| device.said("/tokens 60 30"))).await;
        for (said, id) in said.iter_mut().zip(asked) {
            said.push((id, Some(words(60))));
        }
        if round % 2 == 0 {
            sleep(Duration::from_millis(dice.between(0, 1800))).await;
            trouble.service("redis", "flush").await;
            flushes += 1;
        }
        for (device, said) in devices.iter().zip(&said) {
            device.until_ended(&ids(said), Duration::from_secs(60)).await;
        }
    }
    let (mut gaps, mut discards, mut reconnects) = (0, 0, 0);
    for (device, said) in devices.iter().zip(&mut said) {
        said.push((device.said("and after").await, None));
        device.until_ended(&ids(said), Duration::from_secs(60)).await;
        let found = device.verify(said, true).await;
        assert!(found.failed.is_empty(), "an outage of ours ends no turn");
        gaps += found.gaps;
        discards += found.discards;
        reconnects += found.connections - 1;
    }
    println!(
        "Redis emptied {flushes} times: {} answers stored whole and once; over {reconnects} reconnects {gaps} times \
         replay_gap, no frame repeated or out of order; {discards} answers begun anew",
        said.iter().map(Vec::len).sum::<usize>()
    );
}
