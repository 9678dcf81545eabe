//! A Slack message in the one shared shape (CHAT-01). The ids it gets are names, not chance: the same message, however
//! often and as whichever event it comes, has the same ids (SLACK-07). It knows no frame.

use konstruct_domain::message::ContentError;
use konstruct_domain::{Channel, Content, ConversationId, InboundMessage, MessageId, Sender, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::event::SlackMessage;
use super::place::{metadata, session_id};

/// What our names are made in. Changing it would make every message new.
const NAMES: Uuid = Uuid::from_u128(0x5b0c_7f7e_6a0d_4c1b_9d0e_2f6c_8a41_73d9);

/// Why a person's message cannot be answered as such; each deserves a plain sentence in the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMessage {
    /// It has no text: a bare mention, or only files.
    #[error("has no text")]
    NoText,
    /// More text than a message may have (32,000 bytes).
    #[error("is too long")]
    TooLong,
}

/// The shared shape of a message, which came at `timestamp`.
///
/// # Errors
/// [`NoMessage`].
pub fn normalise(
    message: &SlackMessage,
    tenant: TenantId,
    timestamp: OffsetDateTime,
) -> Result<InboundMessage, NoMessage> {
    let content = Content::parse(&message.text).map_err(|why| match why {
        ContentError::TooLarge => NoMessage::TooLong,
        ContentError::Empty | ContentError::Nul => NoMessage::NoText,
    })?;
    Ok(InboundMessage {
        id: message_id(message),
        tenant_id: tenant,
        channel: Channel::Slack,
        channel_metadata: metadata(message),
        sender: Sender { user_id: message.user.clone() },
        content,
        timestamp,
        thread_id: thread_id(message, tenant),
        reply_to: None,
        context: None,
    })
}

/// The message's id: of its workspace, room and `ts`.
#[must_use]
pub fn message_id(message: &SlackMessage) -> MessageId {
    let team = message.workspace.team_id.as_deref().or(message.workspace.installation_id());
    MessageId(name(&["message", team.unwrap_or_default(), &message.room, message.ts.as_str()]))
}

/// The conversation's id: of the tenant, the installation and the thread.
#[must_use]
pub fn thread_id(message: &SlackMessage, tenant: TenantId) -> ConversationId {
    let installation = message.workspace.installation_id().unwrap_or_default();
    let parts = ["thread", &tenant.to_string(), Channel::Slack.as_str(), installation, &session_id(message)];
    ConversationId(name(&parts))
}

