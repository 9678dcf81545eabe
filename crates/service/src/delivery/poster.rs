//! The one poster of a conversation: holds the push lease and posts what the log has to the live set. One post in
//! flight per connection; a slow one delays nobody. It never posts a frame twice on a guess, and it writes nothing
//! to the log.

mod run;

use konstruct_domain::{ConversationId, Epoch, MessageId, Seq, TenantId, TraceId};
use konstruct_protocol::Event;
use konstruct_redis::live::LiveConnection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::connections::Connections;
use crate::telemetry::name_message;

/// What the poster is told.
#[derive(Debug)]
enum Tell {
    /// The log has grown by these.
    Logged { first: Seq, events: Vec<Event>, live: Vec<LiveConnection> },
    /// The log was begun anew: every connection there was must come back.
    BegunAnew,
    /// Tell when everything up to here is posted.
    PostedTo(Seq, oneshot::Sender<Posts>),
}

/// What a poster has posted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Posts {
    /// Posts, whatever became of them.
    pub sent: u64,
    /// Those that did not reach their connection.
    pub failed: u64,
}

/// What cuts an answer off while its model is silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signals {
    /// The message whose answer is to be stopped.
    pub cancelled: Option<MessageId>,
    /// The log's epoch.
    pub epoch: Option<Epoch>,
}

/// A running poster.
#[derive(Debug)]
pub struct Poster {
    tell: mpsc::UnboundedSender<Tell>,
    signals: watch::Receiver<Signals>,
    task: JoinHandle<()>,
    span: Span,
}

impl Poster {
    /// Starts posting, once the push lease can be had. `holder` names this process.
    #[must_use]
    pub fn start(
        connections: Connections,
        tenant: TenantId,
        conversation: ConversationId,
        holder: String,
    ) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let (signal, signals) = watch::channel(Signals::default());
        let span = tracing::info_span!(
            "poster",
            tenant_id = %tenant,
            conversation_id = %conversation,
            message_id = Empty,
            trace_id = Empty,
        );
        let run = run::Run::new(connections, tenant, conversation, holder, signal);
        Self { tell, signals, task: tokio::spawn(run.run(told).instrument(span.clone())), span }
    }

    /// What it posts from here on is of this message: for the log.
    pub fn works_on(&self, message: MessageId, trace: TraceId) {
        name_message(&self.span, message, trace);
    }

    /// Hands on what was logged just now.
    pub fn logged(&self, first: Seq, events: Vec<Event>, live: Vec<LiveConnection>) {
        // A poster that ended has nobody to post to any more.
        let _ = self.tell.send(Tell::Logged { first, events, live });
    }

    /// The log was begun anew.
    pub fn begun_anew(&self) {
        let _ = self.tell.send(Tell::BegunAnew);
    }

    /// Changes when a person stops an answer, or the conversation gets a newer epoch. Looked at every 100 ms.
    #[must_use]
    pub fn signals(&self) -> watch::Receiver<Signals> {
        self.signals.clone()
    }

    /// Waits until everything up to `seq` was posted to everyone who is live, or given up on: some 15 s at most. What was
    /// posted by then; nothing, where the poster is gone.
    pub async fn posted_to(&self, seq: Seq) -> Posts {
        let (done, wait) = oneshot::channel();
        if self.tell.send(Tell::PostedTo(seq, done)).is_err() {
            return Posts::default();
        }
        wait.await.unwrap_or_default()
    }

    /// Posts what is left and gives the lease back.
    pub async fn finish(self) {
        drop(self.tell);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the poster died");
        }
    }
}
