//! What Slack posts to us, read once and leniently: whatever is not understood is ignored with a reason, and nothing
//! in a body can make reading fail otherwise. It believes every body, so `signature` comes first.

mod json;
mod message;
mod text;

use serde_json::value::RawValue;
use time::OffsetDateTime;

use self::json::Object;
pub use self::message::{Addressed, SlackMessage};
use super::ts::is_id;

/// What a body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Slack checks the address: the challenge is to be answered as it is (contracts.md 4.2).
    UrlVerification {
        /// What to answer.
        challenge: String,
    },
    /// Slack checks our certificate.
    SslCheck,
    /// Slack drops events of this workspace for a while: more than 30,000 came in an hour.
    RateLimited {
        /// Whose events.
        team_id: Option<String>,
    },
    /// The app was removed.
    Uninstalled {
        /// From where.
        workspace: Workspace,
        /// When, if the event says so.
        at: Option<OffsetDateTime>,
    },
    /// Tokens were taken back.
    TokensRevoked {
        /// Where.
        workspace: Workspace,
        /// Whether one of them is a bot's: then the installation is of no use any more.
        bot: bool,
        /// When, if the event says so.
        at: Option<OffsetDateTime>,
    },
    /// A person's message, which may be meant for us.
    Message(Box<SlackMessage>),
    /// Nothing for us.
    Ignored(Ignored),
}

/// Why an event is nothing for us; what a log may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// No JSON object, or not one of Slack's.
    NotUnderstood,
    /// An event or a type we did not ask for.
    OtherType,
    /// Another app's.
    OtherApp,
    /// Written by a bot, us included.
    Bot,
    /// An edit, a deletion, somebody joining: no new text of a person.
    Subtype,
    /// Hidden, which edits of our own streams are.
    Hidden,
    /// By nobody, or by Slack itself.
    NoPerson,
    /// A person's message that does not concern us.
    NotAddressed,
    /// A message whose workspace, room or `ts` is missing or has no such form.
    Malformed,
}

impl Ignored {
    /// For the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotUnderstood => "not understood",
            Self::OtherType => "other type",
            Self::OtherApp => "other app",
            Self::Bot => "written by a bot",
            Self::Subtype => "no new text of a person",
            Self::Hidden => "hidden",
            Self::NoPerson => "written by nobody",
            Self::NotAddressed => "not addressed to us",
            Self::Malformed => "malformed",
        }
    }
}

/// The workspace an event happened in, and the organisation above it if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// `T…`; an organisation's own events may have none.
    pub team_id: Option<String>,
    /// `E…`.
    pub enterprise_id: Option<String>,
    /// Whether the app was installed for the whole organisation.
    pub is_enterprise_install: bool,
}

impl Workspace {
    /// The id an installation is kept under: the organisation's where the app was installed for all of it, else the
    /// workspace's (contracts.md 4.4).
    #[must_use]
    pub fn installation_id(&self) -> Option<&str> {
        let (team, enterprise) = (self.team_id.as_deref(), self.enterprise_id.as_deref());
        if self.is_enterprise_install { enterprise.or(team) } else { team.or(enterprise) }
    }

    /// The envelope's `team_id`; in a room that two workspaces share, where that may be the other's, the authorization's,
    /// which is the one that the event is sent for. Some captures lack one or the other; the event's own comes last.
    fn of(envelope: &Object, authorization: Option<&Object>, event: Option<&Object>) -> Self {
        let id = |object: Option<&Object>, field| object.and_then(|o| o.text(field)).filter(|id| is_id(id));
        let mut teams = [id(Some(envelope), "team_id"), id(authorization, "team_id")];
        if envelope.is("is_ext_shared_channel") {
            teams.reverse();
        }
        let [first, second] = teams;
        let team_id = first.or(second).or_else(|| id(event, "team"));
        let enterprise_id =
            id(authorization, "enterprise_id").or_else(|| id(Some(envelope), "enterprise_id"));
        let is_enterprise_install = authorization.is_some_and(|a| a.is("is_enterprise_install"))
            || envelope.is("is_enterprise_install");
        Self { team_id, enterprise_id, is_enterprise_install }
    }
}

/// Reads a body whose signature has passed. `content_type` is the header's value, `app_id` our own app's id where
/// it is configured: then what another app was sent is ignored.
#[must_use]
pub fn parse(body: &[u8], content_type: Option<&str>, app_id: Option<&str>) -> Received {
    let Ok(body) = std::str::from_utf8(body) else {
        return Received::Ignored(Ignored::NotUnderstood);
    };
    let said_form = content_type.is_some_and(|t| t.to_ascii_lowercase().contains("form-urlencoded"));
    if said_form || !body.trim_start().starts_with('{') {
        return form(body);
    }
    match Object::parse(body) {
        Some(envelope) => of_envelope(&envelope, app_id),
        None => Received::Ignored(Ignored::NotUnderstood),
    }
}

/// Forms are what certificate checks and slash commands come as; we have no commands.
fn form(body: &str) -> Received {
    let is_check = body.split('&').any(|pair| pair.trim() == "ssl_check=1");
    if is_check { Received::SslCheck } else { Received::Ignored(Ignored::NotUnderstood) }
}

fn of_envelope(envelope: &Object, app_id: Option<&str>) -> Received {
    let Some(kind) = envelope.text("type") else {
        let is_check = envelope.is("ssl_check");
        return if is_check { Received::SslCheck } else { Received::Ignored(Ignored::NotUnderstood) };
    };
    if kind == "url_verification" {
        return match envelope.text("challenge") {
            Some(challenge) => Received::UrlVerification { challenge },
            None => Received::Ignored(Ignored::NotUnderstood),
        };
    }
    if app_id.is_some_and(|ours| envelope.text("api_app_id").as_deref() != Some(ours)) {
        return Received::Ignored(Ignored::OtherApp);
    }
    match kind.as_str() {
        "app_rate_limited" => {
            Received::RateLimited { team_id: envelope.text("team_id").filter(|id| is_id(id)) }
        }
        "event_callback" => of_event(envelope),
        _ => Received::Ignored(Ignored::OtherType),
    }
}

fn of_event(envelope: &Object) -> Received {
    let Some(event) = envelope.object("event") else {
        return Received::Ignored(Ignored::NotUnderstood);
    };
    let authorizations = envelope.objects("authorizations");
    let at = envelope.number("event_time").and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    let workspace = || Workspace::of(envelope, authorizations.first(), Some(&event));
    match event.text("type").as_deref() {
        Some("app_uninstalled") => Received::Uninstalled { workspace: workspace(), at },
        Some("tokens_revoked") => {
            let bots = event.object("tokens").map(|tokens| tokens.list::<Box<RawValue>>("bot"));
            let bot = bots.is_some_and(|bots| !bots.is_empty());
            Received::TokensRevoked { workspace: workspace(), bot, at }
        }
        Some(kind @ ("message" | "app_mention")) => {
            match message::read(&event, kind == "app_mention", &authorizations, workspace()) {
                Ok(message) => Received::Message(Box::new(message)),
                Err(why) => Received::Ignored(why),
            }
        }
        Some(_) => Received::Ignored(Ignored::OtherType),
        None => Received::Ignored(Ignored::NotUnderstood),
    }
}

#[cfg(test)]
mod tests;
