//! Named points between two effects, at which a test may end the process (delivery.md section 9). They exist under
//! the cargo feature `failpoints`, which no artefact has; without it they are nothing.

/// Goes on; under the feature, unless a test wants this process to die here.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) async fn reach(_point: &'static str) {}

#[cfg(feature = "failpoints")]
pub use armed::*;

#[cfg(feature = "failpoints")]
mod armed {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use tokio::sync::watch;

    /// What is to happen on this thread: an invocation of a test has a runtime, and so a thread, of its own.
    #[derive(Debug)]
    struct Plan {
        /// The point, and at which reaching of it.
        dies_at: Option<(&'static str, usize)>,
        reached: BTreeMap<&'static str, usize>,
        dead: watch::Sender<bool>,
    }

    thread_local! {
        static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
    }

    /// From here on this thread counts the points it reaches, and dies where it is told to. Who gets the receiver
    /// ends the process when it says `true`.
    #[must_use]
    pub fn arm(dies_at: Option<(&'static str, usize)>) -> watch::Receiver<bool> {
        let (dead, died) = watch::channel(false);
        PLAN.set(Some(Plan { dies_at, reached: BTreeMap::new(), dead }));
        died
    }

    /// Ends the plan; how often each point was reached.
    #[must_use]
    pub fn disarm() -> BTreeMap<&'static str, usize> {
        PLAN.take().map(|plan| plan.reached).unwrap_or_default()
    }

    /// Goes on, unless a test wants this process to die here: then this never returns.
    pub(crate) async fn reach(point: &'static str) {
        let dies = PLAN.with_borrow_mut(|plan| {
            let Some(plan) = plan else { return false };
            let times = plan.reached.entry(point).or_default();
            *times += 1;
            let dies = plan.dies_at == Some((point, *times));
            if dies {
                plan.dead.send_replace(true);
            }
            dies || *plan.dead.borrow()
        });
        if dies {
            std::future::pending::<()>().await;
        }
    }
}
