//! Real captures, read. They are not part of the project: where they are absent, the tests say so and pass.
//! `KONSTRUCT_FIXTURES` names their folder; `../shared/fixtures` beside the workspace is looked at.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test, which says where it looks for captures"
)]

use std::path::Path;

use konstruct_channels::slack::event::{Addressed, Ignored, Received, SlackMessage, parse};
use konstruct_channels::slack::normalise::message_id;
use konstruct_channels::slack::place::session_id;
use serde_json::Value;

fn capture(name: &str) -> Option<Value> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let folder = std::env::var_os("KONSTRUCT_FIXTURES").map_or(beside, Into::into);
    let Ok(text) = std::fs::read_to_string(folder.join("slack").join(name)) else {
        println!("skipped: no capture {name} in {}", folder.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn received(capture: &Value, name: &str) -> Received {
    parse(capture[name].to_string().as_bytes(), Some("application/json"), None)
}

fn message(capture: &Value, name: &str) -> SlackMessage {
    match received(capture, name) {
        Received::Message(message) => *message,
        other => panic!("{name}: {other:?}"),
    }
}

/// proves SLACK-01
/// proves SLACK-02
#[test]
fn a_mention_and_its_follow_up_are_one_thread() {
    let Some(capture) = capture("mention.json") else { return };
    let (mention, follow_up) = (message(&capture, "mention"), message(&capture, "followUp"));
    assert_eq!((mention.addressed, mention.text.as_str()), (Addressed::Mention, "Hey"));
    assert_eq!((follow_up.addressed, follow_up.text.as_str()), (Addressed::MaybeFollowed, "Hi"));
    assert_eq!(session_id(&mention), "C00FAKECHAN1:1767224888.280449");
    assert_eq!(session_id(&mention), session_id(&follow_up));
    assert_ne!(message_id(&mention), message_id(&follow_up));
}

/// proves SLACK-01
#[test]
fn a_message_that_names_the_bot_is_a_mention_and_rooms_are_readable() {
    let Some(capture) = capture("channel-mention.json") else { return };
    let mention = message(&capture, "mention");
    assert_eq!(mention.addressed, Addressed::Mention);
    assert_eq!(mention.text, "Can you see the name of this channel: #C00FAKECHAN2?");
}

/// proves SLACK-01
#[test]
fn a_direct_message_needs_no_mention() {
    let Some(capture) = capture("dm.json") else { return };
    assert_eq!(message(&capture, "mention").text, "Hey");
    assert_eq!(message(&capture, "dmRequest").addressed, Addressed::MaybeFollowed);
    let direct = message(&capture, "dmMessage");
    assert_eq!((direct.addressed, direct.text.as_str()), (Addressed::Direct, "Hey!"));
    assert_eq!((direct.room.as_str(), direct.channel_type.as_deref()), ("D0A5319PS02", Some("im")));
}

/// proves SLACK-01
#[test]
fn the_streaming_capture_has_four_messages_of_people_and_none_of_ours() {
    let Some(capture) = capture("streaming.json") else { return };
    assert_eq!(message(&capture, "aiMention").text, "AI What is love?");
    assert_eq!(message(&capture, "followUp").addressed, Addressed::MaybeFollowed);
    let with_file = message(&capture, "aiMentionWithFile");
    assert_eq!(with_file.text, "[AI] I don't really understand this explanation.");
    assert_eq!((with_file.files, with_file.user_team.as_deref()), (1, None));
    assert_eq!(with_file.workspace.installation_id(), Some("T00FAKE00BB"));
    assert_eq!(received(&capture, "promptMessage"), Received::Ignored(Ignored::Bot));
    assert_eq!(received(&capture, "buttonAction"), Received::Ignored(Ignored::OtherType));
    assert_eq!(message(&capture, "threadFollowUp").text, "ping?");
}

/// proves SLACK-03
#[test]
fn a_workspace_of_an_organisation_is_kept_under_its_own_id() {
    let Some(capture) = capture("workspace-1.json") else { return };
    let mention = message(&capture, "mention");
    assert_eq!(mention.workspace.enterprise_id.as_deref(), Some("E0A9D9SMZ0R"));
    assert_eq!(mention.workspace.installation_id(), Some("T0A8YAUUGMU"));
    assert_eq!(mention.text, "testing");
}
