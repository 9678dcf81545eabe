//! Deciding a call that waits for a yes (AGNT-05). One UPDATE decides; what runs it is the agent, which reads what was
//! decided. Nothing is run here.

use konstruct_domain::{ConversationId, MessageId, TenantId, UserId};
use konstruct_postgres::confirmations::{Decided, Ruling};
use konstruct_postgres::steps::Decision;

use crate::error::Error;
use crate::failpoint::reach;
use crate::inbound::not_a_member;
use crate::patience::Patience;
use crate::wake::{Due, Wake};

/// Who decides what.
#[derive(Debug, Clone, Copy)]
pub struct Yes<'a> {
    /// In which conversation.
    pub conversation: ConversationId,
    /// Who, in the channel's own terms.
    pub person: &'a str,
    /// Which call; `None`: the oldest that waits for this person.
    pub call_id: Option<&'a str>,
    /// Yes, or no.
    pub approve: bool,
    /// The message that says so, where it is one.
    pub message: Option<MessageId>,
}

/// What came of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The call is decided.
    Decided,
    /// A copy of the same message had decided it.
    Copy,
    /// None waits for this person, or it is decided or has expired.
    Nothing,
}

/// Decides a call and wakes its turn.
///
/// # Errors
/// `Away` when patience ended. What was decided stays decided, and the janitor wakes its turn.
pub async fn decide(
    wake: &Wake,
    tenant: TenantId,
    yes: Yes<'_>,
    patience: Patience,
) -> Result<Outcome, Error> {
    let ruling = Ruling {
        conversation: yes.conversation,
        person: yes.person,
        call_id: yes.call_id,
        decision: if yes.approve { Decision::Approved } else { Decision::Denied },
        message: yes.message,
    };
    // Not repeated: an UPDATE whose answer was lost has decided, and its repetition would say that nothing waits.
    let decide = async { wake.db.begin(tenant).await?.decide(ruling).await };
    let Some((decided, again)) = decide.await? else { return Ok(Outcome::Nothing) };
    reach("confirm.decided").await;
    patience.retry(|| go_on(wake, tenant, yes.conversation, &decided)).await?;
    Ok(if again { Outcome::Copy } else { Outcome::Decided })
}

/// A portal user's decision.
#[derive(Debug, Clone, Copy)]
pub struct MemberYes<'a> {
    /// In which conversation.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
    /// Which call.
    pub call_id: &'a str,
    /// Yes, or no.
    pub approve: bool,
}

/// Decides a call as the portal user it waits for; `false`: there is nothing to decide.
///
/// # Errors
/// A refusal of who is no member any more; `Away` when patience ended.
pub async fn decide_as_member(
    wake: &Wake,
    tenant: TenantId,
    yes: MemberYes<'_>,
    patience: Patience,
) -> Result<bool, Error> {
    let look = || async { wake.db.begin(tenant).await?.membership(yes.user).await };
    if patience.retry(look).await?.is_none() {
        return Err(not_a_member());
    }
    let person = yes.user.to_string();
    let yes = Yes {
        conversation: yes.conversation,
        person: &person,
        call_id: Some(yes.call_id),
        approve: yes.approve,
        message: None,
    };
    Ok(decide(wake, tenant, yes, patience).await? == Outcome::Decided)
}

/// Cancels what waits for a person who stops an answer; how many calls.
///
/// # Errors
/// `Away` when patience ended.
pub async fn cancel(
    wake: &Wake,
    tenant: TenantId,
    conversation: ConversationId,
    user: UserId,
    patience: Patience,
) -> Result<usize, Error> {
    let person = user.to_string();
    let cancel = || async { wake.db.begin(tenant).await?.cancel_confirmations(conversation, &person).await };
    let cancelled = patience.retry(cancel).await?;
    for decided in &cancelled {
        patience.retry(|| go_on(wake, tenant, conversation, decided)).await?;
    }
    Ok(cancelled.len())
}

/// Ends what nobody decided in time.
pub(crate) async fn expire(wake: &Wake, tenant: TenantId, conversation: ConversationId) -> Result<(), Error> {
    let expired = wake.db.begin(tenant).await?.expire_confirmations(conversation).await?;
    for decided in &expired {
        go_on(wake, tenant, conversation, decided).await?;
    }
    Ok(())
}

async fn go_on(
    wake: &Wake,
    tenant: TenantId,
    conversation: ConversationId,
    decided: &Decided,
) -> Result<(), Error> {
    let (message, epoch, trace) = (decided.turn, decided.epoch, decided.trace);
    let due = Due { tenant, conversation, message, epoch, trace };
    wake.go_on(due, &decided.call_id).await
}

/// A message that says yes or no and nothing else.
#[must_use]
pub fn bare_answer(text: &str) -> Option<bool> {
    const YES: [&str; 12] =
        ["yes", "y", "yes please", "ja", "ja bitte", "oui", "si", "sí", "sim", "approve", "👍", ":+1:"];
    const NO: [&str; 10] = ["no", "n", "no thanks", "nein", "non", "não", "nee", "deny", "👎", ":-1:"];
    let word = text.trim().trim_end_matches(['.', '!']).to_lowercase();
    if YES.contains(&word.as_str()) {
        return Some(true);
    }
    NO.contains(&word.as_str()).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// proves AGNT-05
    #[test]
    fn only_a_bare_yes_or_no_decides() {
        for yes in ["yes", "Yes!", " JA ", "👍", "yes please."] {
            assert_eq!(bare_answer(yes), Some(true), "{yes}");
        }
        for no in ["no", "No.", "nein", "👎"] {
            assert_eq!(bare_answer(no), Some(false), "{no}");
        }
        for other in ["", "yes, but not now", "no idea", "not yes", "yes?", "yesterday", "y e s", "yes\nno"] {
            assert_eq!(bare_answer(other), None, "{other}");
        }
    }
}
