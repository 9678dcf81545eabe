//! Seeded runs: an answer comes in pieces, Slack and the journal fail, processes die. In the end the thread holds the
//! answer once, whole and in order, and nothing else of ours. A failure prints its seed; `TEST_SEED=<seed>` repeats it.

use std::sync::Arc;
use std::time::Duration;

use konstruct_channels::slack::adapter::THINKING;
use konstruct_channels::slack::mrkdwn::{markdown_text, mrkdwn};
use konstruct_channels::slack::split::split;
use konstruct_ports::{Channel, ChannelError, ChannelReply, Final};
use tokio::time::{sleep, timeout};

use crate::chance::{Chance, seeds};
use crate::slack::{BOT, Fake, Faults};
use crate::{addressee, channel, machine};

/// More invocations than any run needs: faults are limited.
const INVOCATIONS_MAX: usize = 200;

/// What stands in the thread before and besides, and must stay as it is.
const OTHERS: [(&str, &str); 3] = [("U2", "what do you think?"), (BOT, "an older answer"), ("UOTHER", "")];

fn text(chance: &mut Chance) -> String {
    let mut text = String::new();
    for _ in 0..=chance.below(12) {
        match chance.below(6) {
            0 => {
                text.push_str(&"code <b> & \"x\";\n".repeat(1 + usize::try_from(chance.below(300)).unwrap()));
            }
            1 => text.push_str("```rust\nlet a = 1;\n\nlet b = &a;\n```\n\n"),
            2 => text.push_str("# Title\n\n- **one**\n- [two](https://x.example/?a=1&b=2)\n\n"),
            _ => {
                text.push_str(&format!(
                    "{}\n\n",
                    "word ".repeat(usize::try_from(chance.below(400)).unwrap())
                ));
            }
        }
    }
    if text.trim().is_empty() { "ok".to_owned() } else { text }
}

struct Run {
    chance: Chance,
    fake: Arc<Fake>,
    streams: bool,
    answer: String,
    sentence: Option<&'static str>,
}

