//! The only door to tenant tables. A [`TenantTx`] is one transaction for one tenant in one network round trip:
//! BEGIN, the tenant, the statements and COMMIT leave together, so a future dropped half-way can leave neither
//! an open transaction nor a tenant behind. It never takes SQL from outside this crate.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::future::{join_all, try_join_all};
use konstruct_domain::TenantId;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row, Statement};

use crate::error::DbError;

/// One statement and its values.
pub(crate) type Step<'a> = (&'static str, &'a [&'a (dyn ToSql + Sync)]);

/// Connections idle for longer are not trusted: a Lambda may have been frozen meanwhile.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Connections as `konstruct_app`, for use with a tenant.
#[derive(Clone)]
pub struct TenantPool {
    pool: Pool,
}

impl std::fmt::Debug for TenantPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TenantPool")
    }
}

impl TenantPool {
    /// A pool of at most `size` connections. None is opened yet.
    ///
    /// # Errors
    /// The URL is not one.
    pub fn new(url: &str, size: usize) -> Result<Self, DbError> {
        Ok(Self { pool: open(url, size)? })
    }

    /// A transaction for one tenant.
    ///
    /// # Errors
    /// Postgres is away, or the role could see more than one tenant.
    pub async fn begin(&self, tenant: TenantId) -> Result<TenantTx, DbError> {
        Ok(TenantTx { client: self.pool.get().await?, tenant })
    }

    /// Opens a connection ahead of its first use and keeps it.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub async fn connect(&self) -> Result<(), DbError> {
        self.pool.get().await.map(drop).map_err(Into::into)
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn check(&self) -> Result<(), DbError> {
        self.pool.get().await?.simple_query("SELECT 1").await?;
        Ok(())
    }

    pub(crate) async fn raw(&self) -> Result<Object, DbError> {
        Ok(self.pool.get().await?)
    }
}

/// A transaction for one tenant: one method, one round trip. Dropped unused it has done nothing.
pub struct TenantTx {
    client: Object,
    pub(crate) tenant: TenantId,
}

impl std::fmt::Debug for TenantTx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantTx").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl TenantTx {
    /// Whose.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Runs the statements in order as one transaction; the rows of each.
    pub(crate) async fn run<const N: usize>(self, steps: [Step<'_>; N]) -> Result<[Vec<Row>; N], DbError> {
        let client = &self.client;
        let prepared: Vec<Statement> =
            try_join_all(steps.iter().map(|(sql, _)| client.prepare_cached(sql))).await?;
        // The tenant is a UUID, so its text needs no quoting. `true`: for this transaction only.
        let begin = format!("BEGIN; SELECT set_config('app.current_tenant', '{}', true)", self.tenant);
        pipelined(client, &begin, &prepared, steps).await
    }

    /// Runs one statement as a transaction; its rows.
    pub(crate) async fn query(
        self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DbError> {
        let [rows] = self.run([(sql, values)]).await?;
        Ok(rows)
    }
}

/// `begin`, the statements and COMMIT in one round trip; the rows of each statement.
pub(crate) async fn pipelined<const N: usize>(
    client: &Client,
    begin: &str,
    prepared: &[Statement],
    steps: [Step<'_>; N],
) -> Result<[Vec<Row>; N], DbError> {
    // Polled in order, each future sends before it waits: everything is on the wire after the first poll.
    let (began, results, committed) = tokio::join!(
        biased;
        client.batch_execute(begin),
        join_all(prepared.iter().zip(&steps).map(|(statement, (_, values))| client.query(statement, values))),
        client.batch_execute("COMMIT"),
    );
    began?;
    // When a statement failed, COMMIT answers well and has rolled back: each result counts.
    let rows = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    committed?;
    rows.try_into().map_err(|_| DbError::Configuration("a statement has no result".to_owned()))
}

/// A pool as every role uses it: checked on each new connection, never a connection that idled too long.
#[expect(clippy::disallowed_methods, reason = "the one place where pools are made")]
pub(crate) fn open(url: &str, size: usize) -> Result<Pool, DbError> {
    let config = configuration(url)?;
    let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = if config.get_ssl_mode() == tokio_postgres::config::SslMode::Disable {
        Manager::from_config(config, tokio_postgres::NoTls, fast)
    } else {
        Manager::from_config(config, tls(), fast)
    };
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(Duration::from_secs(5)))
        .create_timeout(Some(Duration::from_secs(5)))
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move {
                match client.query_typed(UNSAFE_ROLE, &[]).await {
                    Ok(rows) => match rows.first() {
                        Some(row) => Err(HookError::message(row.get::<_, String>(0))),
                        None => Ok(()),
                    },
                    Err(error) => Err(HookError::Backend(error)),
                }
            })
        }))
        .pre_recycle(Hook::sync_fn(|_, metrics| {
            if metrics.last_used() > IDLE_MAX { Err(HookError::message("idle for too long")) } else { Ok(()) }
        }))
        .build()
        .map_err(|error| DbError::Configuration(error.to_string()))
}

/// The connection settings that every role shares.
pub(crate) fn configuration(url: &str) -> Result<Config, DbError> {
    let mut config: Config =
        url.parse().map_err(|_| DbError::Configuration("the database URL is not one".to_owned()))?;
    config
        .application_name("konstruct")
        .connect_timeout(Duration::from_secs(3))
        .tcp_user_timeout(Duration::from_secs(10))
        .keepalives_idle(Duration::from_secs(30))
        .options("-c statement_timeout=10s -c idle_in_transaction_session_timeout=10s");
    Ok(config)
}

/// TLS with the compiled-in roots.
pub(crate) fn tls() -> tokio_postgres_rustls::MakeRustlsConnect {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tokio_postgres_rustls::MakeRustlsConnect::new(config)
}

/// A row that says why, when the connection's role is one that row level security does not hold.
const UNSAFE_ROLE: &str = "
    SELECT CASE
        WHEN r.rolsuper THEN 'is a superuser'
        WHEN r.rolbypassrls THEN 'bypasses row level security'
        ELSE 'owns tables'
    END
    FROM pg_roles r
    WHERE r.rolname = current_user
      AND (r.rolsuper OR r.rolbypassrls OR EXISTS (
          SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relowner = r.oid AND c.relkind IN ('r', 'p') AND n.nspname = 'public'))";
