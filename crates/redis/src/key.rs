//! The only place where a key is written. No key can be had without a tenant, but for `connection:{id}`, which
//! tells the tenant (TEN-02, TEN-03). A part can never break out of its place: every byte outside
//! `A-Za-z0-9._-` is percent-encoded.

use std::fmt::Write as _;

use konstruct_domain::{AgentId, Channel, ConversationId, MessageId, Provider, TenantId, UserId};
use uuid::Uuid;

/// A key, or the name of a pub/sub channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// The key as Redis has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn new(tenant: TenantId, key_type: &str, parts: &[&str]) -> Self {
        let mut key = format!("{tenant}:{key_type}");
        for part in parts {
            key.push(':');
            encode(part, &mut key);
        }
        Self(key)
    }

    /// `connection:{connection_id}`: what is known of a socket.
    #[must_use]
    pub fn connection(connection_id: &str) -> Self {
        let mut key = "connection:".to_owned();
        encode(connection_id, &mut key);
        Self(key)
    }

    /// `{t}:ratelimit:{channel}`: the token bucket of CHAN-03.
    #[must_use]
    pub fn rate_limit(tenant: TenantId, channel: Channel) -> Self {
        Self::new(tenant, "ratelimit", &[channel.as_str()])
    }

    /// `{t}:dedup:{message_id}`: the mark of CHAN-04.
    #[must_use]
    pub fn dedup(tenant: TenantId, message: MessageId) -> Self {
        Self::new(tenant, "dedup", &[&message.to_string()])
    }

    /// `{t}:frames:{conversation}`: the frame log.
    #[must_use]
    pub fn frames(tenant: TenantId, conversation: ConversationId) -> Self {
        Self::new(tenant, "frames", &[&conversation.to_string()])
    }

    /// `{t}:log:{conversation}`: the frame log's generation, fence, epoch and counter.
    #[must_use]
    pub fn log(tenant: TenantId, conversation: ConversationId) -> Self {
        Self::new(tenant, "log", &[&conversation.to_string()])
    }

    /// `{t}:appended:{conversation}:{writer}`: what a writer's last append returned.
    #[must_use]
    pub fn appended(tenant: TenantId, conversation: ConversationId, writer: &str) -> Self {
        Self::new(tenant, "appended", &[&conversation.to_string(), writer])
    }

    /// `{t}:live:{conversation}`: the connections that frames are pushed to.
    #[must_use]
    pub fn live(tenant: TenantId, conversation: ConversationId) -> Self {
        Self::new(tenant, "live", &[&conversation.to_string()])
    }

    /// `{t}:conversations_live`: the conversations of a tenant that may have live connections.
    #[must_use]
    pub fn conversations_live(tenant: TenantId) -> Self {
        Self::new(tenant, "conversations_live", &[])
    }

    /// `{t}:push:{conversation}`: the lease of the one poster.
    #[must_use]
    pub fn push(tenant: TenantId, conversation: ConversationId) -> Self {
        Self::new(tenant, "push", &[&conversation.to_string()])
    }

    /// `{t}:cancel:{conversation}`: the message whose answer is to be stopped.
    #[must_use]
    pub fn cancel(tenant: TenantId, conversation: ConversationId) -> Self {
        Self::new(tenant, "cancel", &[&conversation.to_string()])
    }

    /// `{t}:{channel}_install:{nonce}`: who began an installation.
    #[must_use]
    pub fn install(tenant: TenantId, channel: Channel, nonce: &str) -> Self {
        Self::new(tenant, &format!("{}_install", channel.as_str()), &[nonce])
    }

    /// `{t}:memory:short:{agent_id}:{user_id}:{thread_id}`; no user: a thread of several people.
    #[must_use]
    pub fn memory(tenant: TenantId, agent: AgentId, user: Option<UserId>, thread: ConversationId) -> Self {
        let user = user.map_or_else(|| "_".to_owned(), |user| user.to_string());
        Self::new(tenant, "memory:short", &[&agent.to_string(), &user, &thread.to_string()])
    }

    /// `{t}:engaged:{thread_id}`: messages in this thread need no mention (SLACK-05).
    #[must_use]
    pub fn engaged(tenant: TenantId, thread: ConversationId) -> Self {
        Self::new(tenant, "engaged", &[&thread.to_string()])
    }

    /// `{t}:early:{thread_id}`: replies that may have overtaken the mention they follow.
    #[must_use]
    pub fn early(tenant: TenantId, thread: ConversationId) -> Self {
        Self::new(tenant, "early", &[&thread.to_string()])
    }

    /// `{t}:placeholder:{message_id}`: a placeholder that is posted and perhaps not stored yet.
    #[must_use]
    pub fn placeholder(tenant: TenantId, message: MessageId) -> Self {
        Self::new(tenant, "placeholder", &[&message.to_string()])
    }

    /// `{t}:told:{channel}:{whom}`: something was said that is said once for a while.
    #[must_use]
    pub fn told(tenant: TenantId, channel: Channel, whom: &str) -> Self {
        Self::new(tenant, "told", &[channel.as_str(), whom])
    }

    /// `{t}:tool_confirm:{thread_id}`: the calls that wait for a yes (AGNT-05).
    #[must_use]
    pub fn tool_confirm(tenant: TenantId, thread: ConversationId) -> Self {
        Self::new(tenant, "tool_confirm", &[&thread.to_string()])
    }

    /// `{t}:escalation:{thread_id}`: who has the conversation (AGNT-06).
    #[must_use]
    pub fn escalation(tenant: TenantId, thread: ConversationId) -> Self {
        Self::new(tenant, "escalation", &[&thread.to_string()])
    }

    /// `{t}:breaker:{provider}:{model}`: whether a model is left alone for a while.
    #[must_use]
    pub fn breaker(tenant: TenantId, provider: Provider, model: &str) -> Self {
        Self::new(tenant, "breaker", &[provider.as_str(), model])
    }

    /// `{t}:tool_list:{server}`: what a server of tools offers.
    #[must_use]
    pub fn tool_list(tenant: TenantId, server: Uuid) -> Self {
        Self::new(tenant, "tool_list", &[&server.to_string()])
    }

    /// `{t}:webchat:response:{conversation_id}`: wakes those who wait over REST (pub/sub).
    #[must_use]
    pub fn response(tenant: TenantId, conversation: ConversationId) -> Self {
        Self::new(tenant, "webchat:response", &[&conversation.to_string()])
    }
}

