//! The gate to a conversation's frame log: what it lets through, what it refuses, and that no number is ever used
//! twice. Nothing is posted here.

use konstruct_domain::{ConversationId, Epoch, Fence, Generation, MessageId, Seq, TenantId};
use konstruct_protocol::{Dialect, Event, Viewer};
use konstruct_redis::Redis;
use konstruct_redis::frame_log::{Append, Appended, FRAMES_MIN, Fencing, Writer};
use konstruct_redis::key::Key;
use konstruct_redis::live::{Join, LiveConnection};
use konstruct_tests::history::dense;
use konstruct_tests::{TestApp, id};

/// A log that nobody else knows.
struct Log {
    app: TestApp,
    tenant: TenantId,
    conversation: ConversationId,
    answer: MessageId,
}

const fn writer(fence: i64, number: u64) -> Writer {
    Writer {
        generation: Generation(0),
        fence: Some(Fence(fence)),
        epoch: Epoch(0),
        name: String::new(),
        number,
        known: Seq(0),
    }
}

/// An agent of this fence at this running number.
fn agent(fence: i64, number: u64) -> Writer {
    Writer { name: format!("f{fence}"), ..writer(fence, number) }
}

const fn frames(events: &[Event]) -> Append<'_> {
    Append { events, unless_stopped: None, keep_from: None }
}

impl Log {
    async fn begun() -> Self {
        let app = TestApp::start().await;
        let log =
            Self { app, tenant: TenantId(id()), conversation: ConversationId(id()), answer: MessageId(id()) };
        log.begin(0).await;
        log
    }

    fn redis(&self) -> &Redis {
        &self.app.redis
    }

    async fn begin(&self, generation: i64) {
        let begun = self.redis().begin_log(
            self.tenant,
            self.conversation,
            Generation(generation),
            Fence(0),
            Epoch(0),
        );
        begun.await.unwrap();
    }

    fn piece(&self, text: &str) -> Event {
        Event::Piece { message_id: self.answer, text: text.to_owned() }
    }

    async fn append(&self, writer: &Writer, append: Append<'_>) -> Appended {
        self.redis().append(self.tenant, self.conversation, writer, append).await.unwrap()
    }

    /// Appends so many pieces and expects them to be logged under these numbers.
    async fn expect(&self, writer: &Writer, count: usize, first: i64) {
        let events = vec![self.piece("x"); count];
        let logged = Appended::Logged {
            first: Seq(first),
            last: Seq(first + i64::try_from(count).unwrap() - 1),
            live: Vec::new(),
        };
        assert_eq!(self.append(writer, frames(&events)).await, logged);
    }

    async fn all(&self) -> Vec<(Seq, Event)> {
        self.redis().frames_after(self.tenant, self.conversation, Seq(0), usize::MAX >> 1).await.unwrap()
    }

    fn live(&self, connection_id: &str, joined: i64) -> LiveConnection {
        let conversation_id = self.conversation;
        let viewer = Viewer { dialect: Dialect::Portal, telemetry: false, conversation_id, session_id: None };
        LiveConnection { connection_id: connection_id.to_owned(), joined: Seq(joined), viewer }
    }
}

/// proves CHAT-09
#[tokio::test]
async fn frames_are_numbered_from_one_without_a_hole() {
    let log = Log::begun().await;
    log.expect(&agent(1, 1), 3, 1).await;
    log.expect(&agent(1, 2), 1, 4).await;
    log.expect(&agent(2, 1), 2, 5).await;
    let all = log.all().await;
    assert_eq!((all.len(), all.first().map(|f| f.0)), (6, Some(Seq(1))));
    dense(&all).unwrap();
}

/// proves CHAT-08
#[tokio::test]
async fn an_append_that_is_tried_again_logs_nothing_twice() {
    let log = Log::begun().await;
    for _ in 0..3 {
        log.expect(&agent(1, 1), 2, 1).await;
    }
    log.expect(&agent(1, 2), 1, 3).await;
    log.expect(&agent(1, 2), 1, 3).await;
    assert_eq!(log.all().await.len(), 3);
    let stranger = Writer { fence: None, name: "w1".to_owned(), ..writer(0, 1) };
    log.expect(&stranger, 1, 4).await;
    log.expect(&agent(1, 2), 1, 3).await;
    assert_eq!(log.all().await.len(), 4, "running numbers count per writer");
}

