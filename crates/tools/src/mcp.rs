//! A conversation with an MCP server: initialize, one thing asked, the session ended. Each call has a session of its own,
//! and nothing of one is kept for the next.

mod read;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

use konstruct_http::GuardedClient;
use konstruct_ports::{ToolError, ToolOutput, ToolServer, ToolSpec};
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams,
    ProtocolVersion,
};
use rmcp::service::{RunningService, ServiceError, serve_client};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{Peer, RoleClient};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use wire::{Counts, Wire};

/// Tools of one server that are looked at.
const TOOLS_MAX: usize = 128;
/// Pages of its list that are asked for.
const PAGES_MAX: usize = 5;
/// Longest wait for a session to be ended.
const GOODBYE: Duration = Duration::from_secs(1);

type Session = RunningService<RoleClient, ClientConfig>;

/// The tools of a server.
pub async fn list(
    client: &GuardedClient,
    server: &ToolServer,
    limit: Duration,
) -> Result<Vec<ToolSpec>, ToolError> {
    let deadline = Instant::now() + limit;
    let wire = Wire::new(client, server, deadline, Counts::Everything)?;
    let talk = async {
        let session = open(&wire, server).await?;
        let tools = pages(&session).await;
        Some((session, tools))
    };
    let (session, tools) = talked(timeout_at(deadline, talk).await, &wire)?;
    close(session, deadline).await;
    tools.map(read::specs).map_err(|error| match error {
        ServiceError::McpError(_) => wire.error("it does not list its tools"),
        _ => wire.error("it listed no tools that can be read"),
    })
}

/// Calls a tool, once.
pub async fn call(
    client: &GuardedClient,
    server: &ToolServer,
    tool: &str,
    arguments: &Map<String, Value>,
    limit: Duration,
) -> Result<ToolOutput, ToolError> {
    let deadline = Instant::now() + limit;
    let wire = Wire::new(client, server, deadline, Counts::ToolCalls)?;
    let asked = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.clone());
    let talk = async {
        let session = open(&wire, server).await?;
        let answer = session.call_tool_once(asked).await;
        Some((session, answer))
    };
    let (session, answer) = talked(timeout_at(deadline, talk).await, &wire)?;
    close(session, deadline).await;
    match answer {
        Ok(answer) => read::output(answer).ok_or_else(|| wire.error("it asked for more instead")),
        // The server's word that the call failed: for the model, and never for a log.
        Err(ServiceError::McpError(refusal)) if !wire.had_trouble() => Ok(read::refused(&refusal.message)),
        Err(_) => Err(wire.error("no answer that can be read")),
    }
}

/// What came of a conversation that had until its deadline.
fn talked<T>(outcome: Result<Option<T>, tokio::time::error::Elapsed>, wire: &Wire) -> Result<T, ToolError> {
    match outcome {
        Ok(Some(talked)) => Ok(talked),
        Ok(None) => Err(wire.error("it does not speak the Model Context Protocol")),
        Err(_) => Err(wire.too_late()),
    }
}

/// A session; none: the wire knows why, or the server does not speak the protocol.
async fn open(wire: &Wire, server: &ToolServer) -> Option<Session> {
    let transport = StreamableHttpClientTransportConfig::with_uri(server.url.as_str())
        // It would send a call again.
        .reinit_on_expired_session(false);
    let transport = StreamableHttpClientTransport::with_client(wire.clone(), transport);
    let ours = Implementation::new("konstruct", env!("CARGO_PKG_VERSION"));
    // No capabilities: a server can have us sample, ask a person or list folders as little as it can have us call.
    let config = ClientConfig::new(ClientCapabilities::default(), ours)
        // The newest has no handshake, and not every server says so when it is greeted with one.
        .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE);
    serve_client(config, transport).await.ok()
}

async fn pages(peer: &Peer<RoleClient>) -> Result<Vec<rmcp::model::Tool>, ServiceError> {
    let mut tools = Vec::new();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let asked = cursor.map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
        let page = peer.list_tools(asked).await?;
        tools.extend(page.tools);
        cursor = page.next_cursor;
        if cursor.is_none() || tools.len() >= TOOLS_MAX {
            break;
        }
    }
    tools.truncate(TOOLS_MAX);
    Ok(tools)
}

/// Ends a session; whether the server heard of it changes nothing.
async fn close(mut session: Session, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    let _ = session.close_with_timeout(left.min(GOODBYE)).await;
}
