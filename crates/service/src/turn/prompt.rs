//! The prompt (AGNT-01): pure. The one system message from the agent's row, then memory, then the message to be
//! answered, within the budget: the oldest exchanges drop first, the system message never.

use konstruct_domain::Agent;
use konstruct_ports::{PromptMessage, PromptRole};
use time::Date;

use super::progress::estimated_tokens;

/// A question and its answer.
pub type Remembered = (String, Option<String>);

/// Builds the messages of a prompt.
#[must_use]
pub fn build(
    agent: &Agent,
    today: Date,
    memory: &[Remembered],
    question: &str,
    tokens_max: usize,
) -> Vec<PromptMessage> {
    let system = system_message(agent, today);
    let mut left = tokens_max.saturating_sub(estimated_tokens(&system) + estimated_tokens(question));
    let fits = |(asked, answered): &&Remembered| {
        let size = estimated_tokens(asked) + answered.as_deref().map_or(0, estimated_tokens);
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    };
    let kept = memory.iter().rev().take_while(fits).count();
    let mut messages = vec![message(PromptRole::System, system)];
    for (asked, answered) in memory.iter().skip(memory.len() - kept) {
        messages.push(message(PromptRole::User, asked.clone()));
        // An empty answer (stopped before its first piece) is none to a model.
        if let Some(answered) = answered.as_ref().filter(|text| !text.is_empty()) {
            messages.push(message(PromptRole::Assistant, answered.clone()));
        }
    }
    messages.push(message(PromptRole::User, question.to_owned()));
    messages
}

fn message(role: PromptRole, content: String) -> PromptMessage {
    PromptMessage { role, content }
}

fn system_message(agent: &Agent, today: Date) -> String {
    let mut parts = vec![format!("You are {}, {}.", agent.name, agent.role)];
    parts.extend([&agent.persona, &agent.instructions].into_iter().filter(|p| !p.is_empty()).cloned());
    if agent.language.is_empty() {
        parts.push("Answer in the language of the person who writes to you.".to_owned());
    } else {
        parts.push(format!("Answer in this language unless you are asked for another: {}.", agent.language));
    }
    parts.push("If you are asked whether you are an AI, say that you are.".to_owned());
    parts.push(format!("Today is {today}."));
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use konstruct_domain::{AgentId, TenantId};
    use uuid::Uuid;

    fn agent() -> Agent {
        Agent {
            id: AgentId(Uuid::nil()),
            tenant_id: TenantId(Uuid::nil()),
            name: "Ada".into(),
            role: "Support agent".into(),
            persona: "You are calm.".into(),
            instructions: "Help with orders.".into(),
            language: "de".into(),
            model: None,
            is_active: true,
        }
    }

    fn build_with(memory: &[Remembered], tokens_max: usize) -> Vec<PromptMessage> {
        build(&agent(), time::macros::date!(2026 - 11 - 21), memory, "now?", tokens_max)
    }

    /// proves AGNT-01
    #[test]
    fn the_system_message_is_built_from_the_agent() {
        let system = build_with(&[], 1_000).remove(0).content;
        assert_eq!(
            system,
            "You are Ada, Support agent.\n\nYou are calm.\n\nHelp with orders.\n\nAnswer in this language unless you \
             are asked for another: de.\n\nIf you are asked whether you are an AI, say that you are.\n\nToday is \
             2026-11-21."
        );
    }

    /// proves AGNT-01
    #[test]
    fn each_answer_stands_behind_its_question_and_the_message_is_last() {
        let memory = [("a".into(), Some("A".into())), ("b".into(), None), ("c".into(), Some(String::new()))];
        let said: Vec<String> = build_with(&memory, 1_000).into_iter().skip(1).map(|m| m.content).collect();
        assert_eq!(said, ["a", "A", "b", "c", "now?"]);
    }

    /// proves AGNT-01
    #[test]
    fn the_oldest_exchanges_drop_first_and_whole() {
        let long = "x".repeat(400);
        let memory = vec![(long.clone(), Some(long)); 5];
        let messages = build_with(&memory, 300);
        assert_eq!(messages.len(), 2 + 2, "system, one whole exchange, the message");
        assert_eq!(build_with(&memory, 0).len(), 2, "the system message and the question never drop");
    }
}
