//! The service over real Postgres and Redis and fakes for the rest. It is put together here as the functions' mains
//! do it, with nothing left out.

use std::sync::Arc;
use std::time::Duration;

use konstruct_domain::{
    Channel, Content, ConversationId, Epoch, InboundMessage, MessageId, Sender, TenantId, UserId,
};
use konstruct_postgres::{PlatformPool, TenantPool};
use konstruct_protocol::{Task, TaskKind, TraceParent};
use konstruct_redis::Redis;
use konstruct_secrets::{LocalKeys, Secrets};
use konstruct_service::Connections;
use konstruct_service::hand_over::OnBehalf;
use konstruct_service::inbound::{Author, Inbound, Normalised};
use konstruct_service::outgoing::Outgoing;
use konstruct_service::turn::{Agent, Disposition, Record, TurnLimits};
use konstruct_service::wake::Wake;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::fakes::{CountingIds, FakeChannel, FakeGateway, FakeModel, FakeQueue, FakeTools, FixedClock};
use crate::redis_keys::RedisKeys;
use crate::services::services;

/// When every test happens.
pub const NOW: OffsetDateTime = datetime!(2026-11-21 09:30:00.250 UTC);

/// What processes share: servers and fakes. A process makes its own connections from it.
#[derive(Clone)]
pub struct World {
    pub database: String,
    pub redis_url: String,
    pub gateway: Arc<FakeGateway>,
    pub queue: Arc<FakeQueue>,
    pub model: Arc<FakeModel>,
    pub tools: Arc<FakeTools>,
    pub clock: Arc<FixedClock>,
    pub ids: Arc<CountingIds>,
    pub limits: TurnLimits,
    /// Stands for Slack.
    pub channel: FakeChannel,
    /// What Postgres calls the connections of this world.
    pub name: String,
}

/// One process of the service, and a look behind the scenes.
pub struct TestApp {
    pub world: World,
    pub db: TenantPool,
    pub platform: PlatformPool,
    pub redis: Redis,
    /// Postgres as superuser: what a test puts in place and looks at.
    pub root: Client,
    /// Redis behind the product's back.
    pub keys: RedisKeys,
}

/// Seals under a key that opens nothing else.
#[must_use]
pub fn secrets() -> Secrets {
    let master = "dGhlIHRlc3RzJyBvd24ga2V5LCAzMiBieXRlcyBsb24=";
    Secrets::new(Arc::new(LocalKeys::new(master, true).unwrap()))
}

impl World {
    fn of(database: String, redis_url: String) -> Self {
        Self {
            database,
            redis_url,
            gateway: Arc::default(),
            queue: Arc::default(),
            model: Arc::default(),
            tools: Arc::default(),
            clock: Arc::new(FixedClock::at(NOW)),
            ids: Arc::default(),
            channel: FakeChannel::default(),
            name: "tests".to_owned(),
            limits: TurnLimits { default_model: "test-model".to_owned(), ..TurnLimits::default() },
        }
    }

    /// The URL as a role of the service.
    #[must_use]
    pub fn postgres_url(&self, role: &str) -> String {
        format!("{}&application_name={}", services().schema.url(role, &self.database), self.name)
    }

    /// An agent with connections of its own.
    #[must_use]
    pub fn agent(&self) -> Agent {
        let redis = Redis::new(&self.redis_url).unwrap();
        Agent {
            db: TenantPool::new(&self.postgres_url("konstruct_agent"), 4).unwrap(),
            connections: Connections::new(redis, self.gateway.clone()),
            queue: self.queue.clone(),
            model: self.model.clone(),
            tools: self.tools.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            outgoing: self.outgoing(),
            limits: self.limits.clone(),
        }
    }

    /// The fake channel, and real seals under a key of the tests.
    #[must_use]
    pub fn outgoing(&self) -> Outgoing {
        Outgoing { adapters: vec![(Channel::Slack, Arc::new(self.channel.clone()))], secrets: secrets() }
    }

    /// A process of the service in this world.
    pub async fn app(&self) -> TestApp {
        TestApp {
            world: self.clone(),
            db: TenantPool::new(&self.postgres_url("konstruct_app"), 20).unwrap(),
            platform: PlatformPool::new(&self.postgres_url("konstruct_platform")).unwrap(),
            redis: Redis::new(&self.redis_url).unwrap(),
            root: services().schema.superuser(&self.database).await,
            keys: RedisKeys::open(&self.redis_url).await,
        }
    }
}

