//! Rate limit and deduplication, one script: who is charged, who is a copy, and when it may be tried again. No time
//! passes in here: the bucket's own clock is set back.

use futures_util::future::join_all;
use konstruct_domain::{Channel, MessageId, TenantId};
use konstruct_redis::Key;
use konstruct_redis::admission::Admission;
use konstruct_tests::{TestApp, id};

/// A bucket that nobody else charges.
struct Bucket {
    app: TestApp,
    tenant: TenantId,
}

impl Bucket {
    async fn fresh() -> Self {
        Self { app: TestApp::start().await, tenant: TenantId(id()) }
    }

    async fn admit(&self, message: MessageId, per_minute: u32) -> Admission {
        self.app.redis.admit(self.tenant, Channel::Web, message, per_minute).await.unwrap()
    }

    async fn next(&self, per_minute: u32) -> Admission {
        self.admit(MessageId(id()), per_minute).await
    }

    fn key(&self) -> String {
        Key::rate_limit(self.tenant, Channel::Web).as_str().to_owned()
    }

    /// As if so many milliseconds had gone by.
    async fn passed(&self, milliseconds: i64) {
        let at: i64 = self.app.keys.field(&self.key(), "at").await.unwrap().parse().unwrap();
        self.app.keys.set_field(&self.key(), "at", &(at - milliseconds).to_string()).await;
    }
}

/// proves CHAN-03
#[tokio::test]
async fn a_bucket_holds_one_minutes_worth_and_says_when_to_come_again() {
    for capacity in [1, 2, 30] {
        let bucket = Bucket::fresh().await;
        for _ in 0..capacity {
            assert_eq!(bucket.next(capacity).await, Admission::First);
        }
        let Admission::Limited { retry_after_ms } = bucket.next(capacity).await else {
            panic!("over {capacity}")
        };
        assert!(retry_after_ms >= 1 && retry_after_ms <= 60_000 / u64::from(capacity), "{retry_after_ms}");
        let ttl = bucket.app.keys.seconds_left(&bucket.key()).await;
        assert!(ttl >= 60, "the key lives at least a minute after use, not {ttl} s");
    }
}

/// proves CHAN-03
#[tokio::test]
async fn a_bucket_refills_evenly_and_never_over_its_rim() {
    let bucket = Bucket::fresh().await;
    for _ in 0..30 {
        bucket.next(30).await;
    }
    assert!(matches!(bucket.next(30).await, Admission::Limited { .. }));
    bucket.passed(2_000).await;
    assert_eq!(bucket.next(30).await, Admission::First, "one each two seconds");
    assert!(matches!(bucket.next(30).await, Admission::Limited { .. }));
    bucket.passed(1_000).await;
    let Admission::Limited { retry_after_ms } = bucket.next(30).await else {
        panic!("half a message is none")
    };
    assert!(retry_after_ms <= 1_000, "{retry_after_ms}");
    bucket.passed(3_600_000).await;
    for _ in 0..30 {
        assert_eq!(bucket.next(30).await, Admission::First);
    }
    assert!(matches!(bucket.next(30).await, Admission::Limited { .. }), "an hour is worth a minute");
}

/// proves CHAN-03
#[tokio::test]
async fn waiting_as_long_as_told_is_enough() {
    for capacity in [1, 7, 30, 45] {
        let bucket = Bucket::fresh().await;
        for _ in 0..capacity {
            bucket.next(capacity).await;
        }
        let Admission::Limited { retry_after_ms } = bucket.next(capacity).await else {
            panic!("over {capacity}")
        };
        bucket.passed(i64::try_from(retry_after_ms).unwrap()).await;
        assert_eq!(bucket.next(capacity).await, Admission::First, "capacity {capacity}");
    }
}

/// proves CHAN-03, CHAN-04
#[tokio::test]
async fn a_copy_is_not_charged_and_a_refused_message_leaves_no_mark() {
    let bucket = Bucket::fresh().await;
    let message = MessageId(id());
    assert_eq!(bucket.admit(message, 2).await, Admission::First);
    for _ in 0..10 {
        assert_eq!(bucket.admit(message, 2).await, Admission::Copy);
    }
    assert_eq!(bucket.next(2).await, Admission::First);
    let refused = MessageId(id());
    assert!(matches!(bucket.admit(refused, 2).await, Admission::Limited { .. }));
    let mark = |message| Key::dedup(bucket.tenant, message).as_str().to_owned();
    assert!(!bucket.app.keys.exists(&mark(refused)).await);
    assert_eq!(bucket.admit(message, 2).await, Admission::Copy, "a copy is let in also over the limit");
    let ttl = bucket.app.keys.seconds_left(&mark(message)).await;
    assert!(ttl > 24 * 3600 - 60 && ttl <= 24 * 3600, "{ttl}");
    bucket.passed(60_000).await;
    assert_eq!(bucket.admit(refused, 2).await, Admission::First);
}

/// proves CHAN-03
#[tokio::test]
async fn however_many_race_no_more_than_the_capacity_come_in() {
    let bucket = Bucket::fresh().await;
    let verdicts = join_all((0..100).map(|_| bucket.next(30))).await;
    let first = verdicts.iter().filter(|v| **v == Admission::First).count();
    // The race itself takes a moment, in which the bucket refills: 1 each 2 s.
    assert!((30..=32).contains(&first), "{first}");
}

/// proves CHAN-04
#[tokio::test]
async fn of_racing_copies_one_is_the_first() {
    let bucket = Bucket::fresh().await;
    let message = MessageId(id());
    let verdicts = join_all((0..50).map(|_| bucket.admit(message, 30))).await;
    assert_eq!(verdicts.iter().filter(|v| **v == Admission::First).count(), 1);
    assert_eq!(verdicts.iter().filter(|v| **v == Admission::Copy).count(), 49);
}

/// proves CHAN-03, TEN-03
#[tokio::test]
async fn tenants_and_channels_have_buckets_of_their_own() {
    let bucket = Bucket::fresh().await;
    assert_eq!(bucket.next(1).await, Admission::First);
    assert!(matches!(bucket.next(1).await, Admission::Limited { .. }));
    let slack = bucket.app.redis.admit(bucket.tenant, Channel::Slack, MessageId(id()), 1).await.unwrap();
    assert_eq!(slack, Admission::First);
    let other = Bucket { tenant: TenantId(id()), app: bucket.app };
    assert_eq!(other.next(1).await, Admission::First);
}
