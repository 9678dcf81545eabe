//! Everything at once: every record three times, agents that die, posts that fail, sends that fail, `$disconnect` that
//! is lost. Each message is answered once, in order, and no byte goes to another tenant.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::device::Device;
use crate::dice::Dice;
use crate::trouble::Trouble;
use crate::verify::{Found, words};

const SPELL: Duration = Duration::from_secs(15);
/// A dead invocation costs a lease; one that dies before its first act waits for the janitor, 45 to 105 s.
const PATIENCE: Duration = Duration::from_secs(200);

struct Talker {
    device: Device,
    slug: &'static str,
    said: Vec<(String, Option<String>)>,
}

fn canary(slug: &str, seed: u64) -> String {
    format!("canary{slug}{seed}")
}

/// Says its messages, each when the one before is acknowledged, and waits for the end of all.
async fn talk(mut talker: Talker, plan: Vec<(String, u64)>, seed: u64) -> Talker {
    for (text, pause) in plan {
        let id = talker.device.said(&text).await;
        let expected = text.starts_with("/tokens").then(|| words(40));
        talker.said.push((id, expected));
        sleep(Duration::from_millis(pause)).await;
    }
    let ids: Vec<String> = talker.said.iter().map(|(id, _)| id.clone()).collect();
    println!("seed {seed}: all said by {}", talker.slug);
    talker.device.until_ended(&ids, PATIENCE).await;
    talker
}

/// Arms one fault after another for a while; how many.
async fn spell(trouble: &Trouble, dice: &mut Dice) -> usize {
    trouble.arm(json!({"kind": "sqs_duplicate", "times": 2})).await;
    let (began, mut armed) = (Instant::now(), 1);
    while began.elapsed() < SPELL {
        match dice.between(0, 9) {
            // Several at once: a copy that finds its conversation at work ends soon and uses one up.
            0..=3 => trouble.kill("agent", dice.between(100, 1500), 12).await,
            4..=6 => {
                let status = dice.one_of(&[410, 429, 500]);
                trouble.arm(json!({"kind": "management_status", "status": status, "times": 2})).await;
            }
            7 => trouble.kill("ws-disconnect", 0, 1).await,
            _ => trouble.arm(json!({"kind": "sqs_send_fails", "times": 1})).await,
        }
        armed += 1;
        sleep(Duration::from_millis(dice.between(200, 700))).await;
    }
    trouble.disarm().await;
    armed
}

/// proves CHAT-08, CHAT-09, CHAT-10, CHAT-12, TEN-01
#[tokio::test]
async fn records_three_times_dying_agents_and_failing_posts_leave_one_answer_each() {
    let trouble = Trouble::deaths().await;
    let mut dice = Dice::new();
    let seed = dice.seed;
    println!("seed {seed}");
    let (dead_before, errors_before) =
        (trouble.queued().await.dead, trouble.function("agent", "errors").await);
    // 24 conversations of acme, 6 of globex, whose limit is 30 messages a minute.
    let tenants = (0..30).map(|n| if n % 5 == 4 { "globex" } else { "acme" });
    let stack = trouble.stack;
    let open = tenants.map(|slug| async move {
        Talker { device: Device::fresh(stack, &stack.member(slug)).await, slug, said: Vec::new() }
    });
    let talkers = join_all(open).await;
    let began = Instant::now();
    let talks: Vec<_> = talkers
        .into_iter()
        .map(|talker| {
            let plan = (0..3).map(|n| {
                let text = match dice.between(0, 1) {
                    0 => "/tokens 40 20".to_owned(),
                    _ => format!("{} number {n}", canary(talker.slug, seed)),
                };
                (text, dice.between(0, 3000))
            });
            let plan: Vec<(String, u64)> = plan.collect();
            talk(talker, plan, seed)
        })
        .collect();
    let (talkers, faults) = tokio::join!(join_all(talks), spell(&trouble, &mut dice));
    let took = began.elapsed();
    let mut all = Found::default();
    for talker in &talkers {
        let found = talker.device.verify(&talker.said, true).await;
        all.failed.extend(found.failed);
        all.discards += found.discards;
        all.gaps += found.gaps;
        all.connections += found.connections - 1;
        let other = canary(if talker.slug == "acme" { "globex" } else { "acme" }, seed);
        let leaked =
            talker.device.look(|kept| kept.frames.iter().any(|came| came.frame.to_string().contains(&other)));
        assert!(!leaked, "seed {seed}: a text of another tenant");
    }
    for id in &all.failed {
        let attempts = trouble.stack.sql(&format!("SELECT attempts FROM turns WHERE id = '{id}'"));
        let attempts: u32 = attempts.trim().parse().expect("a number");
        assert!(attempts >= 5, "seed {seed}: a turn ended in agent_failed after {attempts} deaths");
    }
    let drained = trouble.drained(PATIENCE).await;
    assert_eq!(drained.dead, dead_before, "seed {seed}: nothing may end in the dead-letter queue");
    println!(
        "seed {seed}: {faults} faults, every record 3 times, {} agents died: {} messages of {} conversations ended once \
         each ({} in agent_failed after five deaths), in order, in {:.1} s; {} answers begun anew, {} reconnects, {} gaps; queue drained, \
         dead letters 0",
        trouble.function("agent", "errors").await - errors_before,
        talkers.iter().map(|talker| talker.said.len()).sum::<usize>(),
        talkers.len(),
        all.failed.len(),
        took.as_secs_f64(),
        all.discards,
        all.connections,
        all.gaps
    );
}
