//! Messages from a channel's rooms: who is heard, what is announced, where the answer goes, and that it gets there
//! once. The channel is a fake; what an adapter does with it is tested beside the adapter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use konstruct_domain::{Channel, Content, ConversationId, InboundMessage, MessageId, Sender};
use konstruct_ports::ChannelToken;
use konstruct_protocol::Task;
use konstruct_service::Error;
use konstruct_service::inbound::{Accepted, Arrival};
use konstruct_service::threads::{Addressed, Outcome};
use konstruct_service::turn::Disposition;
use konstruct_tests::app::{NOW, in_trace};
use konstruct_tests::fakes::FakeChannel;
use konstruct_tests::fakes::channel::Thread;
use konstruct_tests::fakes::model::{Beat, Script, Signal, echo, fatal};
use konstruct_tests::{TestApp, TestTenant, id};

/// A room of one tenant's workspace.
struct Room<'a> {
    app: &'a TestApp,
    tenant: TestTenant,
    workspace: String,
    channel: FakeChannel,
    thread: ConversationId,
    said: i64,
}

impl<'a> Room<'a> {
    async fn open(app: &'a TestApp) -> Self {
        let tenant = app.tenant().await;
        let workspace = format!("T{}", id().simple());
        app.install(&tenant, &workspace, "xoxb-its-token").await;
        let channel = app.world.channel.clone();
        Self { app, tenant, workspace, channel, thread: ConversationId(id()), said: 0 }
    }

    fn message(&mut self, text: &str) -> InboundMessage {
        self.said += 1;
        let metadata = [("workspace_id", self.workspace.as_str()), ("room", "C1"), ("user_id", "U1")];
        InboundMessage {
            id: MessageId(id()),
            tenant_id: self.tenant.id,
            channel: Channel::Slack,
            channel_metadata: metadata.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            sender: Sender { user_id: "U1".to_owned() },
            content: Content::parse(text).unwrap(),
            timestamp: NOW + Duration::from_secs(self.said.unsigned_abs()),
            thread_id: self.thread,
            reply_to: None,
            context: None,
        }
    }

    fn arrival(&self) -> Arrival {
        Arrival {
            channel: Arc::new(self.channel.clone()),
            token: ChannelToken::new("xoxb-its-token".to_owned()),
            session_id: format!("C1:{}", self.thread),
        }
    }

    async fn receive(&self, message: &InboundMessage, addressed: Addressed) -> Result<Outcome, Error> {
        self.app.inbound().receive(message.clone(), &self.arrival(), addressed, in_trace()).await
    }

    async fn mention(&self, message: &InboundMessage) -> Outcome {
        self.receive(message, Addressed::ToUs).await.unwrap()
    }

    fn stands(&self, message: &InboundMessage) -> Thread {
        self.channel.thread(message.id.0)
    }

    /// What was queued, oldest first.
    fn tasks(&self) -> Vec<Task> {
        let sent = self.app.queue().sent();
        sent.iter()
            .map(konstruct_tests::fakes::Sent::task)
            .filter(|task| task.message.tenant_id == self.tenant.id)
            .collect()
    }

    async fn work(&self) {
        for task in self.tasks() {
            self.app.work_until_done(&task).await;
        }
    }

    async fn rows(&self, sql: &str) -> i64 {
        self.app.count(sql, &[&self.tenant.id.0]).await
    }
}

const NEW: Outcome = Outcome::Accepted(Accepted { duplicate: false });
const COPY: Outcome = Outcome::Accepted(Accepted { duplicate: true });

