//! The web portal: a message of a portal user in the one shared shape (CHAT-01). It knows no frame.

use konstruct_domain::{
    Channel, Content, ConversationId, InboundMessage, MessageId, Sender, TenantId, UserId,
};
use time::OffsetDateTime;

/// The shared shape of a portal user's message.
#[must_use]
pub fn normalise(
    id: MessageId,
    tenant_id: TenantId,
    user_id: UserId,
    conversation_id: ConversationId,
    content: Content,
    timestamp: OffsetDateTime,
) -> InboundMessage {
    let metadata = [
        ("portal_user_id", user_id.to_string()),
        ("tenant_id", tenant_id.to_string()),
        ("conversation_id", conversation_id.to_string()),
    ];
    InboundMessage {
        id,
        tenant_id,
        channel: Channel::Web,
        channel_metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        sender: Sender { user_id: user_id.to_string() },
        content,
        timestamp,
        thread_id: conversation_id,
        reply_to: None,
        context: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    /// proves CHAT-01
    #[test]
    fn a_web_message_has_its_conversation_as_thread_and_its_user_as_sender() {
        let id = |n| Uuid::from_u128(n);
        let content = Content::parse("hi").expect("a text");
        let now = OffsetDateTime::UNIX_EPOCH;
        let (tenant, user, conversation) = (TenantId(id(2)), UserId(id(3)), ConversationId(id(4)));
        let message = normalise(MessageId(id(1)), tenant, user, conversation, content, now);
        assert_eq!(message.channel, Channel::Web);
        assert_eq!(message.thread_id, conversation);
        assert_eq!(message.sender.user_id, user.to_string());
        let keys: Vec<&str> = message.channel_metadata.keys().map(String::as_str).collect();
        assert_eq!(keys, ["conversation_id", "portal_user_id", "tenant_id"]);
    }
}
