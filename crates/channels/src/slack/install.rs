//! Installing the app into a workspace (contracts.md 4.6): where the person agrees, and what the code he comes back
//! with stands for. It keeps nothing, and knows no tenant.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use konstruct_ports::{BoxFuture, InstallError, Installed, Installer};

use super::api::{ApiError, BotToken, SlackApi};

/// Where people agree. Slack's own page, whatever the API's address is.
pub const AUTHORIZE_URL: &str = "https://slack.com/oauth/v2/authorize";

/// What the app asks for: mentions, writing, direct messages, and messages in threads that are followed.
pub const SCOPES: &str = "app_mentions:read,channels:history,chat:write,groups:history,im:history";

/// Longest code that is worth sending on.
const CODE_BYTES_MAX: usize = 512;

/// Longest time for the exchange; the browser waits for it.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(8);

/// The page on which a person agrees to the installation; Slack gives `state` back to `redirect_url`.
#[must_use]
pub fn authorize_url(client_id: &str, redirect_url: &str, state: &str) -> String {
    let fields =
        [("client_id", client_id), ("scope", SCOPES), ("redirect_uri", redirect_url), ("state", state)];
    let query: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    format!("{AUTHORIZE_URL}?{}", query.join("&"))
}

/// Percent-encodes all but unreserved characters (RFC 3986).
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// Our app, as Slack knows it.
#[derive(Clone)]
pub struct SlackInstaller {
    api: SlackApi,
    client_id: String,
    client_secret: String,
    redirect_url: String,
}

impl fmt::Debug for SlackInstaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlackInstaller")
    }
}

impl SlackInstaller {
    /// `redirect_url` is the one that the person was sent away with.
    #[must_use]
    pub const fn new(api: SlackApi, client_id: String, client_secret: String, redirect_url: String) -> Self {
        Self { api, client_id, client_secret, redirect_url }
    }

    async fn exchanged(&self, code: &str) -> Result<Installed, InstallError> {
        if code.is_empty() || code.len() > CODE_BYTES_MAX {
            return Err(InstallError::Refused("invalid_code".to_owned()));
        }
        let client = (self.client_id.as_str(), self.client_secret.as_str());
        let answer = self.api.oauth_access(client, code, &self.redirect_url, EXCHANGE_LIMIT).await;
        let granted = answer.map_err(|error| match error {
            ApiError::Refused(code) => InstallError::Refused(code.to_string()),
            ApiError::RateLimited { .. } | ApiError::InDoubt | ApiError::Unreachable => InstallError::Away,
        })?;
        // A token that dies after 12 hours would take the installation with it.
        if granted.rotation().is_some() {
            return Err(InstallError::Unusable("the app has token rotation on"));
        }
        if BotToken::new(&granted.token()).is_err() {
            return Err(InstallError::Unusable("a token that no header can hold"));
        }
        let workspace = granted.installation_id().ok_or(InstallError::Unusable("no workspace"))?.to_owned();
        let details = [
            ("bot_user_id", granted.bot_user_id.clone()),
            ("app_id", granted.app_id.clone()),
            ("team_name", granted.team_name.clone()),
            ("scope", granted.scope.clone()),
            ("installed_by", granted.authed_user_id.clone()),
        ];
        let known = details.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Ok(Installed { workspace, token: granted.token(), details: known.collect::<BTreeMap<_, _>>() })
    }
}

impl Installer for SlackInstaller {
    fn exchange<'a>(&'a self, code: &'a str) -> BoxFuture<'a, Result<Installed, InstallError>> {
        Box::pin(self.exchanged(code))
    }
}

#[cfg(test)]
mod tests;
