//! What a process is about when it dies, and what everybody must have in the end.

mod agent;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use konstruct_domain::{Access, ConversationId, MessageId, Seq};
use konstruct_protocol::{Dialect, Task};
use konstruct_service::conversations::{find, history};
use konstruct_service::patience::Patience;
use konstruct_service::stop::stop;
use konstruct_service::turn::Disposition;
use konstruct_tests::app::{World, received, record};
use konstruct_tests::client::TestClient;
use konstruct_tests::fakes::FakeModel;
use konstruct_tests::fakes::model::{Beat, Script, echo, fatal, retryable};
use konstruct_tests::history::{Ending, dense, endings};
use konstruct_tests::{TestApp, TestTenant, id};
use tokio::runtime::{Builder, Runtime};

use crate::process::{Death, run};

const TEXT: &str = "hello";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// The agent answers; it dies.
    Answer,
    /// As above, and the model breaks off once.
    ModelFails,
    /// The model refuses for good.
    ModelRefuses,
    /// Redis lost the log before.
    LogLost,
    /// The person stopped the answer; the stop or the agent dies.
    Stopped,
    /// Accepting the message dies; the client sends it again.
    Accept,
    /// A reset during an answer dies; it is asked for again.
    Reset,
    /// The agent calls a tool; it dies.
    Tool,
    /// A tool waits for a yes; agent or decision dies.
    Confirmed,
    /// The tool hands over to a human; the agent dies.
    Escalated,
    /// A person plainly asks for a human; the agent dies.
    Wished,
    /// A human takes over during an answer and replies; that dies, and is asked for again.
    TakenOver,
}

/// A stage with everything on it.
struct Stage {
    runtime: Runtime,
    app: TestApp,
    tenant: TestTenant,
    conversation: ConversationId,
    client: TestClient,
}

impl Stage {
    fn set(world: &World) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let model = Arc::new(FakeModel::default());
        model.echo_slowly(Duration::from_millis(8));
        let (gateway, queue, tools) = (Arc::default(), Arc::default(), Arc::default());
        let world = World { model, gateway, queue, tools, ..world.clone() };
        let (app, tenant, client) = runtime.block_on(async {
            let app = world.app().await;
            let tenant = app.tenant().await;
            let conversation = app.conversation(&tenant).await;
            let client = TestClient::connected(&app, Dialect::Session, tenant.caller(), conversation).await;
            (app, tenant, client)
        });
        Self { runtime, conversation: client.conversation, app, tenant, client }
    }

    fn message(&self) -> (MessageId, Task) {
        self.runtime.block_on(self.app.message(&self.tenant, self.conversation, TEXT))
    }

    /// What time does to leases of the dead, and what a closed client does.
    fn time_passes(&mut self) {
        let Self { runtime, app, tenant, client, conversation } = self;
        runtime.block_on(async {
            app.keys.push_lease_runs_out(tenant.id, *conversation).await;
            let sql = "UPDATE web_conversations SET lease_until = now() WHERE tenant_id = $1";
            app.root.execute(sql, &[&tenant.id.0]).await.unwrap();
            if client.was_closed(app) {
                client.connect(app).await.unwrap();
            }
        });
    }

    /// Works a task until an invocation is done with it; the first may die.
    fn work(&mut self, task: &Task, death: Option<Death>) -> BTreeMap<&'static str, usize> {
        let world = self.app.world.clone();
        let first = run(death, async || world.agent().work(task, &record()).await);
        let mut done = first.done;
        for _ in 0..20 {
            if done == Some(Disposition::Done) {
                return first.reached;
            }
            self.time_passes();
            done = run(None, async || world.agent().work(task, &record()).await).done;
        }
        panic!("{death:?}: the task is never done");
    }

    fn said(&self) -> Vec<String> {
        let (app, caller) = (&self.app, self.tenant.caller());
        let (messages, _) =
            self.runtime.block_on(history(&app.db, &caller, self.conversation, None, 50)).unwrap();
        messages.into_iter().map(|message| message.content).collect()
    }

    /// One end for everyone, nothing open, no number missing. `None`: the client was told of a gap, and reads the
    /// history.
    fn ended(&mut self, death: Option<Death>) -> Option<Ending> {
        self.time_passes();
        // Who was not closed has everything; who comes back gets the rest.
        let told = self.client.told(&self.app);
        let told = endings(&told).unwrap_or_else(|why| panic!("{death:?}: {why}"));
        let open = "SELECT 1 FROM turns WHERE tenant_id = $1 AND delivered_at IS NULL";
        assert_eq!(self.runtime.block_on(self.app.count(open, &[&self.tenant.id.0])), 0, "{death:?}");
        let log = self.app.redis.frames_after(self.tenant.id, self.conversation, Seq(0), 10_000);
        dense(&self.runtime.block_on(log).unwrap()).unwrap_or_else(|why| panic!("{death:?}: {why}"));
        assert!(told.len() <= 1, "{death:?}: {told:#?}");
        assert!(told.len() == 1 || self.gap(), "{death:?}: {:#?}", self.client.frames(&self.app));
        assert!(!self.app.gateway().overlapped(), "{death:?}");
        told.into_iter().next()
    }

    /// As above, where nothing was lost that a client could be told of.
    fn ended_once(&mut self, death: Option<Death>) -> Ending {
        let end = self.ended(death);
        assert!(!self.gap(), "{death:?}: nothing was lost");
        end.unwrap()
    }

    fn gap(&self) -> bool {
        self.client.frames(&self.app).iter().any(|frame| frame["code"] == "replay_gap")
    }
}

