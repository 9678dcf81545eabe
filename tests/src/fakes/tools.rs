//! Tools that reach outside: what a server offers and answers is scripted, and every run is noted. Arguments are judged by
//! `required` alone.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use konstruct_ports::{BoxFuture, ToolError, ToolHost, ToolOutput, ToolServer, ToolSpec};
use serde_json::{Map, Value, json};

use super::model::Signal;

/// The tools of the outside world.
#[derive(Default)]
pub struct FakeTools {
    runs: Mutex<Vec<(String, Map<String, Value>)>>,
    answers: Mutex<BTreeMap<String, Result<ToolOutput, ToolError>>>,
    waits: Mutex<BTreeMap<String, (Signal, Signal)>>,
}

impl FakeTools {
    /// Every run so far: the server's own name of the tool, and its arguments.
    #[must_use]
    pub fn runs(&self) -> Vec<(String, Map<String, Value>)> {
        self.runs.lock().unwrap().clone()
    }

    /// How often a tool ran.
    #[must_use]
    pub fn times(&self, tool: &str) -> usize {
        self.runs.lock().unwrap().iter().filter(|(name, _)| name == tool).count()
    }

    /// What a tool answers from here on.
    pub fn answers(&self, tool: &str, answer: Result<&str, ToolError>) {
        let answer = answer.map(|text| ToolOutput { text: text.to_owned(), is_error: false });
        self.answers.lock().unwrap().insert(tool.to_owned(), answer);
    }

    /// From here on a tool gives the first signal when it runs, and ends when it is given the second.
    pub fn waits(&self, tool: &str) -> (Signal, Signal) {
        let signals = (Signal::default(), Signal::default());
        self.waits.lock().unwrap().insert(tool.to_owned(), signals.clone());
        signals
    }

    async fn run(&self, tool: &str, arguments: &Map<String, Value>) -> Result<ToolOutput, ToolError> {
        self.runs.lock().unwrap().push((tool.to_owned(), arguments.clone()));
        let waits = self.waits.lock().unwrap().get(tool).cloned();
        if let Some((running, ends)) = waits {
            running.give();
            ends.given().await;
        }
        let scripted = self.answers.lock().unwrap().get(tool).cloned();
        scripted.unwrap_or_else(|| {
            Ok(ToolOutput { text: format!("{tool} says {}", json!(arguments)), is_error: false })
        })
    }
}

/// A tool that takes one text.
fn spec(name: &str, argument: &str) -> ToolSpec {
    let schema =
        json!({"type": "object", "required": [argument], "properties": {argument: {"type": "string"}}});
    let Value::Object(parameters) = schema else { unreachable!() };
    ToolSpec { name: name.to_owned(), description: format!("Does {name}."), parameters }
}

impl ToolHost for FakeTools {
    fn list<'a>(
        &'a self,
        server: &'a ToolServer,
        _: Duration,
    ) -> BoxFuture<'a, Result<Vec<ToolSpec>, ToolError>> {
        Box::pin(async move {
            if server.url.contains("away") {
                return Err(ToolError::Unreachable("scripted".to_owned()));
            }
            Ok(vec![spec("find", "what"), spec("buy", "what")])
        })
    }

    fn call<'a>(
        &'a self,
        _: &'a ToolServer,
        tool: &'a str,
        arguments: &'a Map<String, Value>,
        _: Duration,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        Box::pin(self.run(tool, arguments))
    }

    fn get<'a>(
        &'a self,
        url: &'a str,
        hosts: &'a [String],
        _: Duration,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        Box::pin(async move {
            if !hosts.iter().any(|host| url.starts_with(&format!("https://{host}/"))) {
                return Err(ToolError::NotAllowed("scripted".to_owned()));
            }
            let Value::Object(arguments) = json!({"url": url}) else { unreachable!() };
            self.run("http_get", &arguments).await
        })
    }

    fn check(&self, schema: &Map<String, Value>, arguments: &Map<String, Value>) -> Result<(), String> {
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        for name in required.iter().filter_map(Value::as_str) {
            if !arguments.get(name).is_some_and(Value::is_string) {
                return Err(format!("{name} must be a text"));
            }
        }
        Ok(())
    }
}