/// proves SLACK-04, CHAN-01, CHAN-05, SLACK-06
#[tokio::test]
async fn a_mention_gets_a_placeholder_and_then_its_answer_in_the_thread() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    let message = room.message("what is kiwi?");
    assert_eq!(room.mention(&message).await, NEW);
    let before = room.stands(&message);
    assert!(before.placeholder && before.ends.is_empty(), "{before:?}");
    assert_eq!(room.tasks()[0].message, message, "the task says where the answer goes");
    room.work().await;
    let after = room.stands(&message);
    assert_eq!((after.placeholder, after.ends.clone()), (false, vec![echo("what is kiwi?")]));
    assert_eq!((after.token.as_str(), &after.metadata), ("xoxb-its-token", &message.channel_metadata));
    let conversation =
        "SELECT 1 FROM web_conversations WHERE tenant_id = $1 AND channel = 'slack' AND user_id IS NULL";
    assert_eq!(room.rows(conversation).await, 1);
    let delivered =
        "SELECT 1 FROM turns WHERE tenant_id = $1 AND state = 'ended' AND delivered_at IS NOT NULL";
    assert_eq!(room.rows(delivered).await, 1);
}

/// proves SLACK-07, CHAN-04
#[tokio::test]
async fn a_message_that_comes_again_is_neither_charged_nor_announced_nor_answered_again() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    let message = room.message("hello");
    assert_eq!(room.mention(&message).await, NEW);
    assert_eq!(room.mention(&message).await, COPY);
    room.work().await;
    assert_eq!(room.mention(&message).await, COPY);
    room.work().await;
    assert_eq!(room.stands(&message).ends, [echo("hello")]);
    assert!(!room.stands(&message).placeholder, "a copy posts none");
    assert_eq!(app.model().asked().len(), 1);
}

/// proves SLACK-05, AGNT-03
#[tokio::test]
async fn a_thread_is_followed_after_a_mention_and_another_is_not() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    let mention = room.message("remember kiwi");
    room.mention(&mention).await;
    room.work().await;
    let reply = room.message("which fruit?");
    assert_eq!(room.receive(&reply, Addressed::InThread).await.unwrap(), NEW);
    room.work().await;
    assert_eq!(room.stands(&reply).ends, [echo("which fruit?")]);
    let remembered = app.model().prompts().pop().unwrap();
    assert_eq!(remembered, ["remember kiwi", &echo("remember kiwi"), "which fruit?"]);
    let strange = InboundMessage { thread_id: ConversationId(id()), ..room.message("not for you") };
    assert_eq!(room.receive(&strange, Addressed::InThread).await.unwrap(), Outcome::NotForUs);
    assert_eq!(room.rows("SELECT 1 FROM web_conversations WHERE tenant_id = $1").await, 1);
}

/// proves SLACK-05
#[tokio::test]
async fn a_reply_that_overtakes_its_mention_is_answered_behind_it() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    let (earlier, mention, reply) =
        (room.message("small talk"), room.message("hello"), room.message("and this?"));
    assert_eq!(room.receive(&reply, Addressed::InThread).await.unwrap(), Outcome::NotForUs);
    assert_eq!(room.receive(&earlier, Addressed::InThread).await.unwrap(), Outcome::NotForUs);
    assert_eq!(room.mention(&mention).await, NEW);
    assert_eq!(room.mention(&mention).await, COPY);
    room.work().await;
    assert_eq!(room.stands(&reply).ends, [echo("and this?")]);
    assert!(room.stands(&earlier).ends.is_empty(), "what was said before the mention was not for us");
    assert_eq!(app.model().prompts().last().unwrap(), &["hello", &echo("hello"), "and this?"]);
}

/// proves CHAN-03
#[tokio::test]
async fn who_is_over_the_limit_is_told_once_and_a_copy_is_not_charged() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    let limit = "UPDATE tenants SET messages_per_minute = 1 WHERE id = $1";
    app.root.execute(limit, &[&room.tenant.id.0]).await.unwrap();
    let (first, second, third) = (room.message("one"), room.message("two"), room.message("three"));
    assert_eq!(room.mention(&first).await, NEW);
    assert_eq!(room.mention(&first).await, COPY, "a copy is not charged");
    assert_eq!(room.mention(&second).await, Outcome::TooMany);
    assert_eq!(room.mention(&third).await, Outcome::TooMany);
    let told = [room.stands(&second).told, room.stands(&third).told].concat();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("try again in") && told[0].ends_with(" s."), "{told:?}");
    assert!(!room.stands(&second).placeholder);
    room.work().await;
    assert_eq!(app.model().asked().len(), 1);
}

