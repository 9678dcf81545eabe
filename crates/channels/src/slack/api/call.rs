//! What is put into a call. It knows no answer.

use serde_json::{Value, json};

use crate::slack::place::Place;

pub(super) const JSON: &str = "application/json; charset=utf-8";
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// A message's text; escaped already, whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// Slack's own markup: `text`, 4,000 characters at most.
    Mrkdwn(&'a str),
    /// Markdown: `markdown_text`, 12,000 characters at most.
    Markdown(&'a str),
}

/// What a post of ours is known by when it is looked for: goes into the message's metadata, which people do not see
/// but every app of the workspace can, so it says nothing but an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker(pub(in crate::slack) String);

/// `event_type` of the metadata.
pub(super) const EVENT_TYPE: &str = "konstruct_post";

/// A message to be posted.
#[derive(Debug, Clone, Copy)]
pub struct Post<'a> {
    /// Its text.
    pub body: Body<'a>,
    /// What it is known by.
    pub marker: Option<&'a Marker>,
}

/// Who sees a stream being written; Slack asks for it everywhere but in direct messages.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// The person and their workspace, where it is known.
    pub person: Option<(&'a str, &'a str)>,
}

pub(super) fn put_body(args: &mut Value, body: Body<'_>) {
    match body {
        Body::Mrkdwn(text) => put(args, "text", json!(text)),
        Body::Markdown(text) => put(args, "markdown_text", json!(text)),
    }
}

pub(super) fn put_marker(args: &mut Value, marker: Option<&Marker>) {
    if let Some(Marker(id)) = marker {
        put(args, "metadata", json!({"event_type": EVENT_TYPE, "event_payload": {"id": id}}));
    }
}

pub(super) fn put_recipient(args: &mut Value, recipient: &Recipient<'_>) {
    if let Some((user, team)) = recipient.person {
        put(args, "recipient_user_id", json!(user));
        put(args, "recipient_team_id", json!(team));
    }
}

/// The thread that the answered message is in, if it is in one.
pub(super) fn put_thread(args: &mut Value, place: &Place) {
    if place.root != place.ts {
        put(args, "thread_ts", json!(place.root));
    }
}

fn put(args: &mut Value, name: &str, value: Value) {
    if let Some(args) = args.as_object_mut() {
        args.insert(name.to_owned(), value);
    }
}

/// `application/x-www-form-urlencoded`.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        push_encoded(&mut form, name);
        form.push('=');
        push_encoded(&mut form, value);
    }
    form
}

fn push_encoded(form: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                form.push(char::from(byte));
            }
            _ => {
                form.push('%');
                for digit in [byte >> 4, byte & 15] {
                    form.push(char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase());
                }
            }
        }
    }
}
