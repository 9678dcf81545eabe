//! Slack's Web API: the methods an answer needs (contracts.md 4.5). It never repeats a call: what may be repeated is
//! for the caller to know, and an error says which of three things happened.

mod answer;
mod call;
mod failure;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Uri;
use http::header::HeaderValue;
use konstruct_ports::ChannelToken;
use serde_json::{Value, json};

pub use self::answer::{Installed, Reply};
pub use self::call::{Body, Marker, Post, Recipient};
pub use self::failure::{ApiError, ErrorCode};
pub use self::transport::{HttpTransport, NoAnswer, RawAnswer, RawCall, Transport};
use super::place::Place;
use super::ts::Ts;

/// Where Slack is, unless `SLACK_API_BASE_URL` says otherwise.
pub const BASE_URL: &str = "https://slack.com/api";

/// Most messages of a thread that are read in one call; Slack may give fewer.
const REPLIES_PER_PAGE: &str = "100";

/// Most pages of a thread that are read behind a message.
const REPLY_PAGES_MAX: usize = 10;

/// A base URL or a token that cannot be used. Does not repeat the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `SLACK_API_BASE_URL` is no absolute `http` or `https` URL.
    #[error("Slack's base URL is no absolute URL")]
    BaseUrl,
    /// The token is empty, or has characters that no header can hold.
    #[error("the token cannot be put into a header")]
    Token,
}

/// A bot's token, ready for a header. Never shown.
#[derive(Clone)]
pub struct BotToken(HeaderValue);

impl BotToken {
    /// A token, as it was decrypted.
    ///
    /// # Errors
    /// [`ConfigError::Token`].
    pub fn new(token: &ChannelToken) -> Result<Self, ConfigError> {
        let token = token.reveal().trim();
        let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if visible { sensitive(&format!("Bearer {token}")).map(Self) } else { Err(ConfigError::Token) }
    }
}

impl fmt::Debug for BotToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BotToken(…)")
    }
}

fn sensitive(value: &str) -> Result<HeaderValue, ConfigError> {
    let mut value = HeaderValue::try_from(value).map_err(|_| ConfigError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The client. Clones share the connection.
#[derive(Clone)]
pub struct SlackApi {
    transport: Arc<dyn Transport>,
}

impl fmt::Debug for SlackApi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SlackApi").finish_non_exhaustive()
    }
}

