//! The machine that brings an answer into a thread, against a Slack that fails in every way it can: one complete
//! answer, whatever happens, as long as Slack answers in the end. It waits on tokio's paused clock only.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test, which reads its seeds from the environment"
)]

#[path = "reply/chance.rs"]
mod chance;
#[path = "reply/schedules.rs"]
mod schedules;
#[path = "reply/slack.rs"]
mod slack;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use konstruct_channels::slack::adapter::{Slack, THINKING};
use konstruct_channels::slack::api::SlackApi;
use konstruct_ports::{Addressee, Channel, ChannelError, ChannelReply, ChannelToken, Final, ReplyTo};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::slack::{BOT, Fake, Faults, QUESTION, ROOT};

const NO_FAULTS: Faults = Faults { once_in: 0, left: 0, deaths: false };
const LIMIT: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn addressee() -> Addressee {
    let entries = [
        ("workspace_id", "T1"),
        ("team_id", "T1"),
        ("room", "C1"),
        ("ts", QUESTION),
        ("thread_ts", ROOT),
        ("user_id", "U1"),
        ("bot_user_id", BOT),
        ("channel_type", "channel"),
    ];
    Addressee {
        metadata: entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        token: ChannelToken::new("xoxb-test".to_owned()),
        message_id: Uuid::from_u128(7),
    }
}

fn channel(fake: &Arc<Fake>) -> Slack {
    Slack::new(SlackApi::over(fake.clone()))
}

/// A machine, as an invocation makes it.
fn machine(fake: &Arc<Fake>, streams: bool) -> Box<dyn ChannelReply> {
    fake.new_process();
    let posts = fake.world.lock().unwrap().journal.clone();
    let to = ReplyTo { addressee: addressee(), posts, journal: fake.clone(), streams };
    channel(fake).reply(to).unwrap()
}

async fn announced(fake: &Arc<Fake>) {
    let announced = channel(fake).announce(&addressee(), LIMIT).await;
    fake.world.lock().unwrap().journal = Some(announced.posts);
}

/// Shows a text until all of it is shown.
async fn show(machine: &mut Box<dyn ChannelReply>, text: &str) {
    while let Some(wait) = machine.show(text).await.unwrap() {
        sleep(wait).await;
    }
}

fn answer(text: &str) -> Final<'_> {
    Final::Answer { text, stopped: false }
}

fn texts(fake: &Fake) -> Vec<String> {
    assert!(fake.ours().iter().all(|message| !message.is_streaming));
    fake.ours().into_iter().map(|message| message.text).collect()
}

fn times(fake: &Fake, method: &str) -> Vec<Instant> {
    let world = fake.world.lock().unwrap();
    world.calls.iter().filter(|call| call.method == method).map(|call| call.at).collect()
}

