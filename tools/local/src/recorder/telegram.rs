//! Telegram's Bot API: sending, editing and deleting messages, drafts, actions, the webhook.
//! Only the bot's own messages are known, each by its number in its chat.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::clock::now_ms;

use super::answer::Answer;
use super::arguments::Arguments;

/// The longest text.
const TEXT_MAX: usize = 4096;

/// The texts in each chat, by number.
#[derive(Debug, Default)]
pub struct Chats(HashMap<String, BTreeMap<i64, String>>);

/// What a method answers: `result`, or what is wrong with the request.
type Outcome = Result<Value, &'static str>;

impl Chats {
    /// What Telegram answers to a call.
    pub fn answer(&mut self, method: &str, arguments: &Arguments) -> Answer {
        let outcome = match method {
            "sendMessage" => self.send(arguments),
            "editMessageText" => self.edit(arguments),
            "deleteMessage" => self.delete(arguments),
            "sendMessageDraft" => draft(arguments),
            "sendChatAction" => chat(arguments).map(|_| true.into()),
            "setWebhook" | "deleteWebhook" => Ok(true.into()),
            "getMe" => Ok(bot()),
            _ => return refusal(404, "Not Found"),
        };
        match outcome {
            Ok(result) => Answer::new(json!({"ok": true, "result": result})),
            Err(why) => refusal(400, &format!("Bad Request: {why}")),
        }
    }

    fn send(&mut self, arguments: &Arguments) -> Outcome {
        let (chat, text) = (chat(arguments)?, text(arguments)?);
        let known = self.0.entry(chat.clone()).or_default();
        let id = known.last_key_value().map_or(1, |(last, _)| last + 1);
        known.insert(id, text.clone());
        Ok(message(&chat, id, &text, arguments))
    }

    fn edit(&mut self, arguments: &Arguments) -> Outcome {
        let (chat, text) = (chat(arguments)?, text(arguments)?);
        let id = arguments.number("message_id").ok_or("message identifier is not specified")?;
        let known = self.0.get_mut(&chat).and_then(|known| known.get_mut(&id));
        let old = known.ok_or("message to edit not found")?;
        if *old == text {
            return Err(
                "message is not modified: specified new message content and reply markup are exactly \
                        the same as a current content and reply markup of the message",
            );
        }
        old.clone_from(&text);
        let mut message = message(&chat, id, &text, arguments);
        if let Some(members) = message.as_object_mut() {
            members.insert("edit_date".into(), (now_ms() / 1000).into());
        }
        Ok(message)
    }

    fn delete(&mut self, arguments: &Arguments) -> Outcome {
        let chat = chat(arguments)?;
        let id = arguments.number("message_id").ok_or("message identifier is not specified")?;
        let known = self.0.get_mut(&chat).and_then(|known| known.remove(&id));
        known.map(|_| true.into()).ok_or("message to delete not found")
    }
}

/// A draft is seen for 30 seconds and kept nowhere.
fn draft(arguments: &Arguments) -> Outcome {
    let private = chat(arguments)?.parse::<i64>().is_ok_and(|id| id > 0);
    let draft = arguments.number("draft_id").is_some_and(|id| id != 0);
    let fits = arguments.text("text").is_none_or(|text| text.chars().count() <= TEXT_MAX);
    match (private, draft, fits) {
        (false, _, _) => Err("chat not found"),
        (_, false, _) => Err("draft identifier must be non-zero"),
        (_, _, false) => Err("message is too long"),
        (true, true, true) => Ok(true.into()),
    }
}

fn chat(arguments: &Arguments) -> Result<String, &'static str> {
    arguments.text("chat_id").ok_or("chat_id is empty")
}

fn text(arguments: &Arguments) -> Result<String, &'static str> {
    let text = arguments.text("text").ok_or("message text is empty")?;
    if text.chars().count() > TEXT_MAX { Err("message is too long") } else { Ok(text) }
}

fn bot() -> Value {
    json!({"id": 7_000_001, "is_bot": true, "first_name": "Konstruct", "username": "konstruct_demo_bot"})
}

fn message(chat: &str, id: i64, text: &str, arguments: &Arguments) -> Value {
    let chat = match chat.parse::<i64>() {
        Ok(id) if id < 0 => json!({"id": id, "type": "supergroup"}),
        Ok(id) => json!({"id": id, "type": "private"}),
        Err(_) => {
            json!({"id": -1_000_000_000_001_i64, "type": "channel", "username": chat.trim_start_matches('@')})
        }
    };
    let mut message =
        json!({"message_id": id, "from": bot(), "chat": chat, "date": now_ms() / 1000, "text": text});
    if let (Some(thread), Some(members)) = (arguments.number("message_thread_id"), message.as_object_mut()) {
        members.insert("message_thread_id".into(), thread.into());
    }
    message
}

fn refusal(code: u16, description: &str) -> Answer {
    Answer { status: code, body: json!({"ok": false, "error_code": code, "description": description}) }
}
