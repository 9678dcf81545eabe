//! A person's message, and the rule by which everything else is ignored (contracts.md 4.4). Whether a thread is
//! followed is not known here.

use super::json::Object;
use super::{Ignored, Workspace, text};
use crate::slack::ts::{Ts, is_id};

/// Subtypes that are new text of a person.
const SUBTYPES: [&str; 3] = ["file_share", "thread_broadcast", "me_message"];

/// Slack's own user.
const SLACK: &str = "USLACK";

/// Why a message may be ours to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressed {
    /// It names the bot.
    Mention,
    /// It was written to the bot alone.
    Direct,
    /// It is in a thread; ours if that thread is followed (SLACK-05), which the caller knows.
    MaybeFollowed,
}

/// A person's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlackMessage {
    /// Where it was written.
    pub workspace: Workspace,
    /// Slack's channel.
    pub room: String,
    /// `channel`, `group`, `im`, `mpim`, where Slack says it.
    pub channel_type: Option<String>,
    /// Which message this is, within its room.
    pub ts: Ts,
    /// The first message of the thread it is in; none if it is in none.
    pub thread_ts: Option<Ts>,
    /// Who wrote it.
    pub user: String,
    /// The person's own workspace, which in a shared room may be another one.
    pub user_team: Option<String>,
    /// The bot user of this installation, where Slack says it.
    pub bot_user: Option<String>,
    /// Why it may be ours.
    pub addressed: Addressed,
    /// What was written, as plain text, without mentions of the bot. May be empty: a bare mention, or only files.
    pub text: String,
    /// How many files came with it.
    pub files: usize,
}

impl SlackMessage {
    /// The message an answer's thread hangs on: that of the thread, else this one (SLACK-02).
    #[must_use]
    pub fn root(&self) -> &Ts {
        self.thread_ts.as_ref().unwrap_or(&self.ts)
    }
}

pub(super) fn read(
    event: &Object,
    is_mention: bool,
    authorizations: &[Object],
    workspace: Workspace,
) -> Result<SlackMessage, Ignored> {
    let user = person(event, authorizations)?;
    let bots = bots(authorizations);
    let room = event.text("channel").filter(|room| is_id(room)).ok_or(Ignored::Malformed)?;
    let ts = ts(event, "ts")?.ok_or(Ignored::Malformed)?;
    let thread_ts = ts_of_thread(event, &ts)?;
    if workspace.installation_id().is_none() {
        return Err(Ignored::Malformed);
    }
    let channel_type = event.text("channel_type").filter(|kind| is_id(kind));
    let raw = event.text("text").unwrap_or_default();
    let is_direct = channel_type.as_deref() == Some("im") || channel_type.is_none() && room.starts_with('D');
    let addressed = if is_mention || text::mentions(&raw, &bots) {
        Addressed::Mention
    } else if is_direct {
        Addressed::Direct
    } else if thread_ts.is_some() {
        Addressed::MaybeFollowed
    } else {
        return Err(Ignored::NotAddressed);
    };
    let user_team = event.text("user_team").or_else(|| event.text("team")).filter(|team| is_id(team));
    Ok(SlackMessage {
        workspace,
        room,
        channel_type,
        ts,
        thread_ts,
        user,
        user_team,
        addressed,
        text: text::plain(&raw, &bots),
        bot_user: bots.into_iter().next(),
        files: event.objects("files").len(),
    })
}

/// The ignore rule.
fn person(event: &Object, authorizations: &[Object]) -> Result<String, Ignored> {
    if event.has("bot_id") {
        return Err(Ignored::Bot);
    }
    if event.has("subtype") && !event.text("subtype").is_some_and(|s| SUBTYPES.contains(&s.as_str())) {
        return Err(Ignored::Subtype);
    }
    if event.is("hidden") {
        return Err(Ignored::Hidden);
    }
    let user = event.text("user").filter(|user| is_id(user) && user != SLACK).ok_or(Ignored::NoPerson)?;
    let is_ours = |authorization: &Object| authorization.text("user_id").as_ref() == Some(&user);
    if authorizations.iter().any(is_ours) { Err(Ignored::Bot) } else { Ok(user) }
}

/// The bot users this event was sent for.
fn bots(authorizations: &[Object]) -> Vec<String> {
    authorizations
        .iter()
        .filter(|authorization| authorization.is("is_bot") || !authorization.has("is_bot"))
        .filter_map(|authorization| authorization.text("user_id").filter(|id| is_id(id)))
        .collect()
}

fn ts(event: &Object, field: &str) -> Result<Option<Ts>, Ignored> {
    if !event.has(field) {
        return Ok(None);
    }
    let ts = event.text(field).and_then(|text| Ts::parse(&text).ok());
    ts.map(Some).ok_or(Ignored::Malformed)
}

/// A thread's first message names itself as its thread once it has replies: it is in none.
fn ts_of_thread(event: &Object, own: &Ts) -> Result<Option<Ts>, Ignored> {
    Ok(ts(event, "thread_ts")?.filter(|thread| thread != own))
}
