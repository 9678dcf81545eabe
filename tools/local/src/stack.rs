//! Starts the whole stack, waits, and stops all it started.
//! It must leave nothing behind, whenever it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::addresses::Addresses;
use crate::banner;
use crate::config::Config;
use crate::database;
use crate::demo::Demo;
use crate::error::{Context, Error, Result};
use crate::faults::Faults;
use crate::lambda::{Failure, Host, Invoker, Setup};
use crate::listeners::Listeners;
use crate::lock;
use crate::secrets::Secrets;
use crate::services::daemon::Daemon;
use crate::services::postgres::Postgres;
use crate::services::redis::Redis;
use crate::services::{Services, ministack};
use crate::sqs::client::SqsClient;
use crate::sqs::queues;
use crate::template::{self, Wiring};
use crate::wiring::{Parts, parameters};
use crate::{binaries, demo_tokens, model::server::ModelServer, stack_file};

/// What has been started and must be stopped.
struct Started {
    services: Arc<Services>,
    ministack: Mutex<Option<Daemon>>,
    host: Mutex<Option<Arc<Host>>>,
    tasks: Mutex<JoinSet<()>>,
}

/// Runs the stack until a signal says to stop.
pub async fn run(config: Config) -> Result<()> {
    std::fs::create_dir_all(config.logs()).context(config.logs().display())?;
    let _lock = lock::take(&config.state_dir)?;
    stack_file::remove(&config.state_dir);
    let secrets = Secrets::of(&config.state_dir)?;
    let mut stop = Stop::new()?;
    let started = Started {
        services: Arc::new(Services {
            postgres: Arc::new(Postgres::new(&config, &secrets)?),
            redis: Arc::new(Redis::new(&config)),
            model: Arc::new(ModelServer::new(config.ports.model())),
        }),
        ministack: Mutex::default(),
        host: Mutex::default(),
        tasks: Mutex::default(),
    };
    let result = tokio::select! {
        result = start(&config, &secrets, &started) => match result {
            Ok(()) => tokio::select! {
                () = stop.wait() => Ok(()),
                () = started.watch() => Ok(()),
            },
            Err(error) => Err(error),
        },
        () = stop.wait() => Err(Error::new("stopped before it had started")),
    };
    stack_file::remove(&config.state_dir);
    let stopped = started.stop().await;
    result.and(stopped)
}

async fn start(config: &Config, secrets: &Secrets, started: &Started) -> Result<()> {
    let demo = Demo::load()?;
    let (listeners, runtime_api) = Listeners::take(config).await?;
    let client = SqsClient::new(config.ports.ministack());
    let services = &started.services;
    let (template, (), (), ministack) = tokio::try_join!(
        template::expand(config),
        async {
            services.postgres.start().await?;
            database::create(&services.postgres).await
        },
        services.redis.start(),
        ministack::start(config, &client),
    )?;
    *started.ministack.lock().await = Some(ministack);
    let inputs = parameters(config, secrets, services)?;
    let wiring = template::read(&template, &inputs, &config.limits).context("infra/template.yaml")?;
    queues::create(&client, &wiring.queues).await?;
    let faults = Arc::new(Faults::default());
    let names = wiring.functions.iter().map(|function| function.folder.as_str());
    let setup = Setup {
        state_dir: config.state_dir.clone(),
        built: config.binaries.clone(),
        binaries: binaries::set_aside(&config.binaries, &config.state_dir, names)?,
        logs: config.logs(),
        runtime_api_port: config.ports.runtime_api(),
        sqs_endpoint: inputs.sqs_endpoint.clone(),
    };
    let host = Host::new(wiring.functions.clone(), setup, &faults);
    *started.host.lock().await = Some(host.clone());
    let mut tasks = started.tasks.lock().await;
    let parts = Parts { config, wiring: &wiring, host: &host, faults: &faults, client: &client, services };
    parts.runtime_api(runtime_api, &mut tasks);
    migrate(&host, &wiring).await?;
    database::fill(&services.postgres, &Addresses::of(config).tickets()).await?;
    demo_tokens::seed(&services.postgres, &demo, &secrets.key(config.database_url.as_deref())).await?;
    services.model.start().await?;
    parts.everything(listeners, &mut tasks);
    stack_file::write(&config.state_dir, &stack_file::content(config, &wiring, services, secrets, &demo)?)?;
    banner::print(config, secrets, &demo);
    Ok(())
}

/// Brings the schema up to date as a deployment does: by invoking the function.
async fn migrate(host: &Host, wiring: &Wiring) -> Result<()> {
    if !wiring.functions.iter().any(|function| function.folder == "migrate") {
        return Err(Error::new("the template has no function migrate"));
    }
    let failure = match host.invoke("migrate", Bytes::from_static(b"{}")).outcome().await {
        Ok(_) => return Ok(()),
        Err(Failure::Unhandled(kind)) => format!("it reports {kind}"),
        Err(Failure::Crashed) => "it crashed".into(),
        Err(Failure::TimedOut) => "it took too long".into(),
        Err(Failure::NotStarted(why)) => why,
    };
    Err(Error::new(format!("the migrations failed ({failure}); see logs/migrate.log")))
}

impl Started {
    /// Says when a server ends that nobody stopped; runs for ever.
    async fn watch(&self) {
        let lost = |name: &str| banner::say(&format!("{name} ended by itself; see logs/{name}.log"));
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.services.postgres.was_lost().await {
                lost("postgres");
            }
            if self.services.redis.was_lost().await {
                lost("redis");
            }
            let mut ministack = self.ministack.lock().await;
            if ministack.as_mut().is_some_and(Daemon::has_ended) {
                *ministack = None;
                lost("ministack");
            }
        }
    }

    async fn stop(self) -> Result<()> {
        // First whatever could start new work, then the work, then what it relies on.
        self.tasks.into_inner().shutdown().await;
        if let Some(host) = self.host.into_inner() {
            host.stop().await;
        }
        let ministack = async {
            match self.ministack.into_inner() {
                Some(daemon) => daemon.stop().await,
                None => Ok(()),
            }
        };
        let services = &self.services;
        let postgres =
            async { if services.postgres.is_external() { Ok(()) } else { services.postgres.stop().await } };
        let redis = async { if services.redis.is_external() { Ok(()) } else { services.redis.stop().await } };
        let ((), ministack, postgres, redis) =
            tokio::join!(services.model.stop(), ministack, postgres, redis);
        ministack.and(postgres).and(redis)
    }
}

/// The signals that end the stack.
struct Stop {
    signals: [tokio::signal::unix::Signal; 3],
}

impl Stop {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("signals");
        let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hangup] = signals.map(listen);
        Ok(Self { signals: [terminate?, interrupt?, hangup?] })
    }

    async fn wait(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.signals;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
