//! Tools that reach outside: the Model Context Protocol, pages of the web, and the judging of arguments. Everything that
//! a tenant names is reached through the guarded client; nothing here connects by itself, and no call is ever repeated.

#[cfg(test)]
mod fake;
mod mcp;
mod page;
mod schema;
mod text;

use std::time::Duration;

use konstruct_http::GuardedClient;
use konstruct_ports::{BoxFuture, ToolError, ToolHost, ToolOutput, ToolServer, ToolSpec};
use serde_json::{Map, Value};

/// The tools that reach outside.
#[derive(Debug, Clone)]
pub struct Tools {
    client: GuardedClient,
}

impl Tools {
    /// Tools that reach outside through this client.
    #[must_use]
    pub const fn new(client: GuardedClient) -> Self {
        Self { client }
    }
}

impl ToolHost for Tools {
    fn list<'a>(
        &'a self,
        server: &'a ToolServer,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Vec<ToolSpec>, ToolError>> {
        Box::pin(mcp::list(&self.client, server, limit))
    }

    fn call<'a>(
        &'a self,
        server: &'a ToolServer,
        tool: &'a str,
        arguments: &'a Map<String, Value>,
        limit: Duration,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        Box::pin(mcp::call(&self.client, server, tool, arguments, limit))
    }

    fn get<'a>(
        &'a self,
        url: &'a str,
        hosts: &'a [String],
        limit: Duration,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        Box::pin(page::get(&self.client, url, hosts, limit))
    }

    fn check(&self, schema: &Map<String, Value>, arguments: &Map<String, Value>) -> Result<(), String> {
        schema::check(schema, arguments)
    }
}