impl Story {
    /// Plays it; how often each point was reached by the process that may die.
    pub fn play(self, world: &World, death: Option<Death>) -> BTreeMap<&'static str, usize> {
        let mut stage = Stage::set(world);
        match self {
            Self::Answer | Self::ModelFails | Self::LogLost => self.answer(&mut stage, death),
            Self::ModelRefuses => refused(&mut stage, death),
            Self::Stopped => stopped(&mut stage, death),
            Self::Accept => accepted(&mut stage, death),
            Self::Reset => reset(&mut stage, death),
            Self::Tool => agent::tool(&mut stage, death),
            Self::Confirmed => agent::confirmed(&mut stage, death),
            Self::Escalated => agent::escalated(&mut stage, death),
            Self::Wished => agent::wished(&mut stage, death),
            Self::TakenOver => agent::taken_over(&mut stage, death),
        }
    }

    fn answer(self, stage: &mut Stage, death: Option<Death>) -> BTreeMap<&'static str, usize> {
        if self == Self::ModelFails {
            let beats = vec![
                Beat::Say("Half".into()),
                Beat::Pause(Duration::from_millis(40)),
                Beat::Fail(retryable()),
            ];
            stage.app.model().script([Script::Stream(beats)]);
        }
        if self == Self::LogLost {
            let (_, task) = stage.message();
            stage.work(&task, None);
            stage.runtime.block_on(async {
                stage.app.keys.flush(stage.tenant.id).await;
                stage.app.connections().close(stage.client.connection()).await.unwrap();
            });
            stage.client.connections.clear();
            stage.runtime.block_on(stage.client.connect(&stage.app)).unwrap();
        }
        let (_, task) = stage.message();
        let reached = stage.work(&task, death);
        let end = if self == Self::LogLost { stage.ended(death) } else { Some(stage.ended_once(death)) };
        let said = stage.said();
        if let Some(end) = end {
            assert_eq!(end.answer.unwrap().1, echo(TEXT), "{death:?}");
        }
        assert_eq!(said[said.len() - 2..], [TEXT.to_owned(), echo(TEXT)], "{death:?}");
        assert_eq!(said.len(), if self == Self::LogLost { 4 } else { 2 }, "{death:?}");
        let billed = "SELECT 1 FROM llm_usage WHERE tenant_id = $1 AND NOT estimated";
        let billed = stage.runtime.block_on(stage.app.count(billed, &[&stage.tenant.id.0]));
        assert!(usize::try_from(billed).unwrap() >= said.len() / 2, "{death:?}: a finished call is billed");
        reached
    }
}

