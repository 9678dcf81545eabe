//! Installing an app: `oauth.v2.access`, and `apps.uninstall`.
//! It checks no secret and no code: both only have to be there.
//!
//! The code says into which workspace the app is installed, so that a test can install several: the first word
//! in it that looks like a workspace's id (a `T`, then 8 or more capitals and digits), as in `T00FAKE00CC` or
//! `code-T00FAKE00CC-2`; without one it is `T00FAKE00ZZ`. A code may be used again; each use gives a fresh token.

use serde_json::json;

use crate::ids;
use crate::recorder::arguments::Arguments;

use super::{APP, BOT_USER, Outcome};

const USER: &str = "U00FAKEUSER1";
const WORKSPACE: &str = "T00FAKE00ZZ";
const SCOPES: &str = "app_mentions:read,assistant:write,channels:history,chat:write,im:history";

/// A code for a token.
pub fn access(arguments: &Arguments) -> Outcome {
    client(arguments)?;
    let code = arguments.text("code").ok_or("invalid_code")?;
    let workspace = workspace(&code);
    Ok(json!({
        "ok": true,
        "app_id": APP,
        "authed_user": {"id": USER},
        "scope": SCOPES,
        "token_type": "bot",
        "access_token": format!("xoxb-{}-{}", workspace.to_ascii_lowercase(), ids::uuid().simple()),
        "bot_user_id": BOT_USER,
        "team": {"id": workspace, "name": format!("Workspace {workspace}")},
        "enterprise": null,
        "is_enterprise_install": false,
    }))
}

/// The app leaves the workspace.
pub fn uninstall(arguments: &Arguments) -> Outcome {
    client(arguments)?;
    Ok(json!({"ok": true}))
}

/// Both halves of who asks, by HTTP Basic or as arguments.
fn client(arguments: &Arguments) -> Result<(), &'static str> {
    let (told_id, told_secret) = arguments.client.clone().unwrap_or_default();
    let given = |told: String, name| !told.is_empty() || arguments.text(name).is_some();
    if !given(told_id, "client_id") {
        return Err("invalid_client_id");
    }
    given(told_secret, "client_secret").then_some(()).ok_or("bad_client_secret")
}

fn workspace(code: &str) -> &str {
    let is_id = |word: &&str| {
        word.strip_prefix('T').is_some_and(|rest| {
            rest.len() >= 8 && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        })
    };
    code.split(|letter: char| !letter.is_ascii_alphanumeric()).find(is_id).unwrap_or(WORKSPACE)
}