impl SlackApi {
    /// A client over HTTP; nothing is connected yet.
    ///
    /// # Errors
    /// [`ConfigError::BaseUrl`], at start, rather than a failure at each call.
    pub fn new(client: konstruct_http::Client, base_url: &str) -> Result<Self, ConfigError> {
        let base_url = base_url.trim().trim_end_matches('/');
        let uri = Uri::try_from(base_url).map_err(|_| ConfigError::BaseUrl)?;
        if uri.authority().is_none() || !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(ConfigError::BaseUrl);
        }
        Ok(Self::over(Arc::new(HttpTransport::new(client, base_url.to_owned()))))
    }

    /// A client over something else: what the tests play Slack with.
    #[must_use]
    pub fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    /// `chat.postMessage`: a reply in the place's thread. Creates a message; in doubt it may be there.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn post_message(
        &self,
        token: &BotToken,
        place: &Place,
        post: &Post<'_>,
        limit: Duration,
    ) -> Result<Ts, ApiError> {
        let mut args = json!({"channel": place.room, "thread_ts": place.root, "link_names": false,
                              "unfurl_links": false, "unfurl_media": false});
        call::put_body(&mut args, post.body);
        call::put_marker(&mut args, post.marker);
        let answer = self.json(token, "chat.postMessage", &args, limit).await?;
        answer::ts(&answer, "ts")
    }

    /// `chat.update`: sets a message's text. May be repeated at will. Like the text of a post, it names nobody.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn update(
        &self,
        token: &BotToken,
        place: &Place,
        ts: &Ts,
        body: Body<'_>,
        limit: Duration,
    ) -> Result<(), ApiError> {
        // Unlike a post's, an update's `parse` is not "none" by itself.
        let mut args = json!({"channel": place.room, "ts": ts, "link_names": false, "parse": "none"});
        call::put_body(&mut args, body);
        self.json(token, "chat.update", &args, limit).await.map(|_| ())
    }

    /// `chat.delete`. May be repeated: then the message is not found.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete(
        &self,
        token: &BotToken,
        place: &Place,
        ts: &Ts,
        limit: Duration,
    ) -> Result<(), ApiError> {
        let args = json!({"channel": place.room, "ts": ts});
        self.json(token, "chat.delete", &args, limit).await.map(|_| ())
    }

    /// `chat.postEphemeral`: `text`, which is escaped already, for the place's person alone. In the thread only where
    /// there is one: Slack shows none in a thread that does not exist yet.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn post_ephemeral(
        &self,
        token: &BotToken,
        place: &Place,
        text: &str,
        limit: Duration,
    ) -> Result<(), ApiError> {
        let mut args = json!({"channel": place.room, "user": place.user, "text": text, "link_names": false});
        call::put_thread(&mut args, place);
        self.json(token, "chat.postEphemeral", &args, limit).await.map(|_| ())
    }

    /// `chat.startStream`, without text. Creates a message that nothing marks; in doubt it may be there, empty.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn start_stream(
        &self,
        token: &BotToken,
        place: &Place,
        recipient: &Recipient<'_>,
        limit: Duration,
    ) -> Result<Ts, ApiError> {
        let mut args = json!({"channel": place.room, "thread_ts": place.root});
        call::put_recipient(&mut args, recipient);
        let answer = self.json(token, "chat.startStream", &args, limit).await?;
        answer::ts(&answer, "ts")
    }

    /// `chat.appendStream`. In doubt the text may be there; it must not be repeated.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn append_stream(
        &self,
        token: &BotToken,
        place: &Place,
        ts: &Ts,
        markdown: &str,
        limit: Duration,
    ) -> Result<(), ApiError> {
        let args = json!({"channel": place.room, "ts": ts, "markdown_text": markdown});
        self.json(token, "chat.appendStream", &args, limit).await.map(|_| ())
    }

    /// `chat.stopStream`, with the last of the text or none. May be repeated without text: then the message is no
    /// stream any more.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn stop_stream(
        &self,
        token: &BotToken,
        place: &Place,
        ts: &Ts,
        last: (Option<&str>, &Marker),
        limit: Duration,
    ) -> Result<(), ApiError> {
        let mut args = json!({"channel": place.room, "ts": ts});
        if let (Some(markdown), Some(args)) = (last.0, args.as_object_mut()) {
            args.insert("markdown_text".to_owned(), json!(markdown));
        }
        call::put_marker(&mut args, Some(last.1));
        self.json(token, "chat.stopStream", &args, limit).await.map(|_| ())
    }

    /// `conversations.replies`: what stands in the thread behind the message that is answered. Called only to find a
    /// post in doubt: Slack may allow one call a minute. `limit` is for each page.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn replies(
        &self,
        token: &BotToken,
        place: &Place,
        limit: Duration,
    ) -> Result<Vec<Reply>, ApiError> {
        let mut replies = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..REPLY_PAGES_MAX {
            let mut fields = vec![
                ("channel", place.room.as_str()),
                ("ts", place.root.as_str()),
                ("oldest", place.ts.as_str()),
                ("include_all_metadata", "true"),
                ("limit", REPLIES_PER_PAGE),
            ];
            if let Some(cursor) = &cursor {
                fields.push(("cursor", cursor));
            }
            let answer = self.form(&token.0, "conversations.replies", &fields, limit).await?;
            replies.extend(answer::replies(&answer).into_iter().filter(|reply| reply.ts.is_after(&place.ts)));
            cursor = answer::next_cursor(&answer);
            if cursor.is_none() {
                break;
            }
        }
        Ok(replies)
    }

    /// `oauth.v2.access`: turns the code of an installation (10 minutes old at most, good once) into a token.
    ///
    /// # Errors
    /// [`ApiError`]; `Refused` also where the app's own id or secret cannot be sent.
    pub async fn oauth_access(
        &self,
        client: (&str, &str),
        code: &str,
        redirect_uri: &str,
        limit: Duration,
    ) -> Result<Installed, ApiError> {
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", client.0, client.1)));
        let authorization = sensitive(&basic).map_err(|_| ApiError::unusable())?;
        let fields = [("code", code), ("redirect_uri", redirect_uri)];
        let answer = self.form(&authorization, "oauth.v2.access", &fields, limit).await?;
        answer::installed(&answer)
    }

    /// `auth.revoke`: gives the token back, as part of removing an installation.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn revoke(&self, token: &BotToken, limit: Duration) -> Result<(), ApiError> {
        self.form(&token.0, "auth.revoke", &[], limit).await.map(|_| ())
    }

    async fn json(
        &self,
        token: &BotToken,
        method: &'static str,
        args: &Value,
        limit: Duration,
    ) -> Result<Value, ApiError> {
        let body = Bytes::from(args.to_string());
        self.call(RawCall { method, authorization: &token.0, content_type: call::JSON, body }, limit).await
    }

    async fn form(
        &self,
        authorization: &HeaderValue,
        method: &'static str,
        fields: &[(&str, &str)],
        limit: Duration,
    ) -> Result<Value, ApiError> {
        let body = Bytes::from(call::form(fields));
        self.call(RawCall { method, authorization, content_type: call::FORM, body }, limit).await
    }

    async fn call(&self, call: RawCall<'_>, limit: Duration) -> Result<Value, ApiError> {
        match tokio::time::timeout(limit, self.transport.post(call)).await {
            Ok(Ok(answer)) => failure::checked(&answer),
            Ok(Err(NoAnswer::NotSent)) => Err(ApiError::Unreachable),
            // Whether it was sent, and served, is not known.
            Ok(Err(NoAnswer::InDoubt)) | Err(_) => Err(ApiError::InDoubt),
        }
    }
}

#[cfg(test)]
mod tests;
