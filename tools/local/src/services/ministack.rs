//! ministack: the SQS of the stack. Only the pass-through and the event source talk to it.
//! Its log must hold no message text, and its queues must survive a restart.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::config::Config;
use crate::error::{Context, Result};
use crate::sqs::client::SqsClient;
use crate::template::{ACCOUNT, REGION};

use super::daemon::{Daemon, Plan};

const START_LIMIT: Duration = Duration::from_secs(30);

/// Starts it and waits until SQS answers.
pub async fn start(config: &Config, client: &SqsClient) -> Result<Daemon> {
    let folder = config.state_dir.join("sqs");
    let temporary = config.state_dir.join("tmp");
    for path in [&folder, &temporary] {
        std::fs::create_dir_all(path).context(path.display())?;
    }
    let port = config.ports.ministack();
    let plan = Plan {
        name: "ministack",
        program: config.python(),
        // The unused -X option names whose process this is, for a look at the process list.
        arguments: vec![
            "-X".into(),
            format!("stack={}", config.state_dir.display()),
            "-m".into(),
            "ministack".into(),
        ],
        environment: vec![
            ("GATEWAY_PORT", port.to_string()),
            ("BIND_HOST", "127.0.0.1".into()),
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("MINISTACK_REGION", REGION.into()),
            ("MINISTACK_ACCOUNT_ID", ACCOUNT.into()),
            ("SERVICES", "sqs".into()),
            // Without these two it also listens on all addresses.
            ("IOT_MTLS_ENABLED", "false".into()),
            ("SFTP_ENABLED", "false".into()),
            ("PERSIST_STATE", "1".into()),
            // ministack's own variable, not the stack's.
            ("STATE_DIR", folder.display().to_string()),
            ("LOG_LEVEL", "WARNING".into()),
            ("TMPDIR", temporary.display().to_string()),
            ("HOME", temporary.display().to_string()),
            ("PYTHONDONTWRITEBYTECODE", "1".into()),
            ("PYTHONUNBUFFERED", "1".into()),
        ],
        folder,
        identity: Vec::new(),
        stop_signal: Signal::TERM,
    };
    let mut daemon = plan.start(&config.logs())?;
    daemon.until_ready(START_LIMIT, || async { client.call("ListQueues", &json!({})).await.is_ok() }).await?;
    Ok(daemon)
}
