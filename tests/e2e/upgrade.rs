//! Functions swapped for new builds in mid-answer, and back again: every answer comes whole and once, whether what runs
//! may end in the old build, as on AWS, or dies with it. The new build is the same code in other bytes.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::Rest;
use crate::device::Device;
use crate::trouble::Trouble;
use crate::verify::{Found, words};

const CONVERSATIONS: usize = 50;
/// Long enough for two swaps, a migration and messages in between.
const WORDS: usize = 240;
const RATE: usize = 12;
/// Of these one says something more while functions are swapped.
const ONE_IN: usize = 5;
/// One that dies before its first act waits for the janitor, 45 to 105 s.
const PATIENCE: Duration = Duration::from_secs(200);

type Said = Vec<(String, Option<String>)>;

struct Upgrade<'a> {
    trouble: &'a Trouble,
    rest: Rest,
    kill: bool,
}

/// The functions' binaries in other bytes: what follows an ELF image is not part of the program.
fn another_build(trouble: &Trouble) -> PathBuf {
    let folder = trouble.stack.state.join("next");
    std::fs::create_dir_all(&folder).expect("a folder");
    let aside = std::fs::read_dir(trouble.stack.state.join("bin")).expect("what runs");
    for entry in aside.map(|entry| entry.expect("a file")).filter(|entry| entry.path().is_file()) {
        let to = folder.join(entry.file_name());
        // Not a link: what runs must stay as it is.
        std::fs::copy(entry.path(), &to).expect("a copy");
        let mut file = std::fs::OpenOptions::new().append(true).open(&to).expect("the copy");
        file.write_all(b"another build").expect("other bytes");
    }
    folder
}

impl Upgrade<'_> {
    /// All functions, from `folder` or from where they were built.
    async fn swap(&self, folder: Option<&PathBuf>) {
        let answer =
            self.rest.post("!/_local/functions/*/swap", json!({"folder": folder, "kill": self.kill})).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
    }

    async fn builds(&self) -> Value {
        self.rest.get("!/_local/builds").await.body
    }

    /// A deployment migrates while people are answered.
    async fn migrate(&self) {
        let answer =
            self.rest.post("!/_local/lambda/2015-03-31/functions/migrate/invocations", json!({})).await;
        assert_eq!((answer.status, &answer.body["applied"]), (200, &json!([])), "{}", answer.body);
    }

    /// A person who comes now is answered by what runs now.
    async fn newcomer(&self) -> (Device, Said) {
        let device = Device::fresh(self.trouble.stack, &self.trouble.user()).await;
        let id = device.said("hello").await;
        device.end_of(&id, PATIENCE).await;
        (device, vec![(id, None)])
    }

    /// Some of those who are being answered say something more.
    async fn say_more(&self, devices: &[(Device, Said)]) -> Vec<Said> {
        let says = devices.iter().enumerate().map(|(n, (device, _))| async move {
            if n % ONE_IN != 0 {
                return Said::new();
            }
            vec![(device.said("/tokens 20 50").await, Some(words(20)))]
        });
        join_all(says).await
    }
}

fn still_streaming(devices: &[(Device, Said)]) -> usize {
    devices.iter().filter(|(device, said)| device.look(|kept| kept.ends(&said[0].0).is_empty())).count()
}

