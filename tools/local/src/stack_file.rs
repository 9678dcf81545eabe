//! `stack.json`: where everything is, for whoever drives the stack from outside; and `environments.json`: what each
//! function is given, for whoever runs one outside. They exist only while everything answers.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::addresses::Addresses;
use crate::config::Config;
use crate::demo::Demo;
use crate::error::{Context, Result};
use crate::secrets::Secrets;
use crate::services::Services;
use crate::template::{ACCOUNT, Wiring};
use crate::token;

const STACK: &str = "stack.json";
const ENVIRONMENTS: &str = "environments.json";

/// Writes both, `stack.json` last: whoever waits for that one finds the other.
pub fn write(state_dir: &Path, stack: &Value, environments: &Value) -> Result<()> {
    write_one(&state_dir.join(ENVIRONMENTS), environments)?;
    write_one(&state_dir.join(STACK), stack)
}

/// Writes a file in one step.
fn write_one(path: &Path, content: &Value) -> Result<()> {
    let aside = path.with_extension("json.new");
    let text = serde_json::to_string_pretty(content).context(path.display())?;
    // It holds passwords and tokens: for its owner only.
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .context(aside.display())?;
    file.write_all(text.as_bytes()).context(aside.display())?;
    std::fs::rename(&aside, path).context(path.display())
}

/// Removes them, where they are there.
pub fn remove(state_dir: &Path) {
    for name in [STACK, ENVIRONMENTS] {
        // It is not there where the start failed.
        let _ = std::fs::remove_file(state_dir.join(name));
    }
}

/// The content of `stack.json`.
pub fn content(
    config: &Config,
    wiring: &Wiring,
    services: &Services,
    secrets: &Secrets,
    demo: &Demo,
) -> Result<Value> {
    let addresses = Addresses::of(config);
    let (queue, dead_letter) = work_queue(wiring)?;
    let queue_url = |name: &str| format!("{}/{ACCOUNT}/{name}", addresses.sqs());
    let (platform_admin, tenants) = demo.for_stack_file(&secrets.jwt);
    Ok(json!({
        "http_url": addresses.http(),
        "ws_url": addresses.websocket(),
        "management_url": addresses.management(),
        "portal_url": addresses.portal(),
        "database_url": services.postgres.url("konstruct_app")?,
        "admin_database_url": services.postgres.admin_url("konstruct"),
        "redis_url": services.redis.url().trim_end_matches('/'),
        "queue_url": queue_url(&queue),
        "dlq_url": queue_url(&dead_letter),
        "sqs_endpoint": addresses.sqs(),
        "model_url": addresses.model(),
        "recorder_url": addresses.recorder(),
        "jwt": {"issuer": token::ISSUER, "audience": token::AUDIENCE, "algorithm": "HS256", "secret": secrets.jwt},
        "secrets": config.channels.for_stack_file(),
        "platform_admin": platform_admin,
        "tenants": tenants,
    }))
}

/// The agent's queue and its dead-letter queue.
fn work_queue(wiring: &Wiring) -> Result<(String, String)> {
    let mapping = wiring.mappings.iter().find(|mapping| mapping.function == "agent");
    let name = &mapping.context("the template feeds no function named agent")?.queue;
    let queue = wiring.queues.iter().find(|queue| queue.name == *name);
    let dead_letter = queue.and_then(|queue| queue.dead_letter.clone());
    Ok((name.clone(), dead_letter.context("the agent's queue has no dead-letter queue")?))
}
