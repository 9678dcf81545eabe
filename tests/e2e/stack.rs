//! The stacks under test: one `local` process for the whole run, and one of its own for what disturbs a stack, each on
//! free ports, with a state of its own. They end when this process does; none is started before a test asks for it.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::unlogged;

/// How long a stack may take to start: Postgres, Redis and the queues, on a busy machine.
const START_MAX: Duration = Duration::from_secs(120);

/// A running stack.
pub struct Stack {
    pub info: Value,
    pub state: PathBuf,
}

/// A demo user.
#[derive(Clone)]
pub struct User {
    pub id: String,
    pub tenant: String,
    pub token: String,
}

impl Stack {
    /// The stack of this run.
    pub fn get() -> &'static Self {
        unlogged::at_work();
        static STACK: OnceLock<Stack> = OnceLock::new();
        STACK.get_or_init(|| Self::own("shared", &[]))
    }

    /// A further stack, under a name of its own, with these variables.
    pub fn own(name: &str, variables: &'static [(&str, &str)]) -> Self {
        let exe = std::env::current_exe().expect("this test's path");
        let target = exe.ancestors().nth(2).expect("target/local");
        let local = target.join("local");
        assert!(local.exists(), "build the stack first: make build-local ({} is missing)", local.display());
        let state = std::env::temp_dir().join(format!("konstruct-e2e-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&state).expect("a state folder");
        let log = std::fs::File::create(state.join("local.log")).expect("a log");
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        // --pdeathsig: the stack ends with the thread that starts it, so that thread never ends.
        let (sent, started) = std::sync::mpsc::channel();
        let folder = state.clone();
        std::thread::spawn(move || {
            let child = Command::new("setpriv")
                .args(["--pdeathsig", "TERM", "--"])
                .arg(&local)
                .current_dir(root)
                .env("STATE_DIR", &folder)
                .env("PORT_BASE", free_ports().to_string())
                .env("CARGO_TARGET_DIR", target_dir(&local))
                .envs(variables.iter().copied())
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a log"))
                .stderr(log)
                .spawn();
            sent.send(child.is_ok()).expect("somebody waits");
            if let Ok(mut child) = child {
                let _ = child.wait();
            }
            loop {
                std::thread::park();
            }
        });
        assert_eq!(started.recv(), Ok(true), "the stack could not be started");
        let info = wait_for_stack(&state);
        unlogged::stack(&state, &info);
        variables.iter().filter(|(name, _)| name.ends_with("KEY")).for_each(|(_, key)| unlogged::secret(key));
        Self { info, state }
    }

    pub fn url(&self, name: &str) -> &str {
        self.info[name].as_str().unwrap_or_else(|| panic!("stack.json has no {name}"))
    }

    fn tenant(&self, slug: &str) -> &Value {
        let tenants = self.info["tenants"].as_array().expect("tenants");
        tenants.iter().find(|t| t["slug"] == slug).expect("a demo tenant")
    }

    pub fn tenant_id(&self, slug: &str) -> String {
        self.tenant(slug)["id"].as_str().expect("an id").to_owned()
    }

    /// The tenant's default agent, and its other one.
    pub fn agents(&self, slug: &str) -> (String, String) {
        let agents = self.tenant(slug)["agents"].as_array().expect("agents");
        let id = |default: bool| {
            let agent = agents.iter().find(|a| a["is_default"] == default).expect("an agent");
            agent["id"].as_str().expect("an id").to_owned()
        };
        (id(true), id(false))
    }

    /// The n-th user of a role.
    pub fn user(&self, slug: &str, role: &str, n: usize) -> User {
        let users = self.tenant(slug)["users"].as_array().expect("users");
        let user = users.iter().filter(|u| u["role"] == role).nth(n).expect("a demo user");
        let text = |field: &str| user[field].as_str().expect("a text").to_owned();
        User { id: text("id"), tenant: self.tenant_id(slug), token: text("token") }
    }

    pub fn member(&self, slug: &str) -> User {
        self.user(slug, "tenant_member", 0)
    }

    pub fn admin(&self, slug: &str) -> User {
        self.user(slug, "tenant_admin", 0)
    }

    pub fn platform_admin_token(&self) -> String {
        self.info["platform_admin"]["token"].as_str().expect("a token").to_owned()
    }

    /// A digest of every row of a tenant, table by table: equal before and after means nothing changed.
    pub fn digest(&self, tenant: &str) -> String {
        let tables = [
            "agents",
            "channel_connections",
            "llm_usage",
            "tenant_members",
            "turn_steps",
            "turns",
            "web_conversation_messages",
            "web_conversations",
        ];
        let selects = tables.map(|table| {
            format!(
                "SELECT '{table}', count(*), md5(coalesce(string_agg(md5(t::text), '' ORDER BY md5(t::text)), '')) \
                 FROM {table} t WHERE tenant_id = '{tenant}'"
            )
        });
        self.sql(&selects.join(" UNION ALL "))
    }

    /// Runs SQL as administrator; what psql prints.
    pub fn sql(&self, sql: &str) -> String {
        let out = Command::new("psql")
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                sql,
                self.url("admin_database_url"),
            ])
            .output()
            .expect("psql");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Every log of the stack.
    pub fn logs(&self) -> Vec<(PathBuf, String)> {
        let folder = std::fs::read_dir(self.state.join("logs")).expect("logs");
        folder
            .map(|entry| {
                let path = entry.expect("a log").path();
                let text = String::from_utf8_lossy(&std::fs::read(&path).expect("a log")).into_owned();
                (path, text)
            })
            .collect()
    }
}

fn target_dir(local: &std::path::Path) -> PathBuf {
    local.ancestors().nth(2).expect("the target folder").to_path_buf()
}

fn wait_for_stack(state: &std::path::Path) -> Value {
    let began = Instant::now();
    let path = state.join("stack.json");
    loop {
        if let Ok(text) = std::fs::read_to_string(&path) {
            return serde_json::from_str(&text).expect("stack.json");
        }
        let log = std::fs::read_to_string(state.join("local.log")).unwrap_or_default();
        assert!(began.elapsed() < START_MAX, "the stack did not start: {log}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Twenty free ports in a row; each call looks elsewhere, for those of the last one may not be taken yet.
fn free_ports() -> u16 {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    let seed = std::process::id() as u16;
    let from = CALLS.fetch_add(1, Ordering::Relaxed) * 200;
    (from..from + 200)
        .map(|n| 10_000 + (seed.wrapping_mul(20).wrapping_add(n * 20)) % 20_000)
        .find(|base| (*base..base + 20).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()))
        .expect("twenty free ports")
}
