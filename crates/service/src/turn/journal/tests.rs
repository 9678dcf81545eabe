//! The journal driven through every kind of life: whatever happens, what is to be done next follows.

use proptest::prelude::*;

use super::*;

fn call(id: &str, name: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: "{}".to_owned() }
}

fn answered(number: i32, text: &str, calls: &[ToolCall]) -> Step {
    Step::Answered { number, text: text.to_owned(), calls: calls.to_vec() }
}

fn done(number: i32, call: &ToolCall, result: &str) -> Step {
    Step::Called { number, call: call.clone(), state: CallState::Done(result.to_owned()) }
}

fn journal(steps: Vec<Step>) -> Journal {
    Journal { steps }
}

/// proves AGNT-04
#[test]
fn calls_are_begun_one_after_another_and_then_the_model_is_asked_again() {
    let (a, b) = (call("a", "x"), call("b", "y"));
    let mut journal = Journal::default();
    assert_eq!(journal.next(), Todo::Ask(0));
    journal.note(Step::Asked { number: 0, asking: 1, settled: 0, model: "m".into(), prompt_tokens: 0 });
    assert_eq!(journal.next(), Todo::Ask(0), "an asking without a result is asked anew");
    journal.note(answered(0, "Let me see.", &[a.clone(), b.clone()]));
    assert_eq!(journal.next(), Todo::Begin(1, a.clone()));
    journal.note_call(1, &a, CallState::Begun);
    assert_eq!(journal.next(), Todo::Interrupted(1, a.clone()), "what was begun is never begun again");
    journal.note_call(1, &a, CallState::Done("1".into()));
    assert_eq!(journal.next(), Todo::Begin(2, b.clone()));
    journal.note_call(2, &b, CallState::Done("2".into()));
    assert_eq!(journal.next(), Todo::Ask(3));
    journal.note(answered(3, "Done.", &[]));
    assert_eq!(journal.next(), Todo::End);
    assert_eq!(journal.text(), "Let me see.Done.");
}

/// proves AGNT-05
#[test]
fn a_call_that_waits_is_run_only_after_it_was_decided() {
    let a = call("a", "x");
    let waiting =
        |decision| CallState::Waiting { arguments_hash: "h".into(), expires_at: "t".into(), decision };
    let mut journal = journal(vec![answered(0, "", std::slice::from_ref(&a))]);
    journal.note_call(1, &a, waiting(None));
    assert_eq!(journal.next(), Todo::Wait(1, a.clone(), "t".into()));
    for decision in [Decision::Approved, Decision::Denied, Decision::Expired, Decision::Cancelled] {
        journal.note_call(1, &a, waiting(Some(decision)));
        assert_eq!(journal.next(), Todo::Decided(1, a.clone(), "h".into(), decision));
    }
}

#[test]
fn only_a_call_that_ran_hands_over_to_a_human() {
    let a = call("a", ESCALATE);
    let of = |result: &str| journal(vec![answered(0, "", std::slice::from_ref(&a)), done(1, &a, result)]);
    assert!(of("A human colleague has it.").escalates());
    assert!(!of("not run: not granted").escalates());
    assert!(!journal(vec![answered(0, "", &[]), done(1, &call("b", "other"), "x")]).escalates());
}

#[test]
fn an_asking_that_died_is_unsettled_until_it_is_paid_for() {
    let asked = |asking, settled| {
        journal(vec![Step::Asked { number: 0, asking, settled, model: "m".into(), prompt_tokens: 0 }])
    };
    assert!(asked(2, 1).unsettled().is_some());
    assert!(asked(2, 2).unsettled().is_none());
    assert!(journal(vec![answered(0, "", &[])]).unsettled().is_none());
}

/// What a random life of a turn is made of.
#[derive(Debug, Clone)]
enum Life {
    Answers(String, usize),
    Finishes,
    Dies,
}

fn life() -> impl Strategy<Value = Life> {
    prop_oneof![
        3 => ("[a-z ]{0,6}", 0_usize..4).prop_map(|(text, calls)| Life::Answers(text, calls)),
        4 => Just(Life::Finishes),
        1 => Just(Life::Dies),
    ]
}

proptest! {
    /// proves AGNT-04
    #[test]
    fn each_call_is_begun_once_at_most_and_has_one_result_in_the_prompt(lives in proptest::collection::vec(life(), 0..60)) {
        let mut journal = Journal::default();
        let (mut begun, mut ids) = (Vec::new(), 0);
        for life in lives {
            match (journal.next(), life) {
                (Todo::Ask(number), Life::Answers(text, calls)) => {
                    let calls: Vec<ToolCall> = (0..calls).map(|_| { ids += 1; call(&ids.to_string(), "x") }).collect();
                    journal.note(answered(number, &text, &calls));
                }
                (Todo::Ask(number), Life::Dies) => journal.note(Step::Asked { number, asking: 1, settled: 0, model: "m".into(), prompt_tokens: 0 }),
                (Todo::Begin(number, call), life) => {
                    prop_assert!(!begun.contains(&call.id), "{} is begun twice", call.id);
                    begun.push(call.id.clone());
                    journal.note_call(number, &call, CallState::Begun);
                    if matches!(life, Life::Finishes) {
                        journal.note_call(number, &call, CallState::Done("r".into()));
                    }
                }
                (Todo::Interrupted(number, call), _) => {
                    journal.note_call(number, &call, CallState::Done("interrupted".into()));
                }
                (Todo::End, _) => break,
                _ => {}
            }
        }
        let numbers: Vec<i32> = journal.steps.iter().map(Step::number).collect();
        prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        for exchange in journal.exchanges().iter().rev().skip(1) {
            let Some(PromptMessage::Assistant { calls, .. }) = exchange.first() else { panic!("{exchange:?}") };
            prop_assert_eq!(calls.len(), exchange.len() - 1, "each call has its result behind it");
        }
    }
}