/// proves SLACK-01, SLACK-04, CHAN-04
#[tokio::test]
async fn a_message_that_could_not_be_queued_loses_its_placeholder_and_is_completed_by_the_next_copy() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    let message = room.message("hello");
    app.queue().fail_next(1_000);
    assert!(room.receive(&message, Addressed::ToUs).await.unwrap_err().is_retryable());
    assert!(!room.stands(&message).placeholder, "nobody is at work");
    app.queue().fail_next(0);
    assert_eq!(room.mention(&message).await, COPY, "mark and row stayed");
    room.work().await;
    assert_eq!(room.stands(&message).ends, [echo("hello")]);
}

/// proves SLACK-04, SLACK-07
#[tokio::test]
async fn of_two_events_for_one_mention_the_second_waits_for_the_placeholder_of_the_first() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    room.channel.announces_slowly(Duration::from_millis(300));
    let message = room.message("hello");
    let (first, second) = tokio::join!(room.mention(&message), room.mention(&message));
    assert!([first, second].contains(&NEW) && [first, second].contains(&COPY), "{first:?} {second:?}");
    let known = "SELECT 1 FROM turns WHERE tenant_id = $1 AND channel_posts ->> 'placeholder' = 'there'";
    assert_eq!(room.rows(known).await, 1, "whoever stored it knew of the placeholder");
}

/// proves SLACK-04, CHAN-05
#[tokio::test]
async fn a_send_whose_answer_was_lost_takes_no_answer_back() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    let message = room.message("hello");
    app.queue().take_what_fails();
    app.queue().fail_next(1_000);
    let (received, ()) = tokio::join!(room.receive(&message, Addressed::ToUs), async {
        while room.tasks().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        app.work_until_done(&room.tasks()[0]).await;
    });
    assert!(received.unwrap_err().is_retryable(), "Slack is to send it again");
    let stands = room.stands(&message);
    assert_eq!((stands.ends, stands.retracted), (vec![echo("hello")], false));
    app.queue().fail_next(0);
    assert_eq!(room.mention(&message).await, COPY);
    assert_eq!(room.stands(&message).ends.len(), 1);
}

/// proves SLACK-01
#[tokio::test]
async fn where_nobody_answers_the_person_is_told() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    let sql = "UPDATE agents SET is_default = false WHERE tenant_id = $1";
    app.root.execute(sql, &[&room.tenant.id.0]).await.unwrap();
    let message = room.message("hello");
    assert!(matches!(room.receive(&message, Addressed::ToUs).await, Err(Error::Refused(_))));
    let stands = room.stands(&message);
    assert_eq!((stands.placeholder, stands.told.len()), (false, 1), "{stands:?}");
}

/// proves SLACK-06
#[tokio::test]
async fn a_token_that_does_not_open_drops_no_message() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    let message = room.message("hello");
    room.mention(&message).await;
    let config = "SELECT config FROM channel_connections WHERE tenant_id = $1";
    let sealed: serde_json::Value = app.root.query_one(config, &[&room.tenant.id.0]).await.unwrap().get(0);
    let broken = "UPDATE channel_connections SET config = '{\"bot_token\": {}}' WHERE tenant_id = $1";
    app.root.execute(broken, &[&room.tenant.id.0]).await.unwrap();
    let task = room.tasks().remove(0);
    assert!(matches!(app.work(&task).await, Disposition::Again(_)), "somebody has to set it right");
    assert_eq!(app.model().asked().len(), 0);
    let mended = "UPDATE channel_connections SET config = $2 WHERE tenant_id = $1";
    app.root.execute(mended, &[&room.tenant.id.0, &sealed]).await.unwrap();
    app.work_until_done(&task).await;
    assert_eq!(room.stands(&message).ends, [echo("hello")]);
}

