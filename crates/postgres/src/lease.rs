//! The lease on a conversation: which agent may work on it, and the fence behind those that worked before.
//! It guards writes to Postgres only; the frame log has the same fence of its own.

use std::time::Duration;

use konstruct_domain::{ConversationId, Epoch, Fence, Generation, MessageId, Seq, UserId};
use uuid::Uuid;

use crate::error::DbError;
use crate::row::get;
use crate::tenant_tx::TenantTx;
use crate::turns::{NEXT_TURN, TurnRow, turn_row};

/// What every write of an agent is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// The conversation.
    pub conversation: ConversationId,
    /// The agent's fence.
    pub fence: Fence,
    /// The epoch it works under.
    pub epoch: Epoch,
}

impl Guard {
    /// Conversation, fence and epoch, as statements take them.
    pub(crate) const fn values(&self) -> (Uuid, i64, i64) {
        (self.conversation.0, self.fence.0, self.epoch.0)
    }
}

/// A conversation whose lease was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// What writes are checked against.
    pub guard: Guard,
    /// `None` until a first frame log is begun.
    pub generation: Option<Generation>,
    /// The highest `seq` that Postgres knows.
    pub last_seq: Seq,
    /// The portal user; `None` off the web.
    pub user_id: Option<UserId>,
}

/// What came of asking for the lease.
#[derive(Debug, Clone, PartialEq)]
pub enum LeaseTry {
    /// It is ours; with the oldest turn that is to be worked on.
    Taken(Leased, Option<Box<TurnRow>>),
    /// Another agent holds it for so long at most.
    Busy(Duration),
    /// The tenant has no such conversation.
    NoConversation,
}

/// A log's generation as it holds after somebody set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationSet {
    /// The one that holds now.
    pub generation: Generation,
    /// Whether this call raised it: who did not must not begin its log.
    pub raised: bool,
    /// The fence that holds now.
    pub fence: Fence,
    /// The epoch that holds now.
    pub epoch: Epoch,
}

impl TenantTx {
    /// Takes the lease if it is free or ran out, and looks for the oldest turn that is open, or ended and not
    /// delivered, with a position up to that of `up_to` (`None`: any).
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn take_lease(
        self,
        conversation: ConversationId,
        up_to: Option<MessageId>,
        lease: Duration,
    ) -> Result<LeaseTry, DbError> {
        const TAKE: &str = "
            UPDATE web_conversations SET fence = fence + 1, lease_until = now() + make_interval(secs => $2)
            WHERE id = $1 AND (lease_until IS NULL OR lease_until <= now())
            RETURNING fence, epoch, log_generation, last_seq, user_id";
        const LEFT: &str = "
            SELECT greatest(extract(epoch FROM lease_until - now()), 0)::float8 AS seconds
            FROM web_conversations WHERE id = $1";
        let up_to: Option<Uuid> = up_to.map(|m| m.0);
        let [taken, left, next] = self
            .run([
                (TAKE, &[&conversation.0, &lease.as_secs_f64()]),
                (LEFT, &[&conversation.0]),
                (NEXT_TURN, &[&conversation.0, &up_to]),
            ])
            .await?;
        if let Some(row) = taken.first() {
            let guard =
                Guard { conversation, fence: Fence(get(row, "fence")?), epoch: Epoch(get(row, "epoch")?) };
            let leased = Leased {
                guard,
                generation: get::<Option<i64>>(row, "log_generation")?.map(Generation),
                last_seq: Seq(get(row, "last_seq")?),
                user_id: get::<Option<Uuid>>(row, "user_id")?.map(UserId),
            };
            let next = next.first().map(turn_row).transpose()?;
            return Ok(LeaseTry::Taken(leased, next.map(Box::new)));
        }
        Ok(match left.first() {
            Some(row) => {
                let seconds: Option<f64> = get(row, "seconds")?;
                LeaseTry::Busy(Duration::from_secs_f64(seconds.unwrap_or(0.0).clamp(0.0, 900.0)))
            }
            None => LeaseTry::NoConversation,
        })
    }

    /// Keeps the lease for so long from now; `false`: it is another's by now.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn renew_lease(self, guard: Guard, lease: Duration) -> Result<bool, DbError> {
        const SQL: &str = "
            UPDATE web_conversations SET lease_until = now() + make_interval(secs => $3)
            WHERE id = $1 AND fence = $2 RETURNING id";
        let seconds = lease.as_secs_f64();
        let rows = self.query(SQL, &[&guard.conversation.0, &guard.fence.0, &seconds]).await?;
        Ok(!rows.is_empty())
    }

    /// Gives the lease back, where it is still ours, and marks that no invocation is at work.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn release_lease(self, guard: Guard) -> Result<(), DbError> {
        const IDLE: &str = "
            UPDATE turns SET in_progress = false WHERE conversation_id = $1 AND in_progress
              AND EXISTS (SELECT 1 FROM web_conversations WHERE id = $1 AND fence = $2)";
        const FREE: &str = "UPDATE web_conversations SET lease_until = NULL WHERE id = $1 AND fence = $2";
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&guard.conversation.0, &guard.fence.0];
        // The conversation's row first, as everywhere: else two transactions could wait for each other.
        self.run([(FREE, &values), (IDLE, &values)]).await?;
        Ok(())
    }

    /// Sets the log's generation, if it is still the one that was read; the one that holds now, with the fence
    /// and epoch that hold now.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn set_generation(
        self,
        conversation: ConversationId,
        from: Option<Generation>,
        to: Generation,
    ) -> Result<Option<GenerationSet>, DbError> {
        const SET: &str = "
            UPDATE web_conversations SET log_generation = $3
            WHERE id = $1 AND log_generation IS NOT DISTINCT FROM $2::bigint RETURNING id";
        const GET: &str = "SELECT log_generation, fence, epoch FROM web_conversations WHERE id = $1";
        let from: Option<i64> = from.map(|g| g.0);
        let [set, rows] =
            self.run([(SET, &[&conversation.0, &from, &to.0]), (GET, &[&conversation.0])]).await?;
        rows.first()
            .map(|row| {
                Ok(GenerationSet {
                    generation: Generation(get::<Option<i64>>(row, "log_generation")?.unwrap_or(to.0)),
                    raised: !set.is_empty(),
                    fence: Fence(get(row, "fence")?),
                    epoch: Epoch(get(row, "epoch")?),
                })
            })
            .transpose()
    }
}