impl redis::ToRedisArgs for Key {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        out.write_arg(self.0.as_bytes());
    }
}

impl redis::ToSingleRedisArg for Key {}

fn encode(part: &str, key: &mut String) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            key.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(key, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    const T: TenantId = TenantId(Uuid::from_u128(1));
    const C: ConversationId = ConversationId(Uuid::from_u128(2));

    /// proves TEN-03
    #[test]
    fn the_keys_of_the_specification_are_spelt_as_it_says() {
        let (t, c) = (T.to_string(), C.to_string());
        let agent = AgentId(Uuid::from_u128(3));
        assert_eq!(Key::rate_limit(T, Channel::Web).as_str(), format!("{t}:ratelimit:web"));
        assert_eq!(Key::dedup(T, MessageId(C.0)).as_str(), format!("{t}:dedup:{c}"));
        assert_eq!(Key::frames(T, C).as_str(), format!("{t}:frames:{c}"));
        assert_eq!(Key::install(T, Channel::Slack, "a:b").as_str(), format!("{t}:slack_install:a%3Ab"));
        assert_eq!(Key::response(T, C).as_str(), format!("{t}:webchat:response:{c}"));
        assert_eq!(Key::memory(T, agent, None, C).as_str(), format!("{t}:memory:short:{agent}:_:{c}"));
        assert_eq!(Key::engaged(T, C).as_str(), format!("{t}:engaged:{c}"));
        assert_eq!(Key::tool_confirm(T, C).as_str(), format!("{t}:tool_confirm:{c}"));
        assert_eq!(Key::escalation(T, C).as_str(), format!("{t}:escalation:{c}"));
        assert_eq!(Key::placeholder(T, MessageId(C.0)).as_str(), format!("{t}:placeholder:{c}"));
        assert_eq!(Key::connection("TXzP+/=").as_str(), "connection:TXzP%2B%2F%3D");
    }

    proptest! {
        /// proves TEN-03
        #[test]
        fn no_part_breaks_out_of_its_place(part in ".*", other in ".*") {
            let key = Key::new(T, "x", &[&part]);
            let tail = key.as_str().strip_prefix(&format!("{T}:x:")).expect("the prefix");
            prop_assert!(tail.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-%".contains(&b)));
            prop_assert_eq!(part == other, key == Key::new(T, "x", &[&other]));
        }
    }
}