/// proves SLACK-04
#[tokio::test]
async fn a_placeholder_that_cannot_be_posted_does_not_lose_the_message() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    room.channel.announcing_fails();
    let message = room.message("hello");
    assert_eq!(room.mention(&message).await, NEW);
    room.work().await;
    assert_eq!(room.stands(&message).ends, [echo("hello")]);
}

/// proves SLACK-04, CHAN-05
#[tokio::test]
async fn an_answer_is_shown_as_it_grows_and_ends_once_however_often_its_end_is_put_off() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    let go = Signal::default();
    let beats =
        vec![Beat::Say("One ".into()), Beat::Wait(go.clone()), Beat::Say("two.".into()), Beat::Finish];
    app.model().script([Script::Stream(beats)]);
    let message = room.message("hello");
    room.mention(&message).await;
    room.channel.ends_later(1);
    let task = room.tasks().remove(0);
    let (worked, ()) = tokio::join!(app.work(&task), async {
        while room.stands(&message).shown.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        go.give();
    });
    assert!(matches!(worked, Disposition::Again(_)), "the channel put it off: the record comes back");
    assert!(room.stands(&message).ends.is_empty());
    app.work_until_done(&task).await;
    app.work_until_done(&task).await;
    let stands = room.stands(&message);
    assert_eq!(stands.ends, ["One two."]);
    assert_eq!(stands.shown.first().map(String::as_str), Some("One "));
    assert_eq!(app.model().asked().len(), 1, "only the end was brought again");
}

/// proves SLACK-04
#[tokio::test]
async fn an_error_becomes_one_plain_sentence() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    app.model().script([Script::Refuse(fatal())]);
    let message = room.message("hello");
    room.mention(&message).await;
    room.work().await;
    let stands = room.stands(&message);
    assert_eq!(stands.ends, ["The agent could not answer this message. Please try again."]);
    assert!(!stands.placeholder);
}

/// proves CHAN-05
#[tokio::test]
async fn an_answer_that_the_channel_refuses_for_good_stays_in_the_history() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    room.channel.refuses("is_archived");
    let message = room.message("hello");
    room.mention(&message).await;
    room.work().await;
    let stored = "SELECT 1 FROM web_conversation_messages m JOIN turns t ON t.id = m.in_reply_to
        WHERE m.tenant_id = $1 AND t.delivered_at IS NOT NULL";
    assert_eq!(room.rows(stored).await, 1);
}

/// proves SLACK-04
#[tokio::test]
async fn an_installation_without_streaming_is_remembered_for_good() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    room.channel.loses_streaming();
    let message = room.message("hello");
    room.mention(&message).await;
    room.work().await;
    let lost = "SELECT 1 FROM channel_connections WHERE tenant_id = $1 AND config -> 'streams' = 'false'
        AND config ? 'bot_token'";
    assert_eq!(room.rows(lost).await, 1);
}

/// proves CHAT-08, SLACK-04
#[tokio::test]
async fn the_janitors_wake_answers_on_the_channel_too() {
    let app = TestApp::alone().await;
    let mut room = Room::open(&app).await;
    let message = room.message("hello");
    room.mention(&message).await;
    let old = "UPDATE turns SET created_at = now() - interval '2 minutes' WHERE tenant_id = $1";
    app.root.execute(old, &[&room.tenant.id.0]).await.unwrap();
    assert_eq!(konstruct_service::janitor::rescue(&app.wake()).await.unwrap(), 1);
    let woken = room.tasks().pop().unwrap();
    assert_eq!((woken.message.channel, &woken.message.sender.user_id), (Channel::Slack, &"U1".to_owned()));
    let expected: BTreeMap<String, String> = message.channel_metadata.clone();
    assert_eq!(woken.message.channel_metadata, expected);
    app.work_until_done(&woken).await;
    assert_eq!(room.stands(&message).ends, [echo("hello")]);
}