impl TestApp {
    /// In the database that tests share: with tenants of its own a test is alone.
    pub async fn start() -> Self {
        let services = services();
        World::of(services.schema.database.clone(), format!("{}/0", services.redis_url)).app().await
    }

    /// With a database and a Redis of its own, for what looks at all tenants.
    pub async fn alone() -> Self {
        let services = services();
        let redis_url = RedisKeys::own_database(&services.redis_url).await;
        World::of(services.schema.own_database().await, redis_url).app().await
    }

    #[must_use]
    pub fn gateway(&self) -> &FakeGateway {
        &self.world.gateway
    }

    #[must_use]
    pub fn model(&self) -> &FakeModel {
        &self.world.model
    }

    #[must_use]
    pub fn queue(&self) -> &FakeQueue {
        &self.world.queue
    }

    #[must_use]
    pub fn tools(&self) -> &FakeTools {
        &self.world.tools
    }

    /// What wakes the agent.
    #[must_use]
    pub fn wake(&self) -> Wake {
        Wake { db: self.db.clone(), queue: self.world.queue.clone(), clock: self.world.clock.clone() }
    }

    /// What resets, takes over and replies.
    #[must_use]
    pub fn on_behalf(&self) -> OnBehalf<'_> {
        OnBehalf {
            db: self.db.clone(),
            connections: self.connections(),
            ids: self.world.ids.as_ref(),
            clock: self.world.clock.as_ref(),
            wake: Some(self.wake()),
        }
    }

    /// The connection manager.
    #[must_use]
    pub fn connections(&self) -> Connections {
        Connections::new(self.redis.clone(), self.world.gateway.clone())
    }

    /// The inbound pipeline, as REST runs it.
    #[must_use]
    pub fn inbound(&self) -> Inbound {
        Inbound {
            db: self.db.clone(),
            connections: self.connections(),
            queue: self.world.queue.clone(),
            clock: self.world.clock.clone(),
            patience: Duration::from_millis(700),
        }
    }

    /// An agent that shares this process' connections.
    #[must_use]
    pub fn agent(&self) -> Agent {
        Agent { connections: self.connections(), ..self.world.agent() }
    }

    /// Works a task as SQS does: again whenever the agent asks for it.
    pub async fn work_until_done(&self, task: &Task) {
        for _ in 0..50 {
            match self.work(task).await {
                Disposition::Done => return,
                Disposition::Again(after) => tokio::time::sleep(after.min(Duration::from_secs(1))).await,
            }
        }
        panic!("the task is never done");
    }

    /// Works a task once.
    pub async fn work(&self, task: &Task) -> Disposition {
        self.agent().work(task, &record()).await
    }
}

/// The record of a fresh invocation.
#[must_use]
pub fn record() -> Record {
    let deadline = Instant::now() + Duration::from_secs(900);
    Record { receipt_handle: "receipt".to_owned(), rescue: false, deadline, trace: in_trace().id }
}

/// A message as a channel hands it on.
#[must_use]
pub fn received(
    tenant: TenantId,
    user: UserId,
    thread: ConversationId,
    id: MessageId,
    text: &str,
) -> Normalised {
    let metadata = [
        ("portal_user_id", user.to_string()),
        ("tenant_id", tenant.to_string()),
        ("conversation_id", thread.to_string()),
    ];
    let message = InboundMessage {
        id,
        tenant_id: tenant,
        channel: Channel::Web,
        channel_metadata: metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        sender: Sender { user_id: user.to_string() },
        content: Content::parse(text).unwrap(),
        timestamp: NOW,
        thread_id: thread,
        reply_to: None,
        context: None,
    };
    Normalised { message, author: Author::Member(user, None), trace: in_trace() }
}

/// The trace that tests work in.
#[must_use]
pub fn in_trace() -> TraceParent {
    TraceParent::parse("00-65d2ff2e718990494fd688f062bf1571-53995c3f42cd8ad8-00").unwrap()
}

/// The task of a message under the first epoch.
#[must_use]
pub fn task(received: Normalised) -> Task {
    Task::new(TaskKind::Message, Epoch(0), received.message)
}
