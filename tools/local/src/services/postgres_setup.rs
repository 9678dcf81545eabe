//! Finds the installed Postgres and makes the private cluster once.
//! A cluster that is half made must never be taken for one: it gets its name when it is whole.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use crate::error::{Context, Error, Result};

use super::daemon::{OWN_FOLDER, setpriv};

/// Only with a password, and only from this machine.
const HBA: &str = "host all all 127.0.0.1/32 scram-sha-256\n";

/// The Postgres programs and where the cluster is.
#[derive(Debug)]
pub struct Installation {
    programs: PathBuf,
    /// The cluster's folder.
    pub data: PathBuf,
    /// As root, the user and group Postgres runs as: it refuses to run as root.
    account: Option<(u32, u32)>,
}

impl Installation {
    /// The installed version that fits the cluster in `state_dir`, else the newest.
    pub fn find(state_dir: &Path) -> Result<Self> {
        let data = state_dir.join("postgres");
        let wanted =
            std::fs::read_to_string(data.join("PG_VERSION")).ok().map(|text| text.trim().to_string());
        let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .filter(|(_, programs)| programs.join("initdb").exists())
            .collect();
        found.sort();
        let chosen = match &wanted {
            Some(version) => found.into_iter().find(|(found, _)| found.to_string() == *version),
            None => found.pop(),
        };
        let (_, programs) = chosen.context(match wanted {
            Some(version) => format!("the data is of Postgres {version}, which is not installed: apt-get install postgresql-{version}, or make dev-reset"),
            None => "Postgres is not installed: apt-get install postgresql".into(),
        })?;
        let is_root = rustix::process::geteuid().is_root();
        let account = if is_root { Some(account("postgres")?) } else { None };
        Ok(Self { programs, data, account })
    }

    /// The path of one of Postgres' programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Options of setpriv that say as whom Postgres runs.
    pub fn identity(&self) -> Vec<String> {
        match self.account {
            Some((user, group)) => {
                vec![format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".into()]
            }
            None => Vec::new(),
        }
    }

    /// Makes the cluster, where there is none.
    pub async fn prepare(&self, password: &str) -> Result<()> {
        if self.data.join("PG_VERSION").exists() {
            return Ok(());
        }
        let fresh = self.data.with_extension("new");
        if fresh.exists() {
            std::fs::remove_dir_all(&fresh).context(fresh.display())?;
        }
        std::fs::create_dir_all(&fresh).context(fresh.display())?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o700)).context(fresh.display())?;
        if let Some((user, group)) = self.account {
            chown(&fresh, Some(user), Some(group)).context(fresh.display())?;
        }
        let options = [
            "-D",
            OWN_FOLDER,
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--auth=trust",
            "--no-sync",
        ];
        self.run(&fresh, "initdb", &options, "").await?;
        let sql = format!("ALTER ROLE postgres PASSWORD '{password}';\n");
        self.run(&fresh, "postgres", &["--single", "-D", OWN_FOLDER, "postgres"], &sql).await?;
        std::fs::write(fresh.join("pg_hba.conf"), HBA).context("pg_hba.conf")?;
        std::fs::rename(&fresh, &self.data).context(self.data.display())
    }

    /// Runs a program inside `folder`.
    async fn run(&self, folder: &Path, program: &str, arguments: &[&str], input: &str) -> Result<()> {
        let mut child = setpriv()
            .args(self.identity())
            .args(["--pdeathsig", "TERM", "--"])
            .arg(self.program(program))
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context(program)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await.context(program)?;
        }
        let output = child.wait_with_output().await.context(program)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Error::new(format!("{program}: {}", said.lines().last().unwrap_or_default())))
    }
}

fn account(name: &str) -> Result<(u32, u32)> {
    let all = std::fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let mut entries = all.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let numbers = entries.find_map(|fields| match fields.as_slice() {
        [user, _, id, group, ..] if *user == name => Some((id.parse().ok()?, group.parse().ok()?)),
        _ => None,
    });
    numbers.context(format_args!("there is no user {name}; as root, Postgres runs as that one"))
}
