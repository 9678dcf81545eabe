//! A turn's answer on its way into a channel's thread, beside its frames (CHAN-05, delivery.md section 8). A task of
//! its own shows what there is so far, so that posting holds up neither reading nor journaling. On the web, whose
//! answers are frames, there is none.

use std::sync::Arc;
use std::time::Duration;

use konstruct_domain::{Channel, TenantId};
use konstruct_ports::{
    Addressee, BoxFuture, ChannelError, ChannelReply, Final, JournalError, PostJournal, ReplyTo,
};
use konstruct_postgres::TenantPool;
use konstruct_postgres::turns::{Ended, TurnRow, Work};
use konstruct_protocol::ErrorCode;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::Instrument as _;

use super::{Held, Turned, is_reply};
use crate::error::Error;
use crate::outgoing::Installed;
use crate::patience::Patience;
use crate::reset::sentence;

/// How long the end of an answer is tried within one invocation; then its record comes back when the channel allows it:
/// an agent that waits for a channel is one that answers nobody else.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// A record is not hidden for longer at a time.
const LATER_MAX: Duration = Duration::from_secs(900);

/// An answer on its way.
pub(crate) struct Reply {
    text: watch::Sender<Arc<str>>,
    showing: Showing,
    installed: Installed,
    addressee: Addressee,
}

impl Reply {
    fn start(reply: Box<dyn ChannelReply>, installed: Installed, addressee: Addressee) -> Self {
        let (text, newest) = watch::channel(Arc::from(""));
        Self {
            text,
            showing: Showing(tokio::spawn(show(reply, newest).in_current_span())),
            installed,
            addressee,
        }
    }
}

/// The task that shows; it ends when nobody waits for it: who lost the lease posts nothing any more.
struct Showing(JoinHandle<Box<dyn ChannelReply>>);

impl Drop for Showing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Shows the newest text until there is no more to come.
async fn show(
    mut reply: Box<dyn ChannelReply>,
    mut newest: watch::Receiver<Arc<str>>,
) -> Box<dyn ChannelReply> {
    let mut again: Option<Instant> = None;
    loop {
        let soon = again.unwrap_or_else(Instant::now);
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return reply },
            () = sleep_until(soon), if again.is_some() => {}
        }
        if again.is_some_and(|again| again > Instant::now()) {
            continue;
        }
        let text = Arc::clone(&newest.borrow_and_update());
        again = match reply.show(&text).await {
            Ok(wait) => wait.map(|wait| Instant::now() + wait),
            Err(error) => {
                tracing::warn!(%error, "an answer under way is not shown any more");
                while newest.changed().await.is_ok() {}
                return reply;
            }
        };
    }
}

/// The journal of what an answer has posted.
struct Journal {
    db: TenantPool,
    tenant: TenantId,
    work: Work,
}

impl PostJournal for Journal {
    fn keep<'a>(&'a self, posts: &'a str) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            let keep = async { self.db.begin(self.tenant).await?.keep_channel_posts(self.work, posts).await };
            match keep.await {
                Ok(true) => Ok(()),
                Ok(false) => Err(JournalError::Fenced),
                Err(error) => {
                    tracing::warn!(%error, "what was posted could not be journaled");
                    Err(JournalError::Away)
                }
            }
        })
    }
}

impl Held<'_> {
    /// Begins to bring a turn's answer into its thread, or goes on with it.
    pub(super) async fn begin_reply(&mut self, turn: &TurnRow) -> Result<(), Error> {
        self.reply = None;
        if turn.channel == Channel::Web {
            return Ok(());
        }
        let find = || self.agent.outgoing.of_turn(&self.agent.db, self.tenant, turn);
        let Some((installed, addressee)) = Patience::of(super::OUTAGE).retry(find).await? else {
            tracing::warn!(channel = turn.channel.as_str(), "no installation to answer through");
            return Ok(());
        };
        let work = self.work(turn);
        let journal = Journal { db: self.agent.db.clone(), tenant: self.tenant, work };
        let unannounced = || is_reply(turn).then(|| installed.channel.unannounced());
        let posts = turn.channel_posts.clone().or_else(unannounced);
        let to = ReplyTo {
            addressee: addressee.clone(),
            posts,
            journal: Arc::new(journal),
            streams: installed.streams,
        };
        match installed.channel.reply(to) {
            Ok(reply) => self.reply = Some(Reply::start(reply, installed, addressee)),
            Err(error) => tracing::error!(%error, "an answer cannot be posted"),
        }
        Ok(())
    }

    /// The answer on its way, with nobody showing it any more.
    pub(super) async fn take_reply(&mut self) -> Result<Option<Box<dyn ChannelReply>>, Error> {
        let Some(Reply { text, mut showing, .. }) = self.reply.take() else { return Ok(None) };
        drop(text);
        let reply = (&mut showing.0).await;
        reply.map(Some).map_err(|error| Error::Bug(format!("the reply's task died: {error}")))
    }

    /// Hands on the answer so far.
    pub(super) fn show_reply(&self, text: &str) {
        if let Some(reply) = &self.reply {
            reply.text.send_replace(Arc::from(text));
        }
    }

    /// Brings the end into the thread. What the channel refuses for good is in the history, and nowhere else.
    pub(super) async fn end_reply(&mut self, turn: &TurnRow, ended: &Ended) -> Result<Turned, Error> {
        let Some(Reply { text, mut showing, installed, addressee }) = self.reply.take() else {
            return Ok(Turned::Ended);
        };
        drop(text);
        let mut reply =
            (&mut showing.0).await.map_err(|error| Error::Bug(format!("the reply's task died: {error}")))?;
        let done = match ended {
            Ended::Answer { text, stopped, .. } => {
                reply.end(Final::Answer { text, stopped: *stopped }, END_PATIENCE).await
            }
            Ended::Reply { text } => reply.end(Final::Answer { text, stopped: false }, END_PATIENCE).await,
            Ended::Error(code) => {
                let code = ErrorCode::parse(code).unwrap_or(ErrorCode::AgentFailed);
                reply.end(Final::Sentence(sentence(code)), END_PATIENCE).await
            }
            Ended::Silent => {
                let posts = turn.channel_posts.as_deref().unwrap_or("{}");
                installed.channel.retract(&addressee, posts, END_PATIENCE).await
            }
        };
        if reply.lost_streaming() && installed.streams {
            self.agent.outgoing.lost_streaming(&self.agent.db, self.tenant, installed.id).await;
        }
        match done {
            Ok(()) => tracing::info!("the channel has the answer"),
            Err(ChannelError::Fenced) => return Ok(Turned::GiveUp),
            Err(ChannelError::Later(wait)) => {
                tracing::warn!(wait_s = wait.as_secs(), "the channel puts an answer off");
                return Ok(Turned::Later(wait.clamp(Duration::from_secs(1), LATER_MAX)));
            }
            Err(error) if error.is_retryable() => return Err(Error::Away(error.to_string())),
            Err(error) => tracing::error!(%error, "an answer did not reach its channel"),
        }
        if let Err(error) = self.agent.connections.redis.engage(self.tenant, self.conversation()).await {
            tracing::warn!(%error, "a thread could not be followed on");
        }
        Ok(Turned::Ended)
    }
}