impl Run {
    fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed);
        let faults = Faults {
            once_in: 2 + chance.below(12),
            left: u32::try_from(chance.below(25)).unwrap(),
            deaths: !chance.once_in(3),
        };
        let fake = Fake::new(seed, faults);
        for (user, text) in OTHERS {
            fake.put(user, text);
        }
        fake.world.lock().unwrap().has_streaming = !chance.once_in(5);
        let streams = !chance.once_in(4);
        let sentence = chance.once_in(6).then_some("Sorry, that failed.");
        Self { answer: text(&mut chance), chance, fake, streams, sentence }
    }

    async fn announce(&mut self) {
        if self.chance.once_in(8) {
            return;
        }
        let (channel, to) = (channel(&self.fake), addressee());
        let limit = Duration::from_secs(2);
        tokio::select! {
            announced = channel.announce(&to, limit) => {
                // Now and then it is not stored.
                if !self.chance.once_in(6) {
                    self.fake.world.lock().unwrap().journal = Some(announced.posts);
                }
            }
            () = self.fake.death.notified() => {}
        }
    }

    /// One process. Whether it brought the end.
    async fn invocation(&mut self) -> bool {
        let mut reply = machine(&self.fake, self.streams);
        let mut dies_at = self.chance.below(400);
        let has_ended = self.chance.once_in(3);
        let fake = self.fake.clone();
        let work = async {
            if !has_ended {
                self.show(&mut reply).await;
            }
            let last = match self.sentence {
                Some(sentence) => Final::Sentence(sentence),
                None => Final::Answer { text: &self.answer, stopped: false },
            };
            loop {
                let patience = Duration::from_secs(self.chance.below(40));
                match reply.end(last, patience).await {
                    Ok(()) => return true,
                    Err(ChannelError::Later(wait)) => sleep(wait).await,
                    Err(ChannelError::Away) => sleep(Duration::from_secs(1)).await,
                    Err(error) => panic!("{error}"),
                }
                // Another process goes on, or this one does.
                if self.chance.once_in(2) {
                    return false;
                }
            }
        };
        if fake.world.lock().unwrap().faults.left == 0 || !fake.world.lock().unwrap().faults.deaths {
            dies_at = 0;
        }
        let killed = async {
            if dies_at == 0 {
                std::future::pending::<()>().await;
            }
            // At any await of its own, not only at a call.
            sleep(Duration::from_millis(dies_at * 97)).await;
        };
        let done = tokio::select! {
            done = work => done,
            () = fake.death.notified() => false,
            () = killed => false,
        };
        if reply.lost_streaming() {
            self.streams = false;
        }
        done
    }

    async fn show(&mut self, reply: &mut Box<dyn ChannelReply>) {
        let void = self.chance.once_in(4).then(|| text(&mut self.chance));
        for text in void.iter().chain([&self.answer]) {
            let mut at = 0;
            while at < text.len() {
                at = (at + 1 + usize::try_from(self.chance.below(900)).unwrap()).min(text.len());
                while !text.is_char_boundary(at) {
                    at += 1;
                }
                match reply.show(&text[..at]).await {
                    Ok(Some(wait)) if self.chance.once_in(3) => sleep(wait.min(Duration::from_secs(2))).await,
                    Ok(_) => sleep(Duration::from_millis(self.chance.below(700))).await,
                    Err(ChannelError::Refused(_)) => return,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn check(&self) {
        if std::env::var("TEST_DEBUG").is_ok() {
            let world = self.fake.world.lock().unwrap();
            for call in &world.calls {
                eprintln!(
                    "{:?} {} {} {}",
                    call.at,
                    call.method,
                    call.had_effect,
                    call.args.to_string().chars().take(150).collect::<String>()
                );
            }
            eprintln!("{:?}", world.journal);
            for (ts, m) in &world.messages {
                eprintln!("{ts} {} {}", m.user, m.text.chars().take(40).collect::<String>());
            }
        }
        let shown = self.fake.ours();
        let mut texts: Vec<&str> = shown.iter().map(|message| message.text.as_str()).collect();
        assert!(shown.iter().all(|message| !message.is_streaming), "a stream is left open");
        assert!(!texts.contains(&THINKING), "a placeholder is left");
        let older = texts.iter().position(|text| *text == OTHERS[1].1).expect("the older answer");
        texts.remove(older);
        let parts = split(self.sentence.unwrap_or(&self.answer));
        assert_eq!(texts.len(), parts.len(), "{texts:?}");
        for (number, (text, part)) in texts.iter().zip(&parts).enumerate() {
            let good = *text == mrkdwn(part) || number == 0 && *text == markdown_text(part);
            assert!(good, "part {number} of {} is\n{text}\n--- not\n{part}", parts.len());
        }
        let world = self.fake.world.lock().unwrap();
        assert_eq!(world.messages.values().filter(|message| message.user != BOT).count(), 2);
    }
}

async fn run(seed: u64) {
    let mut run = Run::of(seed);
    run.announce().await;
    for _ in 0..INVOCATIONS_MAX {
        if run.invocation().await {
            run.check();
            let calls = run.fake.world.lock().unwrap().calls.len();
            assert!(run.invocation().await || run.fake.world.lock().unwrap().faults.left > 0);
            run.check();
            let again = run.fake.world.lock().unwrap().calls.len() - calls;
            assert_eq!(again, 0, "calls after the end");
            return;
        }
    }
    panic!("no end after {INVOCATIONS_MAX} invocations");
}

/// Prints the seed of a run that panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("TEST_SEED={}", self.0);
        }
    }
}

/// proves SLACK-04
/// proves CHAN-05
#[test]
fn whatever_fails_the_thread_holds_the_answer_once_and_whole() {
    for seed in seeds(1_000) {
        let _printed = Seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let day = Duration::from_secs(86_400);
        runtime.unwrap().block_on(async { timeout(day, run(seed)).await.expect("no end within a day") });
    }
}
