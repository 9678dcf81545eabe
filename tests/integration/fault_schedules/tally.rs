//! What happened in all schedules together, to be printed: a fault that never happens proves nothing.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

#[derive(Debug, Default)]
pub struct Tally {
    pub schedules: AtomicUsize,
    pub messages: AtomicUsize,
    pub answers: AtomicUsize,
    pub stopped: AtomicUsize,
    pub errors: AtomicUsize,
    pub gone: AtomicUsize,
    pub deaths: AtomicUsize,
    pub copies: AtomicUsize,
    pub cuts: AtomicUsize,
    pub flushes: AtomicUsize,
    pub cancels: AtomicUsize,
    pub resets: AtomicUsize,
    pub posts_failed: AtomicUsize,
    pub gaps: AtomicUsize,
    pub tools: AtomicUsize,
}

impl Tally {
    fn all(&self) -> [(&'static str, usize); 15] {
        [
            ("schedules", &self.schedules),
            ("messages", &self.messages),
            ("answers", &self.answers),
            ("of them stopped", &self.stopped),
            ("errors", &self.errors),
            ("gone with a reset", &self.gone),
            ("invocations died", &self.deaths),
            ("copies of records", &self.copies),
            ("Postgres cuts", &self.cuts),
            ("Redis flushes", &self.flushes),
            ("cancels", &self.cancels),
            ("resets", &self.resets),
            ("posts failed", &self.posts_failed),
            ("devices told of a gap", &self.gaps),
            ("tools run", &self.tools),
        ]
        .map(|(name, count)| (name, count.load(Relaxed)))
    }

    pub fn print(&self) {
        let all: Vec<String> = self.all().iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("fault schedules: {}", all.join(", "));
    }

    /// Over many schedules everything happens.
    pub fn check(&self) {
        if self.schedules.load(Relaxed) < 100 {
            return;
        }
        for (name, count) in self.all() {
            assert!(count > 0, "it never happened: {name}");
        }
        let (messages, ended) =
            (self.messages.load(Relaxed), self.answers.load(Relaxed) + self.errors.load(Relaxed));
        assert_eq!(
            messages,
            ended + self.gone.load(Relaxed),
            "every message has one end, or went with a reset"
        );
    }
}
