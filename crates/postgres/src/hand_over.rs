//! Who has a conversation, the AI or a human (AGNT-06), and raising its epoch when that changes, or when it is reset.
//! Frames are not written here.

use konstruct_domain::{Channel, ConversationId, Epoch, Generation, Seq};
use tokio_postgres::Row;

use crate::error::DbError;
use crate::reset::{LEFT, LeftTurn, left_turn};
use crate::row::{closed, get};
use crate::tenant_tx::TenantTx;

/// A conversation as its epoch holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where people write in it.
    pub channel: Channel,
    /// Whether a human has it.
    pub human: bool,
    /// Its epoch.
    pub epoch: Epoch,
    /// The log's generation.
    pub generation: Option<Generation>,
    /// The highest `seq` that Postgres knows.
    pub last_seq: Seq,
    /// The epoch of a hand-over that people were not told of; `None`: they were.
    pub untold: Option<Epoch>,
    /// Turns of an older epoch that are to be ended or delivered, oldest first.
    pub left: Vec<LeftTurn>,
}

const RAISE: &str = "
    UPDATE web_conversations SET epoch = epoch + 1, updated_at = now(),
        status = CASE $2::boolean WHEN true THEN 'human' WHEN false THEN 'ai' ELSE status END,
        handed_over = CASE WHEN $2::boolean IS NULL THEN handed_over ELSE epoch + 1 END
    WHERE id = $1 AND ($2::boolean IS NULL OR (status = 'human') <> $2::boolean)
    RETURNING id";
/// A turn that has not begun has nothing to show: its message is context from now on.
pub(crate) const END_UNBEGUN: &str = "
    UPDATE turns t SET state = 'ended', ended_at = now(), delivered_at = now(), in_progress = false
    FROM web_conversations c
    WHERE c.id = $1 AND t.conversation_id = $1 AND t.epoch < c.epoch AND t.state = 'open' AND t.began_at IS NULL
      AND t.channel_posts = '{}'";
/// One whose channel shows a placeholder has: the agent takes it away.
pub(crate) const SILENCE_UNBEGUN: &str = "
    UPDATE turns t SET state = 'ended', ended_at = now(), in_progress = false
    FROM web_conversations c
    WHERE c.id = $1 AND t.conversation_id = $1 AND t.epoch < c.epoch AND t.state = 'open' AND t.began_at IS NULL
      AND t.channel_posts <> '{}'";
const STANDING: &str = "
    SELECT channel, status, epoch, log_generation, last_seq, handed_over, handed_over > handed_over_told AS untold
    FROM web_conversations WHERE id = $1";

impl TenantTx {
    /// Raises the epoch, and hands the conversation to a human (`true`) or back, if it is not there already; open turns
    /// that have not begun end without an answer. What holds then, and whether this call raised it. `None`: there is no
    /// such conversation.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn raise_epoch(
        self,
        conversation: ConversationId,
        to_human: Option<bool>,
    ) -> Result<Option<(Standing, bool)>, DbError> {
        let id = conversation.0;
        let [raised, _, _, standing, left] = self
            .run([
                (RAISE, &[&id, &to_human]),
                (END_UNBEGUN, &[&id]),
                (SILENCE_UNBEGUN, &[&id]),
                (STANDING, &[&id]),
                (LEFT, &[&id]),
            ])
            .await?;
        let Some(row) = standing.first() else { return Ok(None) };
        Ok(Some((as_standing(row, &left)?, !raised.is_empty())))
    }

    /// A conversation as its epoch holds. `None`: there is no such one.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn standing(self, conversation: ConversationId) -> Result<Option<Standing>, DbError> {
        let id = conversation.0;
        let [standing, left] = self.run([(STANDING, &[&id]), (LEFT, &[&id])]).await?;
        standing.first().map(|row| as_standing(row, &left)).transpose()
    }

    /// Notes that people were told of a hand-over, and how far the log got.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn hand_over_told(
        self,
        conversation: ConversationId,
        epoch: Epoch,
        last_seq: Seq,
    ) -> Result<(), DbError> {
        const SQL: &str = "
            UPDATE web_conversations
            SET handed_over_told = greatest(handed_over_told, $2), last_seq = greatest(last_seq, $3) WHERE id = $1";
        self.query(SQL, &[&conversation.0, &epoch.0, &last_seq.0]).await.map(drop)
    }
}

fn as_standing(row: &Row, left: &[Row]) -> Result<Standing, DbError> {
    let handed_over = Epoch(get(row, "handed_over")?);
    Ok(Standing {
        channel: closed(row, "channel", Channel::parse)?,
        human: get::<&str>(row, "status")? == "human",
        epoch: Epoch(get(row, "epoch")?),
        generation: get::<Option<i64>>(row, "log_generation")?.map(Generation),
        last_seq: Seq(get(row, "last_seq")?),
        untold: get::<bool>(row, "untold")?.then_some(handed_over),
        left: left.iter().map(left_turn).collect::<Result<_, _>>()?,
    })
}
