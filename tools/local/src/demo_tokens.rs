//! Gives each demo installation of Slack a bot token of its own, stored as the product stores one.
//! A token that can be read is left alone, be it a demo's or of an installation made since; none is printed or logged.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::database::psql;
use crate::demo::Demo;
use crate::envelope;
use crate::error::{Context, Result};
use crate::secrets::{hex, sign};
use crate::services::postgres::Postgres;

const BOT_USER: &str = "U00FAKEBOT01";

/// One JSON object a line.
const INSTALLATIONS: &str = "SELECT json_build_object('tenant', tenant_id, 'id', id, 'workspace', workspace_id, \
     'bot_token', config -> 'bot_token') FROM channel_connections WHERE channel = 'slack' AND status = 'active';\n";

#[derive(Debug, Deserialize)]
struct Installation {
    tenant: String,
    id: String,
    workspace: String,
    bot_token: Option<Value>,
}

/// Stores a token where a demo installation has none that `key` (base64) opens.
pub async fn seed(postgres: &Postgres, demo: &Demo, key: &str) -> Result<()> {
    let key = BASE64_STANDARD.decode(key).context("the key of stored secrets")?;
    let url = postgres.admin_url("konstruct");
    let mut sql = String::new();
    for line in psql(&url, INSTALLATIONS).await?.lines() {
        let installation: Installation = serde_json::from_str(line).context("channel_connections")?;
        if demo.has_slack_workspace(&installation.tenant, &installation.workspace) {
            sql.push_str(&statement(&installation, &key)?.unwrap_or_default());
        }
    }
    if sql.is_empty() { Ok(()) } else { psql(&url, &sql).await.map(drop) }
}

/// What stores the token; none where there is one.
fn statement(installation: &Installation, key: &[u8]) -> Result<Option<String>> {
    let Installation { tenant, id, workspace, bot_token } = installation;
    let context = format!("tenant={tenant}&row={id}&purpose=slack_bot_token");
    if bot_token.as_ref().is_some_and(|sealed| envelope::open(key, &context, sealed).is_some()) {
        return Ok(None);
    }
    let sealed = envelope::seal(key, &context, &token(workspace, key))?;
    let config = json!({"bot_user_id": BOT_USER, "bot_token": sealed}).to_string().replace('\'', "''");
    Ok(Some(format!(
        "UPDATE channel_connections SET config = config || '{config}'::jsonb \
         WHERE tenant_id = '{tenant}' AND id = '{id}';\n"
    )))
}

/// The demo's token of a workspace: the same as long as the key is.
fn token(workspace: &str, key: &[u8]) -> String {
    let random = hex(&sign(key, format!("bot token of {workspace}").as_bytes()));
    format!("xoxb-{}-{}", workspace.to_ascii_lowercase(), random.get(..24).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [3; 32];
    const CONTEXT: &str = "tenant=0192f0a1-0000-7000-8000-0000000000aa&row=0192f0a1-0000-7000-8000-00000000c001\
         &purpose=slack_bot_token";

    fn installation(bot_token: Option<Value>) -> Installation {
        Installation {
            tenant: "0192f0a1-0000-7000-8000-0000000000aa".into(),
            id: "0192f0a1-0000-7000-8000-00000000c001".into(),
            workspace: "T00FAKE00AA".into(),
            bot_token,
        }
    }

    fn stored(sql: &str) -> Value {
        let start = sql.find("config || '").unwrap() + "config || '".len();
        serde_json::from_str(&sql[start..sql.find("'::jsonb").unwrap()]).unwrap()
    }

    #[test]
    fn an_installation_without_a_token_gets_a_sealed_one_of_its_own() {
        let sql = statement(&installation(None), &KEY).unwrap().unwrap();
        let config = stored(&sql);
        assert_eq!(config["bot_user_id"], BOT_USER);
        let token = envelope::open(&KEY, CONTEXT, &config["bot_token"]).unwrap();
        assert!(token.starts_with("xoxb-t00fake00aa-"), "{token}");
        assert!(!sql.contains("xoxb-"));
        assert_ne!(token, super::token("T00FAKE00BB", &KEY));
    }

    #[test]
    fn a_token_that_opens_stays_and_one_that_does_not_is_replaced() {
        let own = envelope::seal(&KEY, CONTEXT, "xoxb-installed-since").unwrap();
        assert_eq!(statement(&installation(Some(own)), &KEY).unwrap(), None);
        let other_key = envelope::seal(&[4; 32], CONTEXT, "xoxb-lost").unwrap();
        for lost in [other_key, json!("xoxb-in-clear"), json!({})] {
            let sql = statement(&installation(Some(lost)), &KEY).unwrap().unwrap();
            assert!(envelope::open(&KEY, CONTEXT, &stored(&sql)["bot_token"]).is_some());
        }
    }
}
