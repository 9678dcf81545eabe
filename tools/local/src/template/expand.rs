//! Has AWS's own translator turn the SAM template into plain CloudFormation.
//! It must not interpret the template itself.

use serde_json::Value;
use tokio::process::Command;

use crate::config::Config;
use crate::error::{Context, Error, Result};

/// The template of the checkout, expanded.
pub async fn expand(config: &Config) -> Result<Value> {
    let output = Command::new(config.python())
        .arg(config.checkout.join("infra/expand.py"))
        .arg(config.checkout.join("infra/template.yaml"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true)
        .output()
        .await
        .context(config.python().display())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        return Err(Error::new(format!("infra/template.yaml does not expand: {last}")));
    }
    serde_json::from_slice(&output.stdout).context("the expanded template")
}