/// proves AGNT-05, CHAN-05
#[tokio::test]
async fn a_bare_yes_in_the_thread_of_who_asked_runs_what_waits_and_is_no_message() {
    let app = TestApp::start().await;
    for (word, runs, result) in [("Yes!", 1, "Bought."), ("nein", 0, "As you wish.")] {
        let mut room = Room::open(&app).await;
        app.tool_server(&room.tenant, "shop", "https://tools.example/mcp").await;
        app.grant(&room.tenant, "shop_buy", true).await;
        let before = app.tools().times("buy");
        app.model().script([Script::call("c1", "shop_buy", r#"{"what": "a hat"}"#)]);
        let asked = room.message("buy me a hat");
        room.mention(&asked).await;
        room.work().await;
        let shown = room.stands(&asked).shown.pop().unwrap();
        assert_eq!(shown, "May I run `shop_buy` with `{\"what\": \"a hat\"}`? Please answer *yes* or *no*.");

        let mut stranger = room.message(word);
        stranger.sender.user_id = "U2".to_owned();
        stranger.channel_metadata.insert("user_id".to_owned(), "U2".to_owned());
        room.receive(&stranger, Addressed::InThread).await.unwrap();
        let tasks = room.tasks();
        app.work_until_done(tasks.last().unwrap()).await;
        assert_eq!(
            room.stands(&stranger).ends,
            [echo(word)],
            "somebody else's word is a message like any other"
        );
        assert_eq!(app.tools().times("buy"), before);

        app.model().script([Script::say(&[result])]);
        let yes = room.message(word);
        assert_eq!(room.receive(&yes, Addressed::InThread).await.unwrap(), NEW);
        assert_eq!(room.receive(&yes, Addressed::InThread).await.unwrap(), COPY, "Slack sends it again");
        room.work().await;
        assert_eq!(app.tools().times("buy") - before, runs);
        assert_eq!(room.stands(&asked).ends, [result], "the answer takes the question's place");
        let stored = "SELECT 1 FROM web_conversation_messages WHERE tenant_id = $1 AND id = $2";
        assert_eq!(app.count(stored, &[&room.tenant.id.0, &yes.id.0]).await, 0);
        assert!(!room.stands(&yes).placeholder, "nothing is announced for it");
    }
}

/// proves AGNT-06, CHAN-05
#[tokio::test]
async fn a_humans_reply_reaches_the_thread_and_a_take_over_leaves_no_placeholder() {
    let app = TestApp::start().await;
    let mut room = Room::open(&app).await;
    let first = room.message("hello");
    room.mention(&first).await;
    room.work().await;
    // Announced, and not begun, when it is taken over.
    let second = room.message("are you there?");
    room.mention(&second).await;
    assert!(room.stands(&second).placeholder);
    app.on_behalf().hand_over(room.tenant.id, room.thread, true).await.unwrap();
    room.work().await;
    assert!(!room.stands(&second).placeholder && room.stands(&second).ends.is_empty());
    let third = room.message("hm?");
    room.mention(&third).await;
    assert!(!room.stands(&third).placeholder, "nobody is at work");

    let (reply_id, content) = (MessageId(id()), Content::parse("A human here.").unwrap());
    let on_behalf = app.on_behalf();
    for _ in 0..2 {
        konstruct_service::replies::reply(
            &on_behalf,
            room.tenant.id,
            room.thread,
            reply_id,
            &content,
            in_trace(),
        )
        .await
        .unwrap();
    }
    room.work().await;
    room.work().await;
    let reply = room.channel.thread(reply_id.0);
    assert_eq!(reply.ends, ["A human here."], "once, however often it is asked for");
    assert_eq!(reply.metadata["room"], "C1");
}
