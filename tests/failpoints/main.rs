//! The process dies at every named point of a turn, of accepting a message, of stopping and of a reset: each point, at
//! each time it is reached, in each of the stories below (delivery.md section 9). Whoever comes next finishes it.
//! Built apart (`--features failpoints`), so that no function has the points.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "what fails here fails a test"
)]

mod process;
mod story;

use std::collections::BTreeMap;
use std::sync::Mutex;

use konstruct_tests::TestApp;
use tokio::runtime::Builder;

use process::Death;
use story::Story;

/// A point is died at so many times at most: the twentieth piece is like the third.
const TIMES_MAX: usize = 3;

/// Runs a story once to learn which points it reaches, then once per death.
fn die_everywhere(story: Story) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(TestApp::start()).world;
    let reached: BTreeMap<&'static str, usize> = story.play(&world, None);
    let deaths: Vec<Death> = reached
        .iter()
        .flat_map(|(point, times)| (1..=(*times).min(TIMES_MAX)).map(|time| Death { point, time }))
        .collect();
    let (count, left) = (deaths.len(), Mutex::new(deaths));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(death) = { left.lock().unwrap().pop() } {
                    story.play(&world, Some(death));
                }
            });
        }
    });
    println!("{story:?}: {count} deaths at {} points", reached.len());
    assert!(count >= 4, "{story:?} reaches hardly any point: {reached:?}");
}

/// proves CHAT-08, CHAT-09
#[test]
fn an_answer_survives_a_death_at_every_point() {
    die_everywhere(Story::Answer);
}

/// proves CHAT-08, AGNT-02
#[test]
fn a_model_that_fails_in_mid_answer_and_a_death_at_every_point_give_one_answer() {
    die_everywhere(Story::ModelFails);
}

/// proves CHAT-08
#[test]
fn an_error_is_told_once_whatever_dies() {
    die_everywhere(Story::ModelRefuses);
}

/// proves CHAT-09
#[test]
fn an_answer_survives_a_lost_log_and_a_death_at_every_point() {
    die_everywhere(Story::LogLost);
}

/// proves CHAT-11
#[test]
fn a_stop_and_a_death_at_every_point_give_one_end() {
    die_everywhere(Story::Stopped);
}

/// proves CHAT-04, CHAT-07, CHAT-08
#[test]
fn a_message_is_stored_and_answered_once_wherever_accepting_it_dies() {
    die_everywhere(Story::Accept);
}

/// proves CHAT-03
#[test]
fn a_reset_that_dies_anywhere_is_completed_when_it_is_asked_for_again() {
    die_everywhere(Story::Reset);
}

/// proves AGNT-04, CHAT-08
#[test]
fn a_tool_runs_at_most_once_and_one_answer_stands_whatever_dies() {
    die_everywhere(Story::Tool);
}

/// proves AGNT-05
#[test]
fn a_yes_is_carried_out_at_most_once_whatever_dies() {
    die_everywhere(Story::Confirmed);
}

/// proves AGNT-06
#[test]
fn a_hand_over_by_the_tool_is_told_once_whatever_dies() {
    die_everywhere(Story::Escalated);
}

/// proves AGNT-06
#[test]
fn a_take_over_and_a_reply_are_told_once_wherever_they_die() {
    die_everywhere(Story::TakenOver);
}

/// proves AGNT-06
#[test]
fn a_wish_for_a_human_is_granted_once_whatever_dies() {
    die_everywhere(Story::Wished);
}