/// proves CHAT-08
#[tokio::test]
async fn a_fenced_off_agent_writes_nothing() {
    let log = Log::begun().await;
    log.expect(&agent(2, 1), 1, 1).await;
    assert_eq!(log.append(&agent(1, 1), frames(&[log.piece("x")])).await, Appended::Fenced);
    let fencing = log.redis().fence_log(log.tenant, log.conversation, &agent(3, 0)).await.unwrap();
    assert_eq!(fencing, Fencing::Done { last: Seq(1), cancelled: None });
    assert_eq!(log.append(&agent(2, 2), frames(&[log.piece("x")])).await, Appended::Fenced);
    let fencing = log.redis().fence_log(log.tenant, log.conversation, &agent(2, 0)).await.unwrap();
    assert_eq!(fencing, Fencing::Fenced);
    assert_eq!(log.all().await.len(), 1);
}

/// proves CHAT-03
#[tokio::test]
async fn an_older_epoch_is_superseded_and_a_newer_one_raises_the_log() {
    let log = Log::begun().await;
    log.expect(&agent(1, 1), 1, 1).await;
    log.redis().raise_log_epoch(log.tenant, log.conversation, Epoch(2)).await.unwrap();
    assert_eq!(log.append(&agent(1, 2), frames(&[log.piece("x")])).await, Appended::Superseded);
    let fencing = log.redis().fence_log(log.tenant, log.conversation, &agent(2, 0)).await.unwrap();
    assert_eq!(fencing, Fencing::Superseded);
    log.redis().raise_log_epoch(log.tenant, log.conversation, Epoch(1)).await.unwrap();
    let newer = |epoch, number| Writer { epoch: Epoch(epoch), ..agent(2, number) };
    assert_eq!(
        log.append(&newer(1, 1), frames(&[log.piece("x")])).await,
        Appended::Superseded,
        "it never falls"
    );
    log.expect(&newer(3, 2), 1, 2).await;
    assert_eq!(
        log.append(&newer(2, 3), frames(&[log.piece("x")])).await,
        Appended::Superseded,
        "it was raised"
    );
}

/// proves CHAT-11
#[tokio::test]
async fn a_cancel_mark_refuses_pieces_of_its_own_message_only() {
    let log = Log::begun().await;
    let (question, other) = (MessageId(id()), MessageId(id()));
    let piece = [log.piece("x")];
    let of = |message| Append { unless_stopped: Some(message), ..frames(&piece) };
    log.redis().mark_cancelled(log.tenant, log.conversation, question).await.unwrap();
    assert_eq!(log.append(&agent(1, 1), of(question)).await, Appended::Stopped);
    assert!(matches!(log.append(&agent(1, 2), of(other)).await, Appended::Logged { .. }));
    assert!(
        matches!(log.append(&agent(1, 3), frames(&piece)).await, Appended::Logged { .. }),
        "the final frame"
    );
    let fencing = log.redis().fence_log(log.tenant, log.conversation, &agent(2, 0)).await.unwrap();
    assert_eq!(fencing, Fencing::Done { last: Seq(2), cancelled: Some(question) });
}

/// proves CHAT-09
#[tokio::test]
async fn a_held_log_takes_nothing_until_the_hold_ends_or_its_holder_has_joined() {
    let log = Log::begun().await;
    log.redis().hold_log(log.tenant, log.conversation).await.unwrap();
    assert_eq!(log.append(&agent(1, 1), frames(&[log.piece("x")])).await, Appended::Held);
    assert_eq!(log.redis().join(log.tenant, &log.live("c", 0)).await.unwrap(), Join::Joined);
    let Appended::Logged { first, live, .. } = log.append(&agent(1, 1), frames(&[log.piece("x")])).await
    else {
        panic!("still held");
    };
    assert_eq!((first, live), (Seq(1), vec![log.live("c", 0)]));
    log.redis().hold_log(log.tenant, log.conversation).await.unwrap();
    assert_eq!(log.append(&agent(1, 2), frames(&[log.piece("x")])).await, Appended::Held);
    let key = Key::log(log.tenant, log.conversation);
    let until: i64 = log.app.keys.field(key.as_str(), "hold").await.unwrap().parse().unwrap();
    log.app.keys.set_field(key.as_str(), "hold", &(until - 501).to_string()).await;
    assert!(matches!(log.append(&agent(1, 2), frames(&[log.piece("x")])).await, Appended::Logged { .. }));
}