/// A `UUIDv5`. Each part is preceded by its length, so that no two lists of parts have the same encoding.
fn name(parts: &[&str]) -> Uuid {
    let mut encoded = Vec::new();
    for part in parts {
        encoded.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        encoded.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMES, &encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::event::{Addressed, Workspace};
    use crate::slack::place::{NoPlace, Place};
    use crate::slack::ts::Ts;

    fn ts(text: &str) -> Ts {
        Ts::parse(text).expect("a ts")
    }

    fn message() -> SlackMessage {
        SlackMessage {
            workspace: Workspace {
                team_id: Some("T1".to_owned()),
                enterprise_id: Some("E1".to_owned()),
                is_enterprise_install: false,
            },
            room: "C1".to_owned(),
            channel_type: Some("channel".to_owned()),
            ts: ts("1766458026.240809"),
            thread_ts: None,
            user: "U1".to_owned(),
            user_team: Some("T2".to_owned()),
            bot_user: Some("UBOT".to_owned()),
            addressed: Addressed::Mention,
            text: "hi".to_owned(),
            files: 0,
        }
    }

    fn tenant(n: u128) -> TenantId {
        TenantId(Uuid::from_u128(n))
    }

    /// proves CHAT-01
    /// proves SLACK-02
    #[test]
    fn a_slack_message_has_the_shared_shape() {
        let shaped = normalise(&message(), tenant(1), OffsetDateTime::UNIX_EPOCH).expect("a message");
        assert_eq!((shaped.channel, shaped.tenant_id), (Channel::Slack, tenant(1)));
        assert_eq!((shaped.sender.user_id.as_str(), shaped.content.as_str()), ("U1", "hi"));
        assert_eq!(
            shaped.channel_metadata.get("session_id").map(String::as_str),
            Some("C1:1766458026.240809")
        );
        let place = Place::from_metadata(&shaped.channel_metadata).expect("a place");
        assert_eq!((place.workspace.as_str(), place.room.as_str(), place.user.as_str()), ("T1", "C1", "U1"));
        assert_eq!((&place.root, &place.ts), (&message().ts, &message().ts));
        assert_eq!((place.user_team.as_deref(), place.bot_user.as_deref()), (Some("T2"), Some("UBOT")));
        assert!(!place.is_direct);
    }

    /// proves SLACK-02
    #[test]
    fn a_thread_is_the_message_that_starts_it_and_its_replies() {
        let first = message();
        let reply =
            SlackMessage { ts: ts("1766458031.000001"), thread_ts: Some(first.ts.clone()), ..message() };
        assert_eq!(thread_id(&first, tenant(1)), thread_id(&reply, tenant(1)));
        assert_ne!(message_id(&first), message_id(&reply));
        let shaped = normalise(&reply, tenant(1), OffsetDateTime::UNIX_EPOCH).expect("a message");
        let place = Place::from_metadata(&shaped.channel_metadata).expect("a place");
        assert_eq!((place.root, place.ts), (first.ts, reply.ts));
    }

    /// proves SLACK-02
    #[test]
    fn another_tenant_installation_room_or_ts_is_another_thread() {
        let one = thread_id(&message(), tenant(1));
        assert_ne!(one, thread_id(&message(), tenant(2)));
        let mut other = message();
        other.workspace.team_id = Some("T9".to_owned());
        assert_ne!(one, thread_id(&other, tenant(1)));
        assert_ne!(one, thread_id(&SlackMessage { room: "C2".to_owned(), ..message() }, tenant(1)));
        assert_ne!(one, thread_id(&SlackMessage { ts: ts("1766458026.240810"), ..message() }, tenant(1)));
    }

    /// proves SLACK-07
    #[test]
    fn the_id_is_of_workspace_room_and_ts_alone() {
        let mention = SlackMessage { addressed: Addressed::Direct, text: "other".to_owned(), ..message() };
        assert_eq!(message_id(&message()), message_id(&mention));
        let mut other = message();
        other.workspace.team_id = Some("T2".to_owned());
        assert_ne!(message_id(&message()), message_id(&other));
        assert_ne!(message_id(&message()), message_id(&SlackMessage { room: "C2".to_owned(), ..message() }));
    }

    #[test]
    fn no_part_of_a_name_breaks_out_of_it() {
        assert_ne!(name(&["ab", "c"]), name(&["a", "bc"]));
        assert_ne!(name(&["a", "", "b"]), name(&["a", "b", ""]));
        assert_ne!(name(&["a\0b"]), name(&["a", "b"]));
    }

    #[test]
    fn a_bare_mention_is_no_text_and_a_novel_is_too_long() {
        let of = |text: &str| {
            let message = SlackMessage { text: text.to_owned(), ..message() };
            normalise(&message, tenant(1), OffsetDateTime::UNIX_EPOCH).map(|m| m.content)
        };
        assert_eq!(of(""), Err(NoMessage::NoText));
        assert_eq!(of(&"x".repeat(32_001)), Err(NoMessage::TooLong));
    }

    #[test]
    fn metadata_that_names_no_place_says_why() {
        let good = metadata(&message());
        for (key, value) in
            [("room", ""), ("room", "C 1"), ("ts", "1"), ("thread_ts", "x"), ("workspace_id", "/")]
        {
            let mut bad = good.clone();
            bad.insert(key.to_owned(), value.to_owned());
            assert_eq!(Place::from_metadata(&bad), Err(NoPlace(key)), "{key}={value}");
        }
        for key in ["room", "ts", "workspace_id", "user_id"] {
            let mut bad = good.clone();
            bad.remove(key);
            assert_eq!(Place::from_metadata(&bad), Err(NoPlace(key)));
        }
    }
}
