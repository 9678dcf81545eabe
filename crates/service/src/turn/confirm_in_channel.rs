//! Asking a person on a channel whether a tool may run: what is shown of the answer so far ends with the question, and the
//! whole answer takes its place later. What the person writes then is not read here.

use std::time::Duration;

use konstruct_domain::Channel;
use konstruct_ports::{ChannelError, ToolCall};
use konstruct_postgres::turns::TurnRow;
use tokio::time::{Instant, sleep};

use super::Held;
use super::course::Course;
use super::progress::glue;
use crate::error::Error;

/// How long the question is tried within one invocation. Not shown, it may still be answered until it expires.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most characters of arguments in a question.
const ARGUMENTS_CHARACTERS: usize = 1_000;

impl Held<'_> {
    pub(super) async fn ask_in_channel(
        &mut self,
        turn: &TurnRow,
        course: &Course,
        call: &ToolCall,
    ) -> Result<(), Error> {
        if turn.channel == Channel::Web {
            return Ok(());
        }
        let Some(mut reply) = self.take_reply().await? else { return Ok(()) };
        // Whoever is asked is heard for as long as the question stands.
        let (redis, thread) = (&self.agent.connections.redis, self.conversation());
        if let Err(error) = redis.engage(self.tenant, thread).await {
            tracing::warn!(%error, "a thread could not be followed on");
        }
        let before = course.journal.text();
        let arguments: String = call.arguments.chars().take(ARGUMENTS_CHARACTERS).collect();
        let question = format!(
            "{before}{}May I run `{}` with `{}`? Please answer *yes* or *no*.",
            glue(&before),
            call.name,
            arguments.replace(['`', '\n'], " ")
        );
        let until = Instant::now() + PATIENCE;
        loop {
            match reply.show(&question).await {
                Ok(Some(wait)) if Instant::now() + wait < until => sleep(wait).await,
                Ok(None) => break,
                Ok(Some(_)) => {
                    tracing::warn!("a question did not get to its channel in time");
                    break;
                }
                Err(ChannelError::Fenced) => break,
                Err(error) => {
                    tracing::warn!(%error, "a question did not get to its channel");
                    break;
                }
            }
        }
        Ok(())
    }
}