/// Streams, swaps, migrates, swaps back; what was found of all conversations.
async fn upgrade(trouble: &Trouble, kill: bool) -> Found {
    let rest = Rest::on(trouble.stack, &trouble.user());
    let up = Upgrade { trouble, rest, kill };
    let next = another_build(trouble);
    let before = up.builds().await;
    let devices = trouble.devices(CONVERSATIONS).await;
    let began = Instant::now();
    let question = format!("/tokens {WORDS} {RATE}");
    let asked = devices.into_iter().map(|device| async {
        let id = device.said(&question).await;
        device.first_piece(Duration::from_secs(60)).await;
        (device, vec![(id, Some(words(WORDS)))])
    });
    let mut devices = join_all(asked).await;
    assert_eq!(still_streaming(&devices), CONVERSATIONS, "an answer had ended before the swap");
    up.swap(Some(&next)).await;
    let (mut newcomers, first) = tokio::join!(async { vec![up.newcomer().await] }, up.say_more(&devices));
    up.migrate().await;
    let streaming = still_streaming(&devices);
    assert!(streaming * 2 > CONVERSATIONS, "{streaming} answers left to swap back under");
    up.swap(None).await;
    let (newcomer, second) = tokio::join!(up.newcomer(), up.say_more(&devices));
    newcomers.push(newcomer);
    for (n, (_, said)) in devices.iter_mut().enumerate() {
        said.extend(first[n].iter().chain(&second[n]).cloned());
    }
    devices.append(&mut newcomers);
    let ended = devices.iter().map(|(device, said)| async {
        let ids: Vec<String> = said.iter().map(|(id, _)| id.clone()).collect();
        device.until_ended(&ids, PATIENCE).await;
    });
    join_all(ended).await;
    let took = began.elapsed();
    let mut all = Found::default();
    for (device, said) in &devices {
        let found = device.verify(said, true).await;
        all.failed.extend(found.failed);
        all.discards += found.discards;
        all.gaps += found.gaps;
        all.connections += found.connections - 1;
    }
    assert!(all.failed.is_empty(), "a swap ends no turn: {:?}", all.failed);
    // Of an agent that died before its first act the record stays in flight for 900 s: the janitor was quicker.
    let queue = if kill { trouble.queued().await } else { trouble.drained(PATIENCE).await };
    assert_eq!(queue.dead, 0);
    let after = up.builds().await;
    took_part(&before, &after);
    println!(
        "{} messages of {} conversations, all functions swapped and swapped back ({}) with {CONVERSATIONS} and \
         {streaming} answers streaming: each answered whole and once, in {:.1} s; {} answers begun anew, {} reconnects, \
         {} gaps; agent by build {}, ws-message {}",
        devices.iter().map(|(_, said)| said.len()).sum::<usize>(),
        devices.len(),
        if kill { "killed" } else { "drained" },
        took.as_secs_f64(),
        all.discards,
        all.connections,
        all.gaps,
        after["agent"]["ended"],
        after["ws-message"]["ended"],
    );
    all
}

/// The build before, the new one and the one it went back to all did work, and are not the same file.
fn took_part(before: &Value, after: &Value) {
    let first = before["agent"]["build"].as_u64().expect("a build");
    for function in ["agent", "ws-connect", "ws-auth", "ws-message"] {
        let ended = |builds: &Value, number: u64| {
            builds[function]["ended"][number.to_string()].as_u64().unwrap_or_default()
        };
        for number in first..=first + 2 {
            let more = ended(after, number) - ended(before, number);
            assert!(more > 0, "{function} did nothing in build {number}: {after}");
        }
        assert_eq!(after[function]["build"], first + 2);
    }
    for (name, builds) in after.as_object().expect("functions") {
        assert_eq!(builds["build"], first + 2, "{name} was not swapped");
    }
}

/// proves CHAT-08, CHAT-09, CHAT-12
#[tokio::test]
async fn functions_swapped_in_mid_answer_leave_fifty_of_fifty_whole_and_none_twice() {
    let trouble = Trouble::outages().await;
    let errors = trouble.function("agent", "errors").await;
    let found = upgrade(&trouble, false).await;
    assert_eq!((found.discards, found.gaps), (0, 0), "nobody noticed");
    assert_eq!(trouble.function("agent", "errors").await, errors, "and nothing died");
    let bin = trouble.stack.state.join("bin");
    let bytes = |path: &str| std::fs::read(bin.join(path)).expect("a binary");
    let last = bytes("agent");
    let builds = std::fs::read_dir(bin.join("builds")).expect("builds");
    let differs = builds.map(|build| build.expect("a build").path().join("agent"));
    assert!(
        differs.into_iter().any(|path| std::fs::read(path).expect("a binary") != last),
        "no other build ran"
    );
}

/// proves CHAT-08, CHAT-09, CHAT-12
#[tokio::test]
async fn functions_that_die_at_the_swap_leave_fifty_of_fifty_whole_and_none_twice() {
    let trouble = Trouble::deaths().await;
    let errors = trouble.function("agent", "errors").await;
    upgrade(&trouble, true).await;
    let died = trouble.function("agent", "errors").await - errors;
    println!("{died} agents died at the swaps");
    assert!(died >= CONVERSATIONS as u64, "{died} agents died: the swap was not in mid-answer");
}
