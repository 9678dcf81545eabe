//! What the environment says of the channels: where their APIs are, and the secrets they share with us.
//! Values go to the template's parameters and to `stack.json`, never to a log.

use std::fmt;

use serde_json::{Map, Value};

/// Where a channel's API is: variable, parameter of the template, path at the recorder.
const APIS: [(&str, &str, &str); 3] = [
    ("SLACK_API_BASE_URL", "SlackApiBaseUrl", "/slack/api"),
    ("WHATSAPP_API_BASE_URL", "WhatsAppApiBaseUrl", "/whatsapp"),
    ("TELEGRAM_API_BASE_URL", "TelegramApiBaseUrl", "/telegram"),
];

/// One more value of a channel.
struct Entry {
    variable: &'static str,
    /// Parameter of the template.
    parameter: &'static str,
    /// Its name under `secrets` in `stack.json`.
    listed: Option<&'static str>,
    /// The value where the variable is not set.
    demo: &'static str,
}

const ENTRIES: [Entry; 7] = [
    entry(
        "SLACK_SIGNING_SECRET",
        "SlackSigningSecret",
        Some("slack_signing_secret"),
        "demo-slack-signing-secret",
    ),
    entry("SLACK_CLIENT_ID", "SlackClientId", None, "demo-slack-client-id"),
    entry("SLACK_CLIENT_SECRET", "SlackClientSecret", None, "demo-slack-client-secret"),
    entry("SLACK_APP_ID", "SlackAppId", None, ""),
    entry(
        "WHATSAPP_APP_SECRET",
        "WhatsAppAppSecret",
        Some("whatsapp_app_secret"),
        "demo-whatsapp-app-secret",
    ),
    entry(
        "WHATSAPP_VERIFY_TOKEN",
        "WhatsAppVerifyToken",
        Some("whatsapp_verify_token"),
        "demo-whatsapp-verify-token",
    ),
    entry(
        "TELEGRAM_SECRET_TOKEN",
        "TelegramSecretToken",
        Some("telegram_secret_token"),
        "demo-telegram-secret-token",
    ),
];

const fn entry(
    variable: &'static str,
    parameter: &'static str,
    listed: Option<&'static str>,
    demo: &'static str,
) -> Entry {
    Entry { variable, parameter, listed, demo }
}

/// The channels' settings.
#[derive(Clone)]
pub struct Channels {
    /// In the order of [`APIS`]; none: the recorder.
    apis: [Option<String>; APIS.len()],
    /// In the order of [`ENTRIES`].
    values: [String; ENTRIES.len()],
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").field("apis", &self.apis).finish_non_exhaustive()
    }
}

impl Channels {
    /// Asks `variable` for the environment's values.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            apis: APIS.map(|(name, ..)| variable(name).map(|url| url.trim_end_matches('/').to_string())),
            values: ENTRIES.map(|entry| variable(entry.variable).unwrap_or_else(|| entry.demo.into())),
        }
    }

    /// The values for the template's parameters; `recorder` is the recorder's root.
    pub fn parameters(&self, recorder: &str) -> Vec<(&'static str, String)> {
        let apis = APIS.iter().zip(&self.apis).map(|((_, parameter, path), url)| {
            (*parameter, url.clone().unwrap_or_else(|| format!("{recorder}{path}")))
        });
        let values = ENTRIES.iter().zip(&self.values).map(|(entry, value)| (entry.parameter, value.clone()));
        apis.chain(values).collect()
    }

    /// `secrets` of `stack.json`.
    pub fn for_stack_file(&self) -> Map<String, Value> {
        let listed = ENTRIES.iter().zip(&self.values);
        listed.filter_map(|(entry, value)| Some((entry.listed?.to_string(), value.clone().into()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(channels: &Channels, name: &str) -> String {
        let all = channels.parameters("http://127.0.0.1:8705");
        all.into_iter().find(|(parameter, _)| *parameter == name).unwrap().1
    }

    #[test]
    fn without_variables_answers_go_to_the_recorder_and_secrets_are_the_demos() {
        let channels = Channels::read(|_| None);
        assert_eq!(parameter(&channels, "SlackApiBaseUrl"), "http://127.0.0.1:8705/slack/api");
        assert_eq!(parameter(&channels, "WhatsAppApiBaseUrl"), "http://127.0.0.1:8705/whatsapp");
        assert_eq!(parameter(&channels, "TelegramApiBaseUrl"), "http://127.0.0.1:8705/telegram");
        assert_eq!(parameter(&channels, "SlackAppId"), "");
        let secrets = channels.for_stack_file();
        let names: Vec<_> = secrets.keys().map(String::as_str).collect();
        let expected =
            ["slack_signing_secret", "telegram_secret_token", "whatsapp_app_secret", "whatsapp_verify_token"];
        assert_eq!(names, expected);
        assert_eq!(secrets["slack_signing_secret"], parameter(&channels, "SlackSigningSecret"));
    }

    #[test]
    fn a_variable_comes_before_the_demos_value_and_is_not_shown() {
        let set = |name: &str| match name {
            "SLACK_API_BASE_URL" => Some("https://slack.example/api/".to_string()),
            "SLACK_SIGNING_SECRET" => Some("hidden-one".to_string()),
            _ => None,
        };
        let channels = Channels::read(set);
        assert_eq!(parameter(&channels, "SlackApiBaseUrl"), "https://slack.example/api");
        assert_eq!(parameter(&channels, "SlackSigningSecret"), "hidden-one");
        assert!(!format!("{channels:?}").contains("hidden-one"));
    }
}
