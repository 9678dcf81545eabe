//! JSON-RPC as MCP uses it: one message in, one answer out.
//! It must take any client of any version with a handshake.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::{Tickets, Tool};

/// The versions of the protocol that are spoken, newest first.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

const INVALID_REQUEST: i32 = -32600;
const NO_SUCH_METHOD: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const NOT_JSON: i32 = -32700;

type Answer = Result<Value, (i32, &'static str)>;

/// The answer to a POST.
pub fn answer(tickets: &Tickets, headers: &HeaderMap, body: &Bytes) -> Response {
    let version = headers.get("mcp-protocol-version").map(|version| version.to_str().unwrap_or_default());
    if version.is_some_and(|version| !VERSIONS.contains(&version)) {
        return refused(INVALID_REQUEST, "this version of the protocol is not spoken here");
    }
    let message: Value = match serde_json::from_slice(body) {
        Ok(message) => message,
        Err(_) => return refused(NOT_JSON, "this is no JSON"),
    };
    match message {
        // A batch, as one version had them.
        Value::Array(messages) => {
            let answers: Vec<Value> =
                messages.iter().filter_map(|message| one(tickets, message).transpose()).flatten().collect();
            if answers.is_empty() { accepted() } else { axum::Json(answers).into_response() }
        }
        message => match one(tickets, &message) {
            Ok(Some(answer)) => axum::Json(answer).into_response(),
            Ok(None) => accepted(),
            Err(()) => refused(INVALID_REQUEST, "this is no message of JSON-RPC 2.0"),
        },
    }
}

fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

fn refused(code: i32, why: &str) -> Response {
    let body = json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": why}});
    (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
}

/// The answer to a message; none: it wants none.
fn one(tickets: &Tickets, message: &Value) -> Result<Option<Value>, ()> {
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(());
    }
    let Some(method) = message.get("method").and_then(Value::as_str) else {
        // An answer to something that was never asked.
        let is_answer = message.get("result").is_some() || message.get("error").is_some();
        return if is_answer { Ok(None) } else { Err(()) };
    };
    let Some(id) = message.get("id") else { return Ok(None) };
    if !id.is_string() && !id.is_number() {
        return Err(());
    }
    let none = Map::new();
    let params = message.get("params").and_then(Value::as_object).unwrap_or(&none);
    Ok(Some(match served(tickets, method, params) {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err((code, why)) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": why}}),
    }))
}

fn served(tickets: &Tickets, method: &str, params: &Map<String, Value>) -> Answer {
    match method {
        "initialize" => {
            let asked = params.get("protocolVersion").and_then(Value::as_str);
            let asked = asked.ok_or((INVALID_PARAMS, "no protocolVersion"))?;
            let spoken = VERSIONS.into_iter().find(|version| *version == asked).unwrap_or(VERSIONS[0]);
            Ok(json!({
                "protocolVersion": spoken,
                "capabilities": {"tools": {"listChanged": false}},
                "serverInfo": {"name": "tickets", "title": "Demo tickets", "version": env!("CARGO_PKG_VERSION")},
            }))
        }
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({"tools": Tool::ALL.map(Tool::as_json)})),
        "tools/call" => call(tickets, params),
        _ => Err((NO_SUCH_METHOD, "there is no such method")),
    }
}

fn call(tickets: &Tickets, params: &Map<String, Value>) -> Answer {
    let name = params.get("name").and_then(Value::as_str);
    let tool = Tool::ALL.into_iter().find(|tool| Some(tool.name()) == name);
    let tool = tool.ok_or((INVALID_PARAMS, "there is no such tool"))?;
    let none = Map::new();
    let arguments = params.get("arguments").and_then(Value::as_object).unwrap_or(&none);
    let (text, is_error) = match tickets.run(tool, arguments) {
        Ok(text) => (text, false),
        Err(why) => (why.to_string(), true),
    };
    Ok(json!({"content": [{"type": "text", "text": text}], "isError": is_error}))
}
