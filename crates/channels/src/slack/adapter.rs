//! Slack as one of the channels of `konstruct_ports`. What an answer goes through is in `reply`.

use std::time::Duration;

use konstruct_ports::{Addressee, Announced, BoxFuture, Channel, ChannelError, ChannelReply, ReplyTo};

use super::api::{ApiError, Body, BotToken, Post, SlackApi};
use super::mrkdwn::escape;
use super::place::Place;
use super::reply::{Line, Placeholder, Posts, SlackReply};
use super::ts::Ts;

/// The placeholder's text.
pub const THINKING: &str = "Thinking…";

/// Slack's outgoing side. Holds no token.
#[derive(Debug, Clone)]
pub struct Slack {
    api: SlackApi,
}

impl Slack {
    /// Over a client.
    #[must_use]
    pub const fn new(api: SlackApi) -> Self {
        Self { api }
    }

    fn line(&self, to: &Addressee) -> Result<Line, ChannelError> {
        let place = Place::from_metadata(&to.metadata).map_err(|why| ChannelError::Unusable(why.0))?;
        let token = BotToken::new(&to.token).map_err(|_| ChannelError::Unusable("token"))?;
        Ok(Line { api: self.api.clone(), token, place, message_id: to.message_id })
    }

    async fn post_placeholder(
        &self,
        to: &Addressee,
        limit: Duration,
    ) -> (Placeholder, Result<(), ChannelError>) {
        let line = match self.line(to) {
            Ok(line) => line,
            Err(error) => return (Placeholder::Absent, Err(error)),
        };
        let marker = line.placeholder_marker();
        let post = Post { body: Body::Mrkdwn(THINKING), marker: Some(&marker) };
        match line.api.post_message(&line.token, &line.place, &post, limit).await {
            Ok(ts) => (Placeholder::At(ts), Ok(())),
            Err(error) => {
                let unsure = match &error {
                    ApiError::InDoubt => true,
                    ApiError::Refused(code) => code.may_have_happened(),
                    ApiError::RateLimited { .. } | ApiError::Unreachable => false,
                };
                let placeholder = if unsure { Placeholder::Unsure } else { Placeholder::Absent };
                (placeholder, Err(of_api(error)))
            }
        }
    }

    async fn take_back(&self, to: &Addressee, posts: &str, limit: Duration) -> Result<(), ChannelError> {
        let line = self.line(to)?;
        let posts = Posts::from_json(posts).map_err(|_| ChannelError::Unusable("posts"))?;
        let found: Vec<Ts> = match posts.placeholder {
            Placeholder::Absent => Vec::new(),
            Placeholder::At(ts) => vec![ts],
            Placeholder::Unsure => {
                let marker = line.placeholder_marker();
                let replies = line.api.replies(&line.token, &line.place, limit).await.map_err(of_api)?;
                let marked = |reply: &super::api::Reply| reply.marker.as_deref() == Some(marker.0.as_str());
                replies.into_iter().filter(marked).map(|reply| reply.ts).collect()
            }
        };
        for ts in found {
            match line.api.delete(&line.token, &line.place, &ts, limit).await {
                Ok(()) => {}
                Err(ApiError::Refused(code)) if code.as_str() == "message_not_found" => {}
                Err(error) => return Err(of_api(error)),
            }
        }
        Ok(())
    }

    async fn whisper(&self, to: &Addressee, sentence: &str, limit: Duration) -> Result<(), ChannelError> {
        let line = self.line(to)?;
        let posted = line.api.post_ephemeral(&line.token, &line.place, &escape(sentence), limit).await;
        posted.map_err(of_api)
    }
}

impl Channel for Slack {
    fn announce<'a>(&'a self, to: &'a Addressee, limit: Duration) -> BoxFuture<'a, Announced> {
        Box::pin(async move {
            let (placeholder, outcome) = self.post_placeholder(to, limit).await;
            Announced { posts: Posts { placeholder, ..Posts::default() }.to_json(), outcome }
        })
    }

    fn retract<'a>(
        &'a self,
        to: &'a Addressee,
        posts: &'a str,
        limit: Duration,
    ) -> BoxFuture<'a, Result<(), ChannelError>> {
        Box::pin(self.take_back(to, posts, limit))
    }

    fn tell<'a>(
        &'a self,
        to: &'a Addressee,
        sentence: &'a str,
        limit: Duration,
    ) -> BoxFuture<'a, Result<(), ChannelError>> {
        Box::pin(self.whisper(to, sentence, limit))
    }

    fn unannounced(&self) -> String {
        Posts { placeholder: Placeholder::Absent, ..Posts::default() }.to_json()
    }

    fn reply(&self, to: ReplyTo) -> Result<Box<dyn ChannelReply>, ChannelError> {
        let line = self.line(&to.addressee)?;
        let posts = to.posts.as_deref().map(Posts::from_json).transpose();
        let posts = posts.map_err(|_| ChannelError::Unusable("posts"))?.unwrap_or_default();
        Ok(Box::new(SlackReply::new(line, to.journal, posts, to.streams)))
    }
}

/// For what is tried once.
fn of_api(error: ApiError) -> ChannelError {
    match error {
        ApiError::RateLimited { retry_after } => ChannelError::Later(retry_after),
        ApiError::InDoubt | ApiError::Unreachable => ChannelError::Later(Duration::from_secs(1)),
        ApiError::Refused(code) => ChannelError::Refused(code.to_string()),
    }
}
