//! A channel where people write elsewhere: it remembers what stands in its threads, by the message that is answered.
//! It fails as it is told to, and posts nothing twice by itself: that is for the adapters' own tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use konstruct_ports::{
    Addressee, Announced, BoxFuture, Channel, ChannelError, ChannelReply, Final, JournalError, ReplyTo,
};
use uuid::Uuid;

const THINKING: &str = r#"{"placeholder":"there"}"#;
const ABSENT: &str = r#"{"placeholder":"none"}"#;

/// What stands in the thread for one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thread {
    pub placeholder: bool,
    /// It was deleted, and whatever took its place with it.
    pub retracted: bool,
    /// Texts under way, in the order they were shown.
    pub shown: Vec<String>,
    /// The ends; there must be one.
    pub ends: Vec<String>,
    /// Sentences that only the author saw.
    pub told: Vec<String>,
    /// The token the calls were made with.
    pub token: String,
    pub metadata: BTreeMap<String, String>,
}

#[derive(Default)]
struct State {
    threads: BTreeMap<Uuid, Thread>,
    announcing_fails: bool,
    announcing_takes: Duration,
    later: usize,
    refuses: Option<String>,
    loses_streaming: bool,
}

/// The channel.
#[derive(Clone, Default)]
pub struct FakeChannel(Arc<Mutex<State>>);

impl FakeChannel {
    /// Placeholders cannot be posted.
    pub fn announcing_fails(&self) {
        self.0.lock().unwrap().announcing_fails = true;
    }

    /// Posting a placeholder takes so long.
    pub fn announces_slowly(&self, pause: Duration) {
        self.0.lock().unwrap().announcing_takes = pause;
    }

    /// The next ends are put off.
    pub fn ends_later(&self, times: usize) {
        self.0.lock().unwrap().later = times;
    }

    /// Ends are refused for good.
    pub fn refuses(&self, why: &str) {
        self.0.lock().unwrap().refuses = Some(why.to_owned());
    }

    /// The installation turns out to have no streaming.
    pub fn loses_streaming(&self) {
        self.0.lock().unwrap().loses_streaming = true;
    }

    #[must_use]
    pub fn thread(&self, message: Uuid) -> Thread {
        self.0.lock().unwrap().threads.get(&message).cloned().unwrap_or_default()
    }

    /// How many messages it heard of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().threads.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with<T>(&self, to: &Addressee, change: impl FnOnce(&mut Thread) -> T) -> T {
        let mut state = self.0.lock().unwrap();
        let thread = state.threads.entry(to.message_id).or_default();
        to.token.reveal().clone_into(&mut thread.token);
        thread.metadata.clone_from(&to.metadata);
        change(thread)
    }
}

impl Channel for FakeChannel {
    fn unannounced(&self) -> String {
        r#"{"placeholder": "absent"}"#.to_owned()
    }

    fn announce<'a>(&'a self, to: &'a Addressee, _: Duration) -> BoxFuture<'a, Announced> {
        Box::pin(async move {
            if self.0.lock().unwrap().announcing_fails {
                let outcome = Err(ChannelError::Later(Duration::from_secs(1)));
                return Announced { posts: ABSENT.to_owned(), outcome };
            }
            let takes = self.0.lock().unwrap().announcing_takes;
            tokio::time::sleep(takes).await;
            self.with(to, |thread| thread.placeholder = true);
            Announced { posts: THINKING.to_owned(), outcome: Ok(()) }
        })
    }

    fn retract<'a>(
        &'a self,
        to: &'a Addressee,
        _: &'a str,
        _: Duration,
    ) -> BoxFuture<'a, Result<(), ChannelError>> {
        Box::pin(async move {
            self.with(to, |thread| (thread.placeholder, thread.retracted) = (false, true));
            Ok(())
        })
    }

    fn tell<'a>(
        &'a self,
        to: &'a Addressee,
        sentence: &'a str,
        _: Duration,
    ) -> BoxFuture<'a, Result<(), ChannelError>> {
        Box::pin(async move {
            self.with(to, |thread| thread.told.push(sentence.to_owned()));
            Ok(())
        })
    }

    fn reply(&self, to: ReplyTo) -> Result<Box<dyn ChannelReply>, ChannelError> {
        Ok(Box::new(FakeReply { channel: self.clone(), to }))
    }
}

struct FakeReply {
    channel: FakeChannel,
    to: ReplyTo,
}

impl ChannelReply for FakeReply {
    fn show<'a>(&'a mut self, text: &'a str) -> BoxFuture<'a, Result<Option<Duration>, ChannelError>> {
        Box::pin(async move {
            self.channel.with(&self.to.addressee, |thread| thread.shown.push(text.to_owned()));
            Ok(None)
        })
    }

    fn end<'a>(&'a mut self, last: Final<'a>, _: Duration) -> BoxFuture<'a, Result<(), ChannelError>> {
        Box::pin(async move {
            {
                let mut state = self.channel.0.lock().unwrap();
                if let Some(why) = &state.refuses {
                    return Err(ChannelError::Refused(why.clone()));
                }
                if state.later > 0 {
                    state.later -= 1;
                    return Err(ChannelError::Later(Duration::from_millis(10)));
                }
            }
            if self.to.posts.as_deref().is_some_and(|posts| posts.contains("settled")) {
                return Ok(());
            }
            let text = match last {
                Final::Answer { text, .. } => text,
                Final::Sentence(sentence) => sentence,
            };
            self.channel.with(&self.to.addressee, |thread| {
                thread.placeholder = false;
                thread.ends.push(text.to_owned());
            });
            match self.to.journal.keep(r#"{"settled":true}"#).await {
                Ok(()) => Ok(()),
                Err(JournalError::Fenced) => Err(ChannelError::Fenced),
                Err(JournalError::Away) => Err(ChannelError::Away),
            }
        })
    }

    fn lost_streaming(&self) -> bool {
        self.channel.0.lock().unwrap().loses_streaming
    }
}
