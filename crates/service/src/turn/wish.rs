//! A person's plain wish for a human (AGNT-06): pure. It is heard without a model, so also where the models fail. What is
//! not plainly that is left to the agent, who has a tool for it.

use std::collections::BTreeSet;

/// What the agent says to it.
pub const HANDED_OVER: &str = "I am handing this conversation over to a colleague.";

/// Longest wish, in words: more is a message about something.
const WORDS_MAX: usize = 12;
/// Whom one may wish for.
const HUMANS: [&str; 16] = [
    "human",
    "humans",
    "person",
    "people",
    "operator",
    "representative",
    "employee",
    "colleague",
    "mensch",
    "menschen",
    "mitarbeiter",
    "mitarbeiterin",
    "humain",
    "humaine",
    "persona",
    "humano",
];
/// What one wishes to do.
const VERBS: [&str; 15] = [
    "talk",
    "speak",
    "chat",
    "connect",
    "transfer",
    "need",
    "want",
    "get",
    "sprechen",
    "reden",
    "verbinden",
    "parler",
    "hablar",
    "falar",
    "quiero",
];
/// What may stand around it without making it another message.
const AROUND: [&str; 48] = [
    "please",
    "i",
    "would",
    "like",
    "to",
    "with",
    "a",
    "an",
    "the",
    "real",
    "can",
    "could",
    "may",
    "let",
    "me",
    "you",
    "now",
    "some",
    "another",
    "agent",
    "live",
    "just",
    "rather",
    "instead",
    "ich",
    "möchte",
    "will",
    "mit",
    "einem",
    "einer",
    "einen",
    "bitte",
    "kann",
    "echten",
    "richtigen",
    "jetzt",
    "je",
    "veux",
    "voudrais",
    "à",
    "un",
    "une",
    "con",
    "una",
    "por",
    "favor",
    "com",
    "of",
];

/// Whether a message says that its author wants a human, and nothing else.
#[must_use]
pub fn wants_human(text: &str) -> bool {
    let lower = text.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let known = |word: &&str| HUMANS.contains(word) || VERBS.contains(word) || AROUND.contains(word);
    let all_known = words.len() <= WORDS_MAX && words.iter().all(known);
    let distinct: BTreeSet<&str> = words.iter().copied().collect();
    let a_human = HUMANS.iter().any(|human| distinct.contains(human));
    let a_verb = VERBS.iter().any(|verb| distinct.contains(verb));
    let alone =
        words.iter().all(|word| HUMANS.contains(word) || ["please", "bitte", "a", "real"].contains(word));
    all_known && a_human && (a_verb || alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// proves AGNT-06
    #[test]
    fn a_plain_wish_is_heard_and_nothing_else_is_one() {
        for wish in [
            "I want to talk to a human",
            "Please let me speak with a real person.",
            "human please!",
            "Can I chat with a human agent instead?",
            "Ich möchte bitte mit einem Menschen sprechen.",
            "Mitarbeiter",
            "Je veux parler à un humain",
        ] {
            assert!(wants_human(wish), "{wish}");
        }
        for other in [
            "",
            "Are you a human?",
            "I am a person",
            "How do I talk to a human resources department in Berlin?",
            "Tell me about the person who wrote Faust",
            "The operator of the machine was not there",
            "anybody there?",
            "please",
            "I want a hat",
        ] {
            assert!(!wants_human(other), "{other}");
        }
    }
}