/// proves CHAT-09
#[tokio::test]
async fn a_log_that_lost_its_data_is_told_apart() {
    let log = Log::begun().await;
    log.expect(&agent(1, 1), 3, 1).await;
    let ahead = Writer { known: Seq(4), ..agent(1, 2) };
    let lost = log.append(&ahead, frames(&[log.piece("x")])).await;
    assert_eq!(lost, Appended::Lost, "the counter is below what the writer knows");
    let fencing = log.redis().fence_log(log.tenant, log.conversation, &ahead).await.unwrap();
    assert_eq!(fencing, Fencing::Lost);
    let newer = Writer { generation: Generation(1), ..agent(1, 2) };
    assert_eq!(log.append(&newer, frames(&[log.piece("x")])).await, Appended::Lost, "another generation");
    log.app.keys.flush(log.tenant).await;
    assert_eq!(log.append(&agent(1, 2), frames(&[log.piece("x")])).await, Appended::Lost, "no log");
    assert_eq!(log.redis().log_state(log.tenant, log.conversation).await.unwrap(), None);
    log.begin(1).await;
    log.expect(&newer, 1, 1_000_000_001).await;
}

/// proves CHAT-09
#[tokio::test]
async fn beginning_a_log_never_lowers_or_empties_one() {
    let log = Log::begun().await;
    log.expect(&agent(1, 1), 2, 1).await;
    log.begin(0).await;
    assert_eq!(log.all().await.len(), 2, "the same generation is left as it is");
    log.begin(2).await;
    log.begin(1).await;
    let state = log.redis().log_state(log.tenant, log.conversation).await.unwrap().unwrap();
    assert_eq!((state.generation, state.last), (Generation(2), Generation(2).base()));
    assert_eq!(log.all().await.len(), 0, "frames of an older generation are gone");
}

/// proves CHAT-09
#[tokio::test]
async fn trimming_keeps_a_thousand_frames_and_all_of_the_answer_under_way() {
    let log = Log::begun().await;
    let hundred = vec![log.piece("x"); 100];
    for number in 1..=15 {
        log.append(&agent(1, number), frames(&hundred)).await;
    }
    let all = log.all().await;
    assert!(all.len() >= usize::try_from(FRAMES_MIN).unwrap() && all.len() < 1_200, "{}", all.len());
    assert_eq!(all.last().map(|f| f.0), Some(Seq(1_500)));
    dense(&all).unwrap();
    for number in 16..=30 {
        let keep = Append { keep_from: Some(Seq(1_400)), ..frames(&hundred) };
        log.append(&agent(1, number), keep).await;
    }
    let all = log.all().await;
    assert!(all.first().is_some_and(|f| f.0 <= Seq(1_400)), "{:?}", all.first());
    dense(&all).unwrap();
    let day = 24 * 3600;
    for key in [Key::log(log.tenant, log.conversation), Key::frames(log.tenant, log.conversation)] {
        assert!(log.app.keys.seconds_left(key.as_str()).await > day, "the log lives for 24 hours");
    }
}

/// proves CHAT-09, CHAT-10
#[tokio::test]
async fn a_connection_joins_only_at_the_end_of_the_log() {
    let log = Log::begun().await;
    log.expect(&agent(1, 1), 2, 1).await;
    let join = async |joined| log.redis().join(log.tenant, &log.live("c", joined)).await.unwrap();
    assert_eq!(join(1).await, Join::Behind(Seq(2)));
    assert_eq!(log.redis().live(log.tenant, log.conversation).await.unwrap(), Vec::new());
    assert_eq!(join(2).await, Join::Joined);
    assert_eq!(log.redis().live(log.tenant, log.conversation).await.unwrap(), [log.live("c", 2)]);
    let leave = async || log.redis().leave_if_quiet(log.tenant, log.conversation, "c", Seq(2)).await.unwrap();
    assert!(leave().await, "nothing came since it joined");
    assert!(!leave().await, "it left already");
    assert_eq!(join(2).await, Join::Joined);
    log.append(&agent(1, 2), frames(&[log.piece("x")])).await;
    assert!(!leave().await, "a frame came since it joined");
    log.redis().leave(log.tenant, log.conversation, "c").await.unwrap();
    assert_eq!(log.redis().live_conversations(log.tenant).await.unwrap(), Vec::new());
}

/// proves CHAT-03
#[tokio::test]
async fn an_emptied_log_goes_on_counting() {
    let log = Log::begun().await;
    log.expect(&agent(1, 1), 5, 1).await;
    log.redis().empty_log(log.tenant, log.conversation).await.unwrap();
    assert_eq!(log.all().await, Vec::new());
    log.expect(&agent(1, 2), 1, 6).await;
}
