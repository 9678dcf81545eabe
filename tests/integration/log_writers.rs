//! Writers of one log at random, with flushes in between: no number twice, and numbers only grow. The numbers are
//! checked as Redis gave them; what was said with them does not matter here.

use std::collections::BTreeSet;

use konstruct_domain::{ConversationId, Epoch, Fence, MessageId, Seq};
use konstruct_postgres::lease::LeaseTry;
use konstruct_protocol::Event;
use konstruct_redis::frame_log::Append;
use konstruct_service::delivery::{Gate, LogWriter, Write};
use konstruct_tests::seeds::{Chance, seeds};
use konstruct_tests::{TestApp, TestTenant, id};
use std::time::Duration;

async fn agent_of(app: &TestApp, tenant: &TestTenant, conversation: ConversationId) -> LogWriter {
    let tx = app.db.begin(tenant.id).await.unwrap();
    let LeaseTry::Taken(leased, _) = tx.take_lease(conversation, None, Duration::ZERO).await.unwrap() else {
        panic!("the lease was free");
    };
    let identity =
        LogWriter::agent(leased.generation, leased.guard.fence, leased.guard.epoch, leased.last_seq);
    let mut writer = LogWriter::new(app.redis.clone(), app.db.clone(), tenant.id, conversation, identity);
    assert!(matches!(writer.open_gate().await.unwrap(), Gate::Open { .. }));
    writer
}

async fn other_of(app: &TestApp, tenant: &TestTenant, conversation: ConversationId) -> LogWriter {
    let (_, row) =
        app.db.begin(tenant.id).await.unwrap().conversation(conversation, tenant.user).await.unwrap();
    let row = row.unwrap();
    let identity = LogWriter::other(row.generation, Epoch(0), format!("w{}", id().simple()), row.last_seq);
    LogWriter::new(app.redis.clone(), app.db.clone(), tenant.id, conversation, identity)
}

async fn write(writer: &mut LogWriter, count: u64) -> Option<(Seq, Seq)> {
    let piece = Event::Piece { message_id: MessageId(id()), text: "x".to_owned() };
    let events = vec![piece; usize::try_from(count).unwrap()];
    let append = Append { events: &events, unless_stopped: None, keep_from: None };
    match writer.write(append).await.unwrap() {
        Write::Logged { first, last, .. } => Some((first, last)),
        Write::GiveUp => None,
        Write::Stopped => panic!("nothing was stopped"),
    }
}

/// One schedule: who writes when, and when Redis loses its data.
async fn schedule(app: &TestApp, tenant: &TestTenant, seed: u64) {
    let conversation = app.conversation(tenant).await;
    let mut chance = Chance::of(seed);
    let mut agent = agent_of(app, tenant, conversation).await;
    let mut others = [other_of(app, tenant, conversation).await, other_of(app, tenant, conversation).await];
    let mut used = BTreeSet::new();
    let mut highest = Seq(0);
    for step in 0..30 {
        let count = 1 + chance.below(3);
        let written = match chance.below(8) {
            0 => {
                app.keys.flush(tenant.id).await;
                continue;
            }
            1 => {
                agent = agent_of(app, tenant, conversation).await;
                continue;
            }
            2 => {
                others[0] = other_of(app, tenant, conversation).await;
                continue;
            }
            3 | 4 => write(&mut others[usize::try_from(chance.below(2)).unwrap()], count).await,
            _ => write(&mut agent, count).await,
        };
        let Some((first, last)) = written else { panic!("seed {seed}, step {step}: gave up") };
        assert!(first > highest, "seed {seed}, step {step}: {first:?} comes behind {highest:?}");
        assert_eq!(last.0 - first.0 + 1, i64::try_from(count).unwrap(), "seed {seed}, step {step}");
        for seq in first.0..=last.0 {
            assert!(used.insert(seq), "seed {seed}, step {step}: {seq} is used twice");
        }
        highest = last;
    }
}

/// proves CHAT-09
#[tokio::test]
async fn no_number_is_used_twice_whoever_writes_and_whatever_is_lost() {
    let app = TestApp::start().await;
    for seed in seeds(150) {
        // A tenant per schedule: a flush takes all of its keys.
        let tenant = app.tenant().await;
        schedule(&app, &tenant, seed).await;
    }
}

/// proves CHAT-09
#[tokio::test]
async fn writers_that_meet_a_lost_log_at_once_agree_on_one() {
    let app = TestApp::start().await;
    for _ in 0..20 {
        let tenant = app.tenant().await;
        let conversation = app.conversation(&tenant).await;
        let mut agent = agent_of(&app, &tenant, conversation).await;
        let mut one = other_of(&app, &tenant, conversation).await;
        let mut two = other_of(&app, &tenant, conversation).await;
        app.keys.flush(tenant.id).await;
        let (a, b, c) = tokio::join!(write(&mut agent, 2), write(&mut one, 2), write(&mut two, 2));
        let mut spans = [a.unwrap(), b.unwrap(), c.unwrap()];
        spans.sort();
        assert!(spans.windows(2).all(|pair| pair[0].1 < pair[1].0), "{spans:?}");
        let log = app.redis.frames_after(tenant.id, conversation, Seq(0), 100).await.unwrap();
        let kept: BTreeSet<i64> = log.iter().map(|frame| frame.0.0).collect();
        let told: BTreeSet<i64> = spans.iter().flat_map(|span| span.0.0..=span.1.0).collect();
        assert!(kept.is_subset(&told), "{kept:?} {told:?}");
    }
}

/// proves CHAT-08
#[tokio::test]
async fn an_agent_that_is_fenced_off_or_of_an_old_epoch_gives_up() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let mut old = agent_of(&app, &tenant, conversation).await;
    assert!(write(&mut old, 1).await.is_some());
    let mut new = agent_of(&app, &tenant, conversation).await;
    assert_eq!(write(&mut old, 1).await, None, "fenced off");
    app.keys.flush(tenant.id).await;
    assert_eq!(write(&mut old, 1).await, None, "fenced off by Postgres where the log is lost");
    assert!(write(&mut new, 1).await.is_some());
    app.db.begin(tenant.id).await.unwrap().raise_epoch(conversation, None).await.unwrap();
    assert!(write(&mut new, 1).await.is_some(), "the log does not know yet");
    app.redis.raise_log_epoch(tenant.id, conversation, Epoch(1)).await.unwrap();
    assert_eq!(write(&mut new, 1).await, None);
    app.keys.flush(tenant.id).await;
    assert_eq!(write(&mut new, 1).await, None, "superseded by Postgres where the log is lost");
    let fence = "SELECT fence FROM web_conversations WHERE id = $1";
    let fence: i64 = app.root.query_one(fence, &[&conversation.0]).await.unwrap().get(0);
    assert_eq!(Fence(fence), Fence(2));
}
