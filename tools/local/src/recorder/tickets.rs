//! The demo's server of tools, `tickets`: MCP over streamable HTTP, with JSON answers and without sessions.
//! It must log nothing of what it is asked, and a run of a tool is listed once and for ever.

mod rpc;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::clock::{now_ms, rfc3339};

/// Longest name of a ticket, in characters.
const TICKET_MAX: usize = 100;

/// All that the server knows. One lock: a tool takes effect and is listed in one step.
#[derive(Debug, Default)]
struct Books {
    closed: HashSet<String>,
    runs: Vec<Value>,
}

/// The server's books.
#[derive(Debug, Default)]
pub struct Tickets(Mutex<Books>);

/// The two tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Lookup,
    Close,
}

impl Tool {
    const ALL: [Self; 2] = [Self::Lookup, Self::Close];

    fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Close => "close",
        }
    }

    /// As the product names it to a model.
    fn listed_name(self) -> &'static str {
        match self {
            Self::Lookup => "tickets_lookup",
            Self::Close => "tickets_close",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Lookup => "Looks up a ticket: whether it is open, and what it is about.",
            Self::Close => "Closes a ticket.",
        }
    }

    fn as_json(self) -> Value {
        let ticket = json!({"type": "string", "description": "The ticket's number.", "minLength": 1, "maxLength": TICKET_MAX});
        json!({
            "name": self.name(),
            "description": self.description(),
            "inputSchema": {
                "type": "object", "properties": {"ticket": ticket}, "required": ["ticket"],
                "additionalProperties": false,
            },
            "annotations": {"readOnlyHint": self == Self::Lookup, "idempotentHint": true, "openWorldHint": false},
        })
    }
}

/// The server and its list of runs.
pub fn router() -> Router {
    Router::new()
        // There are no sessions to delete, and nothing is said unasked.
        .route("/tickets/mcp", post(take).fallback(|| async { StatusCode::METHOD_NOT_ALLOWED }))
        .route("/_tickets/calls", get(list))
        .with_state(Arc::<Tickets>::default())
}

async fn list(State(tickets): State<Arc<Tickets>>) -> Response {
    axum::Json(tickets.books().runs.clone()).into_response()
}

async fn take(State(tickets): State<Arc<Tickets>>, headers: HeaderMap, body: Bytes) -> Response {
    rpc::answer(&tickets, &headers, &body)
}

impl Tickets {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a tool; what it says, or why it does not run.
    fn run(&self, tool: Tool, arguments: &Map<String, Value>) -> Result<String, &'static str> {
        let ticket = match (arguments.get("ticket"), arguments.len()) {
            (Some(Value::String(ticket)), 1) => ticket.trim(),
            _ => return Err("the arguments are one text, `ticket`, and nothing else"),
        };
        if ticket.is_empty() || ticket.chars().count() > TICKET_MAX {
            return Err("`ticket` is empty or too long");
        }
        let mut books = self.books();
        let run = json!({"at": rfc3339(now_ms()), "tool": tool.listed_name(), "arguments": arguments});
        books.runs.push(run);
        if tool == Tool::Close {
            books.closed.insert(ticket.to_string());
        }
        let state = if books.closed.contains(ticket) { "closed" } else { "open" };
        Ok(match tool {
            Tool::Lookup => format!("Ticket {ticket} is {state}: \"The parcel has not arrived.\""),
            Tool::Close => format!("Ticket {ticket} is {state}."),
        })
    }
}
