//! Brings what is known of the answer into the thread, from its first part to its last. Called again after a hitch, it
//! goes on where it was.

use std::time::Duration;

use tokio::time::Instant;

use super::hitch::Hitch;
use super::posts::Stream;
use super::{CALL_LIMIT, SlackReply, UPDATE_EVERY};
use crate::slack::api::{ApiError, Body};
use crate::slack::ts::Ts;

/// Takes the place of a message that Slack does not let us delete.
const WITHDRAWN: &str = "_The answer is below._";

impl SlackReply {
    /// `parts` is the text so far, or all of it if this is the `end`.
    pub(super) async fn bring(&mut self, parts: &[String], end: bool) -> Result<(), Hitch> {
        if self.dirty {
            self.keep().await?;
        }
        if !end && self.may_stream() {
            self.start_stream().await?;
        }
        if self.posts.stream == Stream::Open {
            self.bring_stream(parts, end).await?;
        }
        for (number, part) in parts.iter().enumerate() {
            if number == 0 && self.posts.stream == Stream::Open {
                continue;
            }
            if !end && self.is_too_soon(number, part) {
                return Ok(());
            }
            self.bring_part(number, part).await?;
        }
        Ok(())
    }

    /// Whether a part has to wait for its turn.
    fn is_too_soon(&mut self, number: usize, part: &str) -> bool {
        if self.shows(number, part) {
            return false;
        }
        let Some(last) = self.last_update else {
            return false;
        };
        let wait = (last + UPDATE_EVERY).saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            self.hold_back(wait);
        }
        !wait.is_zero()
    }

    pub(super) fn hold_back(&mut self, wait: Duration) {
        self.held_back = Some(self.held_back.map_or(wait, |other| other.min(wait)));
    }

    /// Deletes what has to go. A message that is gone already is gone.
    pub(super) async fn clear_stale(&mut self) -> Result<(), Hitch> {
        while let Some(ts) = self.posts.stale.last().cloned() {
            self.remove(&ts).await?;
            self.posts.stale.retain(|stale| *stale != ts);
            self.dirty = true;
        }
        Ok(())
    }

    async fn remove(&mut self, ts: &Ts) -> Result<(), Hitch> {
        let line = &self.line;
        let error = match line.api.delete(&line.token, &line.place, ts, CALL_LIMIT).await {
            Ok(()) => {
                self.patience.anew();
                return Ok(());
            }
            Err(error) => error,
        };
        match &error {
            ApiError::Refused(code) if code.as_str() == "message_not_found" => Ok(()),
            ApiError::Refused(code) if code.as_str() == "streaming_state_conflict" => {
                let marker = line.part_marker(0, 0);
                let last = (None, &marker);
                let stopped = line.api.stop_stream(&line.token, &line.place, ts, last, CALL_LIMIT).await;
                Err(match stopped {
                    Ok(()) => Hitch::Wait(self.patience.pause()),
                    Err(limited @ ApiError::RateLimited { .. }) => self.again(limited),
                    Err(_) => self.again(error),
                })
            }
            _ => match self.again(error) {
                // Some workspaces keep everything.
                Hitch::Refused(code) => {
                    tracing::warn!(%code, "a message of ours cannot be deleted");
                    self.patience.anew();
                    self.withdraw(ts).await;
                    Ok(())
                }
                hitch => Err(hitch),
            },
        }
    }

    /// The next best to deleting; if it fails too, nothing is left to try.
    async fn withdraw(&self, ts: &Ts) {
        let body = Body::Mrkdwn(WITHDRAWN);
        let line = &self.line;
        if let Err(error) = line.api.update(&line.token, &line.place, ts, body, CALL_LIMIT).await {
            tracing::warn!(%error, "a message of ours stays as it is");
        }
    }
}
