//! Stacks that a test may disturb: one for outages, with the lease of production, one for deaths, with a short one.
//! Who holds one has it for himself; none of this ever touches the stack that all other tests share.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

use crate::client::Rest;
use crate::device::Device;
use crate::stack::{Stack, User};

/// Milliseconds of a turn's lease on the stack for deaths: what a dead invocation costs.
pub const SHORT_LEASE_MS: u64 = 2000;

/// A stack for oneself.
pub struct Trouble {
    pub stack: &'static Stack,
    rest: Rest,
    _turn: MutexGuard<'static, ()>,
}

/// What waits in the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    pub visible: u64,
    pub in_flight: u64,
    pub dead: u64,
}

impl Trouble {
    /// The stack whose services are stopped.
    pub async fn outages() -> Self {
        static STACK: OnceLock<Stack> = OnceLock::new();
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        Self::calm(STACK.get_or_init(|| Stack::own("outages", &[])), turn).await
    }

    /// The stack whose functions are killed.
    pub async fn deaths() -> Self {
        static STACK: OnceLock<Stack> = OnceLock::new();
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let start = || {
            Stack::own("deaths", &[("TURN_LEASE_MS", "2000"), ("OPENAI_API_KEY", "sk-e2e-a-providers-key")])
        };
        Self::calm(STACK.get_or_init(start), turn).await
    }

    /// Whatever the test before left is undone.
    async fn calm(stack: &'static Stack, turn: MutexGuard<'static, ()>) -> Self {
        let rest = Rest::on(stack, &stack.member("acme"));
        let trouble = Self { stack, rest, _turn: turn };
        trouble.disarm().await;
        for service in ["postgres", "redis", "model"] {
            trouble.service(service, "start").await;
        }
        trouble.healthy(Duration::from_secs(30)).await;
        trouble
    }

    pub fn user(&self) -> User {
        self.stack.member("acme")
    }

    /// Devices of as many fresh conversations.
    pub async fn devices(&self, count: usize) -> Vec<Device> {
        let user = self.user();
        futures_util::future::join_all((0..count).map(|_| Device::fresh(self.stack, &user))).await
    }

    pub async fn arm(&self, fault: Value) {
        let answer = self.rest.post("!/_local/faults", fault).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
    }

    /// The next `times` invocations of a function die so long after they began, should they live so long.
    pub async fn kill(&self, function: &str, after_ms: u64, times: u32) {
        let fault = json!({
            "kind": "kill_function", "function": function, "after_ms": after_ms, "times": times,
        });
        self.arm(fault).await;
    }

    pub async fn disarm(&self) {
        let answer = self.rest.call("DELETE", "!/_local/faults", None).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
    }

    /// `stop`, `start` or `flush`; returns when it is done.
    pub async fn service(&self, name: &str, action: &str) {
        let answer = self.rest.call("POST", &format!("!/_local/services/{name}/{action}"), None).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
    }

    /// Waits until `/health` says that all is well; how long it took.
    pub async fn healthy(&self, within: Duration) -> Duration {
        let began = Instant::now();
        while self.rest.get("!/health").await.status != 200 {
            assert!(began.elapsed() < within, "not healthy within {within:?}");
            sleep(Duration::from_millis(100)).await;
        }
        began.elapsed()
    }

    pub async fn queued(&self) -> Queued {
        let answer = self.rest.get("!/_local/queue").await;
        let queues = answer.body["queues"].as_array().cloned().unwrap_or_default();
        assert!(!queues.is_empty(), "{}", answer.body);
        let sum = |name: &str| queues.iter().filter_map(|queue| queue[name].as_u64()).sum();
        Queued { visible: sum("visible"), in_flight: sum("in_flight"), dead: sum("dead_lettered") }
    }

    /// Waits until nothing waits and nothing is worked on.
    pub async fn drained(&self, within: Duration) -> Queued {
        let began = Instant::now();
        loop {
            let queued = self.queued().await;
            if queued.visible == 0 && queued.in_flight == 0 {
                return queued;
            }
            assert!(began.elapsed() < within, "not drained within {within:?}: {queued:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// How many posts to a connection got this status so far.
    pub async fn posts_with(&self, status: u16) -> u64 {
        let answer = self.rest.get("!/_local/posts").await;
        answer.body["by_status"][status.to_string()].as_u64().unwrap_or_default()
    }

    /// A figure of a function.
    pub async fn function(&self, name: &str, figure: &str) -> u64 {
        self.rest.get("!/_local/functions").await.body[name][figure].as_u64().expect("a figure")
    }
}