/// proves SLACK-04
/// proves CHAN-05
#[tokio::test(start_paused = true)]
async fn a_placeholder_becomes_the_answer_with_at_most_one_update_a_second() {
    let fake = Fake::new(1, NO_FAULTS);
    announced(&fake).await;
    assert_eq!(texts(&fake), [THINKING]);
    let mut reply = machine(&fake, false);
    for n in 1..40 {
        reply.show(&"word ".repeat(n)).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    reply.end(answer("**All** <!channel>"), MINUTE).await.unwrap();
    assert_eq!(texts(&fake), ["*All* &lt;!channel&gt;"]);
    let updates = times(&fake, "chat.update");
    let shown = &updates[..updates.len() - 1];
    assert!(shown.len() > 2 && shown.windows(2).all(|two| two[1] - two[0] >= LIMIT), "{shown:?}");
    assert_eq!((fake.count("chat.postMessage"), fake.count("conversations.replies")), (1, 0));
}

/// proves SLACK-04
#[tokio::test(start_paused = true)]
async fn an_answer_is_streamed_where_the_workspace_has_it_and_the_placeholder_goes() {
    let fake = Fake::new(2, NO_FAULTS);
    announced(&fake).await;
    let mut reply = machine(&fake, true);
    let text = |n| "some words ".repeat(n);
    for n in 1..100 {
        reply.show(&text(n)).await.unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    assert!(!texts_while_streaming(&fake).iter().any(|text| text == THINKING));
    reply.end(answer(&text(100)), MINUTE).await.unwrap();
    assert_eq!(texts(&fake), [text(100).trim()]);
    assert_eq!((fake.count("chat.startStream"), fake.count("chat.stopStream")), (1, 1));
    assert_eq!((fake.count("chat.update"), fake.count("conversations.replies")), (0, 0));
    assert!(fake.count("chat.appendStream") <= 4, "buffered: {}", fake.count("chat.appendStream"));
    assert!(!reply.lost_streaming());
}

fn texts_while_streaming(fake: &Fake) -> Vec<String> {
    fake.ours().into_iter().map(|message| message.text).collect()
}

/// proves SLACK-04
#[tokio::test(start_paused = true)]
async fn a_workspace_without_streaming_is_told_apart_for_good_from_a_failure() {
    for (code, lost) in [
        ("feature_not_enabled", true),
        ("unknown_method", true),
        ("method_deprecated", true),
        ("channel_type_not_supported", false),
        ("internal_error", false),
    ] {
        let fake = Fake::new(3, NO_FAULTS);
        announced(&fake).await;
        fake.world.lock().unwrap().refuse_next = vec![("chat.startStream", code)];
        let mut reply = machine(&fake, true);
        show(&mut reply, "hello").await;
        assert_eq!(texts(&fake), ["hello"], "{code}");
        reply.end(answer("hello there"), MINUTE).await.unwrap();
        assert_eq!(texts(&fake), ["hello there"], "{code}");
        assert_eq!((reply.lost_streaming(), fake.count("chat.startStream")), (lost, 1), "{code}");
    }
}

/// proves SLACK-04
#[tokio::test(start_paused = true)]
async fn no_stream_is_tried_where_nobody_is_known_to_see_it() {
    let fake = Fake::new(4, NO_FAULTS);
    let mut to = addressee();
    to.metadata.remove("team_id");
    let posts = Some(r#"{"placeholder":"absent"}"#.to_owned());
    let to = ReplyTo { addressee: to, posts, journal: fake.clone(), streams: true };
    let mut reply = channel(&fake).reply(to).unwrap();
    show(&mut reply, "hello").await;
    reply.end(answer("hello"), MINUTE).await.unwrap();
    assert_eq!(fake.count("chat.startStream"), 0);
    assert_eq!(texts(&fake), ["hello"]);
}

/// proves SLACK-04
#[tokio::test(start_paused = true)]
async fn an_append_in_doubt_or_an_expired_stream_is_healed_by_updates() {
    for code in ["message_not_in_streaming_state", "internal_error", "invalid_chunks"] {
        for method in ["chat.appendStream", "chat.stopStream"] {
            let fake = Fake::new(5, NO_FAULTS);
            announced(&fake).await;
            let mut reply = machine(&fake, true);
            show(&mut reply, "one").await;
            fake.world.lock().unwrap().refuse_next = vec![(method, code), ("chat.stopStream", code)];
            sleep(LIMIT).await;
            show(&mut reply, "one two").await;
            reply.end(answer("one two three"), MINUTE).await.unwrap();
            assert_eq!(texts(&fake), ["one two three"], "{method} {code}");
        }
    }
}

/// proves SLACK-04
#[tokio::test(start_paused = true)]
async fn a_long_answer_is_several_messages_in_order_and_code_stays_code() {
    for streams in [true, false] {
        let fake = Fake::new(6, NO_FAULTS);
        announced(&fake).await;
        let mut reply = machine(&fake, streams);
        let code = "let x = \"<@U1>\";\n".repeat(400);
        let text = format!("Intro.\n\n```rust\n{code}```\n\n{}", "word ".repeat(1_500));
        for end in (0..text.len()).step_by(500) {
            reply.show(&text[..end]).await.unwrap();
            sleep(Duration::from_millis(300)).await;
        }
        reply.end(answer(&text), MINUTE).await.unwrap();
        let texts = texts(&fake);
        assert!(texts.len() > 4, "{}", texts.len());
        let whole = texts.join("\n");
        assert_eq!(whole.matches("let x = \"&lt;@U1&gt;\";").count(), 400);
        assert_eq!(whole.matches("word").count(), 1_500);
        assert!(texts.iter().all(|text| text.matches("```").count() % 2 == 0));
        assert_eq!(fake.count("conversations.replies"), 0);
    }
}

/// proves SLACK-04
#[tokio::test(start_paused = true)]
async fn a_failure_becomes_one_plain_sentence() {
    for streams in [true, false] {
        for shown in ["", "half an answ"] {
            let fake = Fake::new(7, NO_FAULTS);
            announced(&fake).await;
            let mut reply = machine(&fake, streams);
            show(&mut reply, shown).await;
            reply.end(Final::Sentence("Sorry, that failed."), MINUTE).await.unwrap();
            assert_eq!(texts(&fake), ["Sorry, that failed."], "{streams} {shown}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_begins_anew_replaces_what_was_shown() {
    for streams in [true, false] {
        let fake = Fake::new(8, NO_FAULTS);
        announced(&fake).await;
        let mut reply = machine(&fake, streams);
        show(&mut reply, &"first ".repeat(1_500)).await;
        assert!(texts_while_streaming(&fake).len() > 2);
        sleep(LIMIT * 2).await;
        show(&mut reply, "second").await;
        reply.end(answer("second try"), MINUTE).await.unwrap();
        assert_eq!(texts(&fake), ["second try"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_text_is_a_sentence_too() {
    for (stopped, sentence) in [(true, "Stopped."), (false, "I have nothing to say to that.")] {
        let fake = Fake::new(9, NO_FAULTS);
        announced(&fake).await;
        let mut reply = machine(&fake, true);
        reply.end(Final::Answer { text: " \n", stopped }, MINUTE).await.unwrap();
        assert_eq!(texts(&fake), [sentence]);
    }
}

/// proves SLACK-04
#[tokio::test(start_paused = true)]
async fn a_retry_after_longer_than_our_patience_is_left_to_a_later_process() {
    let fake = Fake::new(10, NO_FAULTS);
    announced(&fake).await;
    fake.world.lock().unwrap().refuse_next = vec![("chat.update", "ratelimited")];
    let mut reply = machine(&fake, false);
    let later = reply.end(answer("hello"), Duration::ZERO).await.unwrap_err();
    assert_eq!(later, ChannelError::Later(LIMIT));
    machine(&fake, false).end(answer("hello"), MINUTE).await.unwrap();
    assert_eq!(texts(&fake), ["hello"]);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_brought_is_not_brought_again() {
    let fake = Fake::new(11, NO_FAULTS);
    announced(&fake).await;
    machine(&fake, true).end(answer("hello"), MINUTE).await.unwrap();
    let calls = fake.world.lock().unwrap().calls.len();
    machine(&fake, true).end(answer("hello"), MINUTE).await.unwrap();
    assert_eq!(fake.world.lock().unwrap().calls.len(), calls);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_a_person_deleted_is_posted_anew() {
    let fake = Fake::new(12, NO_FAULTS);
    announced(&fake).await;
    fake.world.lock().unwrap().messages.clear();
    machine(&fake, false).end(answer("hello"), MINUTE).await.unwrap();
    assert_eq!(texts(&fake), ["hello"]);
}

#[tokio::test(start_paused = true)]
async fn a_placeholder_that_nobody_told_of_is_found() {
    for streams in [true, false] {
        let fake = Fake::new(13, NO_FAULTS);
        announced(&fake).await;
        fake.world.lock().unwrap().journal = None;
        let mut reply = machine(&fake, streams);
        show(&mut reply, "hel").await;
        reply.end(answer("hello"), MINUTE).await.unwrap();
        assert_eq!(texts(&fake), ["hello"]);
        assert_eq!(fake.count("conversations.replies"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_ends_the_reply() {
    let fake = Fake::new(14, NO_FAULTS);
    announced(&fake).await;
    fake.world.lock().unwrap().refuse_next = vec![("chat.update", "is_archived"); 3];
    let refused = machine(&fake, false).end(answer("hello"), MINUTE).await.unwrap_err();
    assert_eq!(refused, ChannelError::Refused("is_archived".to_owned()));
    assert!(!refused.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_keeps_everything_gets_no_placeholder_left_either() {
    let fake = Fake::new(15, NO_FAULTS);
    announced(&fake).await;
    fake.world.lock().unwrap().refuse_next = vec![("chat.delete", "compliance_exports_prevent_deletion"); 3];
    let mut reply = machine(&fake, true);
    show(&mut reply, "hel").await;
    sleep(LIMIT).await;
    reply.end(answer("hello"), MINUTE).await.unwrap();
    assert_eq!(texts(&fake), ["_The answer is below._", "hello"]);
}

#[tokio::test(start_paused = true)]
async fn a_placeholder_can_be_taken_back_known_or_not() {
    for posts in [None, Some(r#"{"placeholder":"unsure"}"#)] {
        let fake = Fake::new(16, NO_FAULTS);
        let announced = channel(&fake).announce(&addressee(), LIMIT).await;
        assert_eq!(announced.outcome, Ok(()));
        fake.put(BOT, "an older answer");
        let posts = posts.map_or(announced.posts, str::to_owned);
        channel(&fake).retract(&addressee(), &posts, LIMIT).await.unwrap();
        channel(&fake).retract(&addressee(), &posts, LIMIT).await.unwrap();
        assert_eq!(texts(&fake), ["an older answer"]);
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_a_token_or_a_journal_that_cannot_be_used_is_an_error() {
    let fake = Fake::new(17, NO_FAULTS);
    let reply = |addressee, posts: Option<&str>| {
        let posts = posts.map(str::to_owned);
        let to = ReplyTo { addressee, posts, journal: fake.clone(), streams: true };
        channel(&fake).reply(to).map(|_| ())
    };
    let nowhere = Addressee { metadata: BTreeMap::new(), ..addressee() };
    let mute = Addressee { token: ChannelToken::new(String::new()), ..addressee() };
    assert_eq!(reply(nowhere, None), Err(ChannelError::Unusable("ts")));
    assert_eq!(reply(mute, None), Err(ChannelError::Unusable("token")));
    assert_eq!(reply(addressee(), Some("[]")), Err(ChannelError::Unusable("posts")));
    assert_eq!(reply(addressee(), None), Ok(()));
}
