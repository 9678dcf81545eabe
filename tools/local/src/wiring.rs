//! Puts the parts of the stack together as the template says.
//! It only connects: what a part does is in its own file.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::addresses::{Addresses, STAGE};
use crate::config::Config;
use crate::error::Result;
use crate::faults::Faults;
use crate::gateway::front::{self, Front};
use crate::gateway::handshake::WebSocketApi;
use crate::gateway::http_api::HttpApi;
use crate::gateway::management::{self, Management};
use crate::gateway::posts::Posts;
use crate::gateway::registry::Registry;
use crate::lambda::{self, Functions, Host};
use crate::listeners::Listeners;
use crate::local_api::LocalApi;
use crate::secrets::Secrets;
use crate::server::serve;
use crate::services::Services;
use crate::sqs::client::SqsClient;
use crate::sqs::delivery::Lingering;
use crate::sqs::figures::QueueFigures;
use crate::sqs::poller::{self, Source};
use crate::sqs::proxy::{self, Proxy};
use crate::template::{Inputs, Wiring};
use crate::{http_client, portal, recorder, schedule, token};

/// The values the stack gives the template's parameters.
pub fn parameters(config: &Config, secrets: &Secrets, services: &Services) -> Result<Inputs> {
    let addresses = Addresses::of(config);
    let model = config.model.base_url.clone().unwrap_or_else(|| format!("{}/v1", addresses.model()));
    let anthropic = config.model.anthropic_base_url.clone().unwrap_or_else(|| addresses.model());
    let parameters = [
        // What a deployment would bring along is here already, or is AWS's alone.
        ("Network", "none".into()),
        ("Database", "given".into()),
        ("Cache", "given".into()),
        ("TenantKey", "given".into()),
        ("ModelSecret", "none".into()),
        ("Edge", "none".into()),
        ("Watch", "none".into()),
        ("SocketAccessLogs", "none".into()),
        ("StageName", STAGE.to_string()),
        ("DatabaseUrl", services.postgres.url("konstruct_app")?),
        ("ChannelsDatabaseUrl", services.postgres.url("konstruct_channels")?),
        ("AgentDatabaseUrl", services.postgres.url("konstruct_agent")?),
        ("PlatformDatabaseUrl", services.postgres.url("konstruct_platform")?),
        ("OwnerDatabaseUrl", services.postgres.url("konstruct_owner")?),
        ("RedisUrl", services.redis.url().to_string()),
        ("JwtIssuer", token::ISSUER.into()),
        ("JwtAudience", token::AUDIENCE.into()),
        ("JwtSecret", secrets.jwt.clone()),
        ("JwtJwksUrl", String::new()),
        ("AllowedOrigins", addresses.origins()),
        ("SlackRedirectUrl", format!("{}/slack/oauth/callback", addresses.http())),
        ("OpenAiBaseUrl", model),
        ("OpenAiApiKey", config.model.api_key.clone()),
        ("AnthropicBaseUrl", anthropic),
        ("AnthropicApiKey", config.model.anthropic_api_key.clone()),
        ("LlmModel", config.model.name.clone()),
        ("TurnLeaseMs", config.turn_lease_ms.to_string()),
        ("OutboundExceptions", addresses.outbound_exceptions()),
        ("ManagementUrl", addresses.management()),
        ("SecretsKey", secrets.key(config.database_url.as_deref())),
        ("SecretsKmsKeyId", String::new()),
    ];
    let channels = config.channels.parameters(&addresses.recorder());
    Ok(Inputs {
        parameters: parameters
            .into_iter()
            .chain(channels)
            .map(|(name, value)| (name.to_string(), value))
            .collect(),
        sqs_endpoint: addresses.sqs(),
    })
}

/// What is to be put together.
pub struct Parts<'a> {
    /// The environment's say.
    pub config: &'a Config,
    /// The template's say.
    pub wiring: &'a Wiring,
    /// The functions.
    pub host: &'a Arc<Host>,
    /// What is armed.
    pub faults: &'a Arc<Faults>,
    /// The queues' server.
    pub client: &'a SqsClient,
    /// What the functions rely on.
    pub services: &'a Arc<Services>,
}

impl Parts<'_> {
    /// Starts the Runtime API, which the migrations need.
    pub fn runtime_api(&self, listener: TcpListener, tasks: &mut JoinSet<()>) {
        let host = self.host.clone();
        tasks.spawn(async move { host.reap().await });
        tasks.spawn(serve(listener, lambda::router(self.host.clone())));
    }

    /// Starts everything else.
    pub fn everything(&self, listeners: Listeners, tasks: &mut JoinSet<()>) {
        let functions: Functions = self.host.clone();
        let connections = Arc::new(Registry::default());
        let posts = Arc::new(Posts::default());
        let sources = self.sources(&functions);
        let proxy = Proxy {
            port: self.config.ports.ministack(),
            http: http_client::client(),
            faults: self.faults.clone(),
            wake: sources.iter().map(|source| source.wake.clone()).collect(),
        };
        let management = Management {
            stage: self.wiring.websocket.stage.clone(),
            connections: connections.clone(),
            posts: posts.clone(),
            faults: self.faults.clone(),
        };
        let front = self.front(&functions, &connections, &posts, &sources);
        tasks.spawn(serve(listeners.sqs, proxy::router(Arc::new(proxy))));
        tasks.spawn(serve(listeners.management, management::router(Arc::new(management))));
        tasks.spawn(serve(listeners.front, front::router(Arc::new(front))));
        tasks.spawn(serve(listeners.portal, portal::router()));
        tasks.spawn(serve(listeners.recorder, recorder::router()));
        for source in sources {
            tasks.spawn(poller::run(source));
        }
        for spec in self.wiring.schedules.clone() {
            tasks.spawn(schedule::run(spec, functions.clone()));
        }
    }

    fn sources(&self, functions: &Functions) -> Vec<Arc<Source>> {
        let source = |spec| Source {
            spec,
            client: self.client.clone(),
            functions: functions.clone(),
            faults: self.faults.clone(),
            wake: Arc::new(Notify::new()),
            lingering: Lingering::default(),
        };
        self.wiring.mappings.iter().cloned().map(|spec| Arc::new(source(spec))).collect()
    }

    fn front(
        &self,
        functions: &Functions,
        connections: &Arc<Registry>,
        posts: &Arc<Posts>,
        sources: &[Arc<Source>],
    ) -> Front {
        let port = self.config.ports.front();
        let limits = self.config.limits;
        let websocket = WebSocketApi {
            spec: self.wiring.websocket.clone(),
            connections: connections.clone(),
            functions: functions.clone(),
            idle: limits.idle,
            max_connection: limits.max_connection,
            port,
        };
        let http = HttpApi { spec: self.wiring.http.clone(), functions: functions.clone(), port };
        let queues = QueueFigures {
            client: self.client.clone(),
            queues: self.wiring.queues.clone(),
            sources: sources.to_vec(),
        };
        let local = LocalApi {
            host: self.host.clone(),
            queues,
            posts: posts.clone(),
            faults: self.faults.clone(),
            connections: connections.clone(),
            services: self.services.clone(),
        };
        Front { websocket: Arc::new(websocket), http: Arc::new(http), local: Arc::new(local) }
    }
}
