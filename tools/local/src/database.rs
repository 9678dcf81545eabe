//! Roles, database and demo data, by way of psql as administrator.
//! Tables are the migrations' business: none is made here.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::{Context, Error, Result};
use crate::services::postgres::Postgres;

const DEMO: &str = include_str!("../demo.sql");

/// Makes the owner of the schema and the database.
pub async fn create(postgres: &Postgres) -> Result<()> {
    let password = postgres.password("konstruct_owner");
    let mut sql = format!(
        "SELECT 'CREATE ROLE konstruct_owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'konstruct_owner') \\gexec\n\
         ALTER ROLE konstruct_owner LOGIN CREATEROLE PASSWORD '{password}';\n"
    );
    if postgres.is_external() {
        sql.push_str(
            "SELECT format('ALTER DATABASE %I OWNER TO konstruct_owner', current_database()) \\gexec\n",
        );
        return psql(&postgres.admin_url(""), &sql).await.map(drop);
    }
    sql.push_str(
        "SELECT 'CREATE DATABASE konstruct OWNER konstruct_owner' \
         WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'konstruct') \\gexec\n",
    );
    psql(&postgres.admin_url("postgres"), &sql).await.map(drop)
}

/// Lets the roles that the migrations made log in, then loads the demo data, to which `tickets` (the URL of the demo's
/// server of tools) is known as `:'tickets_url'`.
pub async fn fill(postgres: &Postgres, tickets: &str) -> Result<()> {
    let logins =
        ["konstruct_app", "konstruct_channels", "konstruct_agent", "konstruct_platform"].map(|role| {
            let password = postgres.password(role);
            format!("ALTER ROLE {role} LOGIN PASSWORD '{password}';\n")
        });
    let sql = format!("\\set tickets_url '{tickets}'\nBEGIN;\n{}{DEMO}\nCOMMIT;\n", logins.concat());
    psql(&postgres.admin_url("konstruct"), &sql).await.map(drop)
}

/// Runs `sql`; gives back the rows, one a line and without decoration.
pub async fn psql(url: &str, sql: &str) -> Result<String> {
    let mut child = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", "-f", "-"])
        // Not as an argument: those can be read in the process list.
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("PGOPTIONS", "-c client_min_messages=warning")
        .envs(login(url)?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("psql (package postgresql-client)")?;
    if let Some(mut stdin) = child.stdin.take() {
        // A psql that stops at an error reads no further; its exit status tells.
        let _ = stdin.write_all(sql.as_bytes()).await;
    }
    let output = child.wait_with_output().await.context("psql")?;
    if output.status.success() {
        return String::from_utf8(output.stdout).context("psql");
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(format!("the database refuses: {}", said.lines().next().unwrap_or_default())))
}

/// A URL as libpq's environment variables.
fn login(url: &str) -> Result<Vec<(&'static str, String)>> {
    let rest = url.split_once("://").context("the database's URL is none")?.1;
    let (authority, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let (database, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "5432"));
    let decode = crate::gateway::parameters::decode;
    let mut all = vec![
        ("PGHOST", decode(host)),
        ("PGPORT", port.to_string()),
        ("PGUSER", decode(user)),
        ("PGPASSWORD", decode(password)),
        ("PGDATABASE", decode(database)),
    ];
    for (name, value) in crate::gateway::parameters::query(options) {
        match name.as_str() {
            "sslmode" => all.push(("PGSSLMODE", value)),
            "sslrootcert" => all.push(("PGSSLROOTCERT", value)),
            "host" => all.push(("PGHOST", value)),
            _ => {}
        }
    }
    Ok(all.into_iter().filter(|(_, value)| !value.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let login = login("postgres://a:p%40ss@db:5433/x?sslmode=require").unwrap();
        let expected = [
            ("PGHOST", "db"),
            ("PGPORT", "5433"),
            ("PGUSER", "a"),
            ("PGPASSWORD", "p@ss"),
            ("PGDATABASE", "x"),
            ("PGSSLMODE", "require"),
        ];
        assert_eq!(login, expected.map(|(name, value)| (name, value.to_string())));
    }
}
