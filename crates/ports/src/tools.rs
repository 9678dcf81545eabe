//! Tools that reach outside: servers that speak the Model Context Protocol, and the web. Which agent may call what,
//! and what asks a person first, is not decided here.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::BoxFuture;
use crate::language_model::ApiKey;

/// A tool as a model is offered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name: 1 to 64 characters of `A-Za-z0-9_-`.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON Schema of its arguments, an object's.
    pub parameters: Map<String, Value>,
}

/// A tenant's server of tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolServer {
    /// Its MCP endpoint, given by the tenant: reached through the guarded client only.
    pub url: String,
    /// Sent as `Authorization: Bearer`, where the server wants one.
    pub key: Option<ApiKey>,
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    /// Its text, whole: whoever asked cuts it.
    pub text: String,
    /// The tool says that it failed; the text says how.
    pub is_error: bool,
}

/// Why a tool gave no answer. Holds no argument and no key, so that it can be logged and shown to the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// It was not reached: it surely did not run.
    #[error("the tool cannot be reached: {0}")]
    Unreachable(String),
    /// The address is none that may be called.
    #[error("the address is not allowed: {0}")]
    NotAllowed(String),
    /// It was asked and no answer came, or none that can be read: it may have run.
    #[error("the tool did not answer: {0}")]
    Broken(String),
    /// It was asked and no answer came in time: it may have run.
    #[error("timed out")]
    TimedOut,
}

/// Runs tools that reach outside, and judges arguments by their schema.
pub trait ToolHost: Send + Sync {
    /// The tools of a server, under its own names for them.
    ///
    /// # Errors
    /// [`ToolError`].
    fn list<'a>(
        &'a self,
        server: &'a ToolServer,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Vec<ToolSpec>, ToolError>>;

    /// Calls a tool of a server, once.
    ///
    /// # Errors
    /// [`ToolError`].
    fn call<'a>(
        &'a self,
        server: &'a ToolServer,
        tool: &'a str,
        arguments: &'a Map<String, Value>,
        limit: Duration,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>>;

    /// `GET` of a page by https from a host on the list (an entry names it and nothing below it), redirects on the list
    /// followed; its text.
    ///
    /// # Errors
    /// [`ToolError`].
    fn get<'a>(
        &'a self,
        url: &'a str,
        hosts: &'a [String],
        limit: Duration,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>>;

    /// Whether arguments are what a schema asks for.
    ///
    /// # Errors
    /// One sentence that says what is wrong and where, for the model; or that the schema is none.
    fn check(&self, schema: &Map<String, Value>, arguments: &Map<String, Value>) -> Result<(), String>;
}
