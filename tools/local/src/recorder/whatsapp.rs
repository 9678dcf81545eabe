//! WhatsApp's Cloud API: sending a message, marking one as read.
//! It keeps nothing: what is sent can neither be edited nor be read back.

use serde_json::{Value, json};

use crate::ids;

use super::answer::Answer;
use super::arguments::Arguments;

/// The longest text.
const TEXT_MAX: usize = 4096;

/// What Graph answers to a call of `/{phone number}/{method}`.
pub fn answer(method: &str, arguments: &Arguments) -> Answer {
    let text = |name: &str| arguments.text(name);
    if method != "messages" {
        return refusal(2500, "Unknown path components");
    }
    if text("messaging_product").as_deref() != Some("whatsapp") {
        return refusal(100, "(#100) The parameter messaging_product is required.");
    }
    if text("status").as_deref() == Some("read") {
        return match text("message_id") {
            Some(_) => Answer::new(json!({"success": true})),
            None => refusal(100, "(#100) The parameter message_id is required."),
        };
    }
    let Some(to) = text("to") else {
        return refusal(100, "(#100) The parameter to is required.");
    };
    let body = arguments.structure("text").and_then(|text| Some(text.get("body")?.as_str()?.chars().count()));
    if text("type").is_none_or(|kind| kind == "text") && !body.is_some_and(|n| (1..=TEXT_MAX).contains(&n)) {
        return refusal(
            100,
            "(#100) Param text['body'] must be at least 1 and at most 4096 characters long.",
        );
    }
    let number: String = to.chars().filter(char::is_ascii_digit).collect();
    Answer::new(json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": to, "wa_id": number}],
        "messages": [{"id": format!("wamid.{}", ids::uuid().simple().to_string().to_uppercase())}],
    }))
}

fn refusal(code: u32, message: &str) -> Answer {
    let trace = ids::uuid().simple().to_string();
    let error: Value =
        json!({"message": message, "type": "OAuthException", "code": code, "fbtrace_id": trace});
    Answer { status: 400, body: json!({"error": error}) }
}
