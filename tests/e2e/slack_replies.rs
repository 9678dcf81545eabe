//! A thousand answers brought into Slack threads over HTTP while the recorder fails at random: the adapter as the
//! agent uses it, its process dying now and then. In the end each thread holds its answer once and whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use konstruct_channels::slack::adapter::Slack;
use konstruct_channels::slack::api::SlackApi;
use konstruct_http::{Client, ClientConfig};
use konstruct_ports::{
    Addressee, BoxFuture, Channel, ChannelError, ChannelToken, Final, JournalError, PostJournal, ReplyTo,
};
use konstruct_tests::seeds::{Chance, seeds};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::slack::Workspace;
use crate::trouble::Trouble;

/// Answers at a time.
const AT_ONCE: usize = 100;
/// Invocations an answer may take: faults are many, not endless.
const INVOCATIONS_MAX: usize = 60;
const LIMIT: Duration = Duration::from_secs(2);

/// A turn's row, as far as a channel is concerned.
#[derive(Clone, Default)]
struct Row(Arc<Mutex<Option<String>>>);

impl PostJournal for Row {
    fn keep<'a>(&'a self, posts: &'a str) -> BoxFuture<'a, Result<(), JournalError>> {
        *self.0.lock().expect("the row") = Some(posts.to_owned());
        Box::pin(async { Ok(()) })
    }
}

/// One answer.
struct Run {
    seed: u64,
    chance: Chance,
    slack: Arc<Slack>,
    to: Addressee,
    row: Row,
    text: String,
}

impl Run {
    fn of(seed: u64, room: &str, slack: &Arc<Slack>) -> Self {
        let mut chance = Chance::of(seed);
        let ts = format!("17{:08}.{:06}", seed, chance.below(1_000_000));
        let metadata = [
            ("workspace_id", "T00FAKE00AA"),
            ("team_id", "T00FAKE00AA"),
            ("room", room),
            ("ts", ts.as_str()),
            ("user_id", "U00FAKEUSER1"),
            ("bot_user_id", "U00FAKEBOT01"),
            ("channel_type", "channel"),
        ];
        let to = Addressee {
            metadata: metadata.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            token: ChannelToken::new("xoxb-chaos".to_owned()),
            message_id: uuid::Uuid::from_u128(u128::from(seed) << 64 | u128::from(chance.number())),
        };
        let words = 1 + chance.below(if seed.is_multiple_of(20) { 2_000 } else { 60 });
        let text: Vec<String> = (0..words).map(|n| format!("r{seed}w{n}")).collect();
        Self { seed, chance, slack: Arc::clone(slack), to, row: Row::default(), text: text.join(" ") }
    }

    fn thread(&self) -> String {
        self.to.metadata["ts"].clone()
    }

    /// From the placeholder to the end, however many processes it takes; how many.
    async fn play(&mut self) -> usize {
        if !self.chance.once_in(6) {
            let announced = self.slack.announce(&self.to, LIMIT).await;
            *self.row.0.lock().expect("the row") = Some(announced.posts);
        }
        let streams = self.chance.once_in(2);
        for invocation in 1..=INVOCATIONS_MAX {
            let lives = Duration::from_millis(50 + self.chance.below(4_000));
            let immortal = invocation > 6;
            let work = self.invoke(streams);
            let done = if immortal { work.await } else { timeout(lives, work).await.unwrap_or(false) };
            if done {
                return invocation;
            }
        }
        panic!("seed {}: never brought to its end", self.seed);
    }

    /// One process; whether it brought the end.
    async fn invoke(&mut self, streams: bool) -> bool {
        let posts = self.row.0.lock().expect("the row").clone();
        let journal = Arc::new(self.row.clone());
        let to = ReplyTo { addressee: self.to.clone(), posts, journal, streams };
        let mut reply = self.slack.reply(to).expect("a reply");
        if self.chance.once_in(3) {
            for part in 1..=3 {
                let some: String = self.text.chars().take(self.text.len() * part / 4).collect();
                reply.show(&some).await.expect("shown, or tried again");
                sleep(Duration::from_millis(300)).await;
            }
        }
        loop {
            let last = Final::Answer { text: &self.text, stopped: false };
            match reply.end(last, Duration::from_secs(20)).await {
                Ok(()) => return true,
                Err(ChannelError::Later(wait)) => sleep(wait).await,
                Err(error) => panic!("seed {}: {error}", self.seed),
            }
        }
    }
}

/// Scripts random failures until it is dropped.
async fn fail_at_random(slack: &Workspace, mut chance: Chance) {
    let methods = [
        "chat.postMessage",
        "chat.update",
        "chat.delete",
        "chat.startStream",
        "chat.appendStream",
        "chat.stopStream",
        "conversations.replies",
    ];
    loop {
        let method = methods[usize::try_from(chance.below(methods.len() as u64)).expect("an index")];
        let mut script = json!({"channel": "slack", "method": method, "times": 1 + chance.below(3)});
        match chance.below(5) {
            0 => {
                script["status"] = json!(429);
                script["retry_after"] = json!(1);
            }
            1 => script["error"] = json!("internal_error"),
            2 => script["status"] = json!(500),
            3 => script["delay_ms"] = json!(200 + chance.below(600)),
            _ if method.ends_with("Stream") && method != "chat.startStream" => {
                script["error"] = json!("message_not_in_streaming_state");
            }
            _ => script["delay_ms"] = json!(chance.below(100)),
        }
        slack.script(&script).await;
        sleep(Duration::from_millis(15)).await;
    }
}

/// proves SLACK-04, CHAN-05
#[tokio::test]
async fn a_thousand_answers_stand_once_and_whole_in_their_threads_whatever_slack_does() {
    let trouble = Trouble::deaths().await;
    let workspace = Workspace::of(trouble.stack);
    let room = crate::slack::room();
    let base = format!("{}/slack/api", trouble.stack.url("recorder_url"));
    let client = Client::new(ClientConfig { allow_plain: true, ..ClientConfig::default() });
    let slack = Arc::new(Slack::new(SlackApi::new(client, &base).expect("an address")));
    let all = seeds(1_000);
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    for seed in &all {
        let run = Run::of(*seed, &room, &slack);
        wanted.insert(run.thread(), run.text);
    }
    let began = std::time::Instant::now();
    let plays = iter(all.iter().map(|seed| {
        let mut run = Run::of(*seed, &room, &slack);
        async move { run.play().await }
    }));
    let plays = plays.buffer_unordered(AT_ONCE).collect::<Vec<usize>>();
    let invocations: usize = tokio::select! {
        invocations = plays => invocations.into_iter().sum(),
        () = fail_at_random(&workspace, Chance::of(1)) => unreachable!("it never ends"),
    };
    workspace.unscript().await;
    let stand = workspace.threads(&room).await;
    let failed = workspace.failed_calls(&room).await;
    println!(
        "slack: {} answers by {invocations} processes, {failed} calls failed, {:.0} s",
        all.len(),
        began.elapsed().as_secs_f64()
    );
    assert_eq!(stand.len(), wanted.len());
    for (thread, text) in &wanted {
        let words: Vec<&str> = stand[thread].iter().flat_map(|part| part.split_whitespace()).collect();
        let expected: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words, expected, "thread {thread}: {:?}", stand[thread]);
    }
    assert!(all.len() < 100 || failed > all.len() / 20, "hardly anything failed: {failed}");
}