fn refused(stage: &mut Stage, death: Option<Death>) -> BTreeMap<&'static str, usize> {
    stage.app.model().script([Script::Refuse(fatal()), Script::Refuse(fatal()), Script::Refuse(fatal())]);
    let (_, task) = stage.message();
    let reached = stage.work(&task, death);
    assert_eq!(stage.ended_once(death).error.as_deref(), Some("agent_failed"), "{death:?}");
    assert_eq!(stage.said(), [TEXT], "{death:?}");
    reached
}

/// The mark is set before the agent begins: what it finds is the same as in mid-answer.
fn stopped(stage: &mut Stage, death: Option<Death>) -> BTreeMap<&'static str, usize> {
    let (_, task) = stage.message();
    let (world, tenant, conversation) = (stage.app.world.clone(), stage.tenant, stage.conversation);
    let ask = async || {
        let app = world.app().await;
        let patience = Patience::of(Duration::from_secs(20));
        stop(&app.wake(), &app.connections(), tenant.id, tenant.user, conversation, patience).await.unwrap()
    };
    let asked = run(death, ask);
    if asked.done.is_none() {
        assert_eq!(run(None, ask).done, Some(true), "{death:?}: asked for again");
    }
    let mut reached = stage.work(&task, death);
    let end = stage.ended_once(death);
    assert_eq!((end.stopped, end.answer.unwrap().1), (true, String::new()), "{death:?}");
    assert_eq!(stage.app.model().asked().len(), 0, "{death:?}: nobody was asked");
    reached.extend(asked.reached);
    reached
}

fn accepted(stage: &mut Stage, death: Option<Death>) -> BTreeMap<&'static str, usize> {
    let (world, tenant, conversation) = (stage.app.world.clone(), stage.tenant, stage.conversation);
    let message = MessageId(id());
    let accept = async || {
        let app = world.app().await;
        app.inbound().accept(received(tenant.id, tenant.user, conversation, message, TEXT)).await.unwrap()
    };
    let first = run(death, accept);
    for _ in 0..2 {
        let again = run(None, accept).done.unwrap();
        assert!(again.duplicate || first.done.is_none(), "{death:?}");
    }
    let sent = stage.app.queue().sent();
    assert!(sent.iter().all(|sent| sent.deduplication_id == message.to_string()), "{death:?}");
    stage.work(&sent[0].task(), None);
    assert_eq!(stage.ended_once(death).in_reply_to, message.to_string());
    assert_eq!(stage.said(), [TEXT.to_owned(), echo(TEXT)], "{death:?}");
    let shown = stage.client.frames(&stage.app).iter().filter(|frame| frame["type"] == "typing").count();
    assert!(shown <= 1, "{death:?}: a copy is not announced");
    first.reached.into_iter().filter(|(point, _)| point.starts_with("inbound.")).collect()
}

fn reset(stage: &mut Stage, death: Option<Death>) -> BTreeMap<&'static str, usize> {
    // The agent died in mid-answer: the turn is under way, and its end is on the reset.
    let (message, task) = stage.message();
    let dies = Some(Death { point: "log.appended", time: 4 });
    let world = stage.app.world.clone();
    assert!(run(dies, async || world.agent().work(&task, &record()).await).done.is_none());
    stage.time_passes();
    let (caller, conversation) = (stage.tenant.caller(), stage.conversation);
    let ask = async || {
        let app = world.app().await;
        let row = find(&app.db, &caller, conversation, Access::Write).await.unwrap();
        app.on_behalf().reset(&row).await.unwrap();
    };
    let first = run(death, ask);
    if first.done.is_none() {
        stage.time_passes();
        assert!(run(None, ask).done.is_some());
    }
    stage.work(&task, None);
    // The client's push lease was in doubt, so it was closed, and may come back when the log is empty.
    if let Some(end) = stage.ended(death) {
        assert_eq!((end.in_reply_to, end.stopped), (message.to_string(), true), "{death:?}");
    }
    assert_eq!(stage.said(), [""; 0], "{death:?}");
    let (_, next) = stage.message();
    stage.work(&next, None);
    assert_eq!(stage.said(), [TEXT.to_owned(), echo(TEXT)], "{death:?}");
    first.reached
}
