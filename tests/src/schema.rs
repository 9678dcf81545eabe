//! The schema, made once per run by the product's own migrations as `konstruct_owner`. Tests share one database,
//! each with tenants of its own; a test that looks at all tenants gets a database of its own from the template.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use konstruct_postgres::{Login, Roots};
use tokio_postgres::{Client, Config, NoTls};

/// Where the schema is.
#[derive(Debug, Clone)]
pub struct Schema {
    /// The superuser's URL, of whatever database.
    superuser: Config,
    password: String,
    /// The database that the tests share.
    pub database: String,
}

impl Schema {
    /// Makes what is missing. Called under a lock.
    #[must_use]
    pub fn ensure(superuser_url: &str) -> Self {
        let superuser: Config = superuser_url.parse().expect("TEST_POSTGRES_URL is a URL");
        let password = superuser.get_password().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let database = format!("konstruct_{:016x}", migrations_hash());
        let schema = Self { superuser, password, database };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(schema.make());
        schema
    }

    async fn make(&self) {
        let root = self.superuser("postgres").await;
        let there = "SELECT 1 FROM pg_database WHERE datname = $1";
        if root.query_opt(there, &[&self.database]).await.expect("a query").is_some() {
            return;
        }
        let owner = "SELECT 1 FROM pg_roles WHERE rolname = 'konstruct_owner'";
        if root.query_opt(owner, &[]).await.expect("a query").is_none() {
            root.batch_execute("CREATE ROLE konstruct_owner LOGIN CREATEROLE").await.expect("an owner");
        }
        self.set_password(&root, "konstruct_owner").await;
        let template = self.template();
        root.batch_execute(&format!("DROP DATABASE IF EXISTS {template} WITH (FORCE)"))
            .await
            .expect("no database");
        root.batch_execute(&format!("CREATE DATABASE {template} OWNER konstruct_owner"))
            .await
            .expect("a database");
        let login = Login::new(&self.url("konstruct_owner", &template), Roots::CompiledIn).expect("a URL");
        konstruct_postgres::migrate::migrate(&login).await.expect("migrations");
        for role in ["konstruct_app", "konstruct_channels", "konstruct_agent", "konstruct_platform"] {
            self.set_password(&root, role).await;
        }
        self.create(&root, &self.database).await;
    }

    async fn set_password(&self, root: &Client, role: &str) {
        let sql = format!("ALTER ROLE {role} PASSWORD '{}'", self.password.replace('\'', "''"));
        root.batch_execute(&sql).await.expect("a password");
    }

    async fn create(&self, root: &Client, database: &str) {
        let template = self.template();
        let sql = format!("CREATE DATABASE {database} TEMPLATE {template} OWNER konstruct_owner");
        // The template is busy while its last connection goes away.
        for _ in 0..50 {
            match root.batch_execute(&sql).await {
                Ok(()) => return,
                Err(error) if error.code().is_some_and(|code| code.code() == "55006") => {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
                Err(error) => panic!("CREATE DATABASE: {error:?}"),
            }
        }
        panic!("the template database stays busy");
    }

    fn template(&self) -> String {
        format!("{}_template", self.database)
    }

    /// A database for one test alone.
    pub async fn own_database(&self) -> String {
        let name = format!("t_{}", uuid::Uuid::new_v4().simple());
        self.create(&self.superuser("postgres").await, &name).await;
        name
    }

    /// The URL of a database for a role.
    #[must_use]
    pub fn url(&self, role: &str, database: &str) -> String {
        let host = match self.superuser.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            _ => "127.0.0.1".to_owned(),
        };
        let port = self.superuser.get_ports().first().copied().unwrap_or(5432);
        format!("postgres://{role}:{}@{host}:{port}/{database}?sslmode=disable", self.password)
    }

    /// A connection behind the scenes: sees and may do everything.
    pub async fn superuser(&self, database: &str) -> Client {
        let mut config = self.superuser.clone();
        connect(config.dbname(database)).await
    }

    /// A raw connection as any role.
    pub async fn connect_as(&self, role: &str, database: &str) -> Client {
        connect(&self.url(role, database).parse().expect("a URL")).await
    }
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("a connection to Postgres");
    tokio::spawn(connection);
    client
}

/// Another set of migrations is another database.
fn migrations_hash() -> u64 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("migrations")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.file_name().hash(&mut hasher);
        std::fs::read(&file).expect("a migration").hash(&mut hasher);
    }
    hasher.finish()
}
