//! Looks in the thread for posts in doubt: by marker, and for a stream by being ours, unknown and empty. One look
//! settles every doubt there is.

use tokio::time::Instant;

use super::hitch::{Hitch, limited};
use super::posts::{Placeholder, Posts, Stream};
use super::{CALL_LIMIT, Line, SlackReply};
use crate::slack::api::{ApiError, Marker, Reply};
use crate::slack::ts::Ts;

impl SlackReply {
    pub(super) async fn look(&mut self) -> Result<(), Hitch> {
        let now = Instant::now();
        if let Some(until) = self.no_look_before.filter(|until| now < *until) {
            return Err(Hitch::Wait(until - now));
        }
        let line = &self.line;
        let found = match line.api.replies(&line.token, &line.place, CALL_LIMIT).await {
            Ok(replies) => {
                self.patience.anew();
                replies
            }
            Err(ApiError::RateLimited { retry_after }) => {
                // Not everybody who asks waits for it.
                let wait = limited(retry_after);
                self.no_look_before = Some(Instant::now() + wait);
                return Err(Hitch::Wait(wait));
            }
            Err(error) => match self.again(error) {
                // Without the right to look, nothing is found: better twice than never.
                Hitch::Refused(code) => {
                    tracing::warn!(%code, "posts in doubt cannot be looked for");
                    self.patience.anew();
                    Vec::new()
                }
                hitch => return Err(hitch),
            },
        };
        settle(&mut self.posts, &self.line, &found);
        self.keep().await
    }
}

fn settle(posts: &mut Posts, line: &Line, found: &[Reply]) {
    if posts.placeholder == Placeholder::Unsure {
        let first = take(posts, found, &line.placeholder_marker());
        posts.placeholder = first.map_or(Placeholder::Absent, Placeholder::At);
    }
    for number in 0..posts.parts.len() {
        let Some(generation) = posts.parts.get(number).filter(|part| part.doubt).map(|p| p.generation) else {
            continue;
        };
        let first = take(posts, found, &line.part_marker(number, generation));
        // What stands before it was replaced meanwhile, or will be posted behind it.
        let is_after =
            |ts: &Ts| posts.parts.iter().take(number).all(|p| p.ts.as_ref().is_some_and(|p| ts.is_after(p)));
        let (kept, misplaced) = match first {
            Some(ts) if !is_after(&ts) => (None, Some(ts)),
            first => (first, None),
        };
        if let Some(part) = posts.parts.get_mut(number) {
            part.generation += u32::from(misplaced.is_some());
            (part.ts, part.doubt) = (kept, false);
        }
        posts.stale.extend(misplaced);
    }
    if posts.stream == Stream::Begun {
        let bot = line.place.bot_user.as_deref();
        let is_ours = |reply: &&Reply| bot.is_some() && reply.user.as_deref() == bot;
        let leftovers = found.iter().filter(is_ours).filter(|reply| reply.marker.is_none() && reply.is_empty);
        let unknown: Vec<Ts> = leftovers.map(|r| r.ts.clone()).filter(|ts| !posts.knows(ts)).collect();
        posts.stale.extend(unknown);
        posts.stream = Stream::Over;
    }
}

/// The message with this marker; should there be more than one, the others have to go.
fn take(posts: &mut Posts, found: &[Reply], marker: &Marker) -> Option<Ts> {
    let marked = found.iter().filter(|reply| reply.marker.as_deref() == Some(marker.0.as_str()));
    let mut unknown =
        marked.map(|reply| reply.ts.clone()).filter(|ts| !posts.knows(ts)).collect::<Vec<_>>().into_iter();
    let first = unknown.next();
    posts.stale.extend(unknown);
    first
}
