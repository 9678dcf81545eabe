//! A language model that says what its script says, and an echo where there is none. It never makes anything up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use konstruct_ports::{
    BoxFuture, LanguageModel, ModelError, ModelEvent, ModelRequest, ModelStream, PromptMessage, StopReason,
    TokenUsage, ToolCall,
};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::seeds::Chance;

/// A stream waits for it; a test gives it.
#[derive(Debug, Clone)]
pub struct Signal(watch::Sender<bool>);

impl Default for Signal {
    fn default() -> Self {
        Self(watch::channel(false).0)
    }
}

impl Signal {
    pub fn give(&self) {
        self.0.send_replace(true);
    }

    /// Waits for it.
    pub async fn given(&self) {
        let _ = self.0.subscribe().wait_for(|given| *given).await;
    }
}

/// One beat of a stream.
#[derive(Debug, Clone)]
pub enum Beat {
    Say(String),
    Pause(Duration),
    Wait(Signal),
    Usage(TokenUsage),
    /// Calls a tool: its id, name and arguments.
    Call(String, String, String),
    Finish,
    Fail(ModelError),
    Hang,
}

/// One call of the model.
#[derive(Debug, Clone)]
pub enum Script {
    /// No stream at all.
    Refuse(ModelError),
    /// The provider never answers.
    Silence,
    /// A stream.
    Stream(Vec<Beat>),
}

impl Script {
    /// Says these pieces, tells its usage, and ends.
    #[must_use]
    pub fn say(pieces: &[&str]) -> Self {
        let mut beats: Vec<Beat> = pieces.iter().map(|piece| Beat::Say((*piece).to_owned())).collect();
        beats.push(Beat::Usage(TokenUsage { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 }));
        beats.push(Beat::Finish);
        Self::Stream(beats)
    }

    /// Calls one tool.
    #[must_use]
    pub fn call(id: &str, tool: &str, arguments: &str) -> Self {
        Self::calls(&[(id, tool, arguments)])
    }

    /// Calls tools, one after another.
    #[must_use]
    pub fn calls(calls: &[(&str, &str, &str)]) -> Self {
        let call = |(id, tool, arguments): &(&str, &str, &str)| {
            Beat::Call((*id).to_owned(), (*tool).to_owned(), (*arguments).to_owned())
        };
        let mut beats: Vec<Beat> = calls.iter().map(call).collect();
        beats.push(Beat::Usage(TokenUsage { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 }));
        beats.push(Beat::Finish);
        Self::Stream(beats)
    }

    /// Another try may succeed.
    #[must_use]
    pub fn busy() -> Self {
        Self::Refuse(retryable())
    }
}

/// A failure after which another try may succeed.
#[must_use]
pub fn retryable() -> ModelError {
    ModelError::Retryable { reason: "scripted".to_owned(), retry_after: None }
}

/// A failure for good.
#[must_use]
pub fn fatal() -> ModelError {
    ModelError::Fatal { reason: "scripted".to_owned() }
}

/// The model.
#[derive(Default)]
pub struct FakeModel {
    scripts: Mutex<VecDeque<Script>>,
    asked: Mutex<Vec<ModelRequest>>,
    streams_open: Arc<AtomicUsize>,
    echo_pause: Mutex<Option<Duration>>,
    mood: Mutex<Option<Chance>>,
    failed: Mutex<BTreeMap<String, Failed>>,
    calls: Mutex<Option<String>>,
}

/// How a question fared with a moody model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failed {
    /// Failures after which another try may succeed.
    pub times: usize,
    /// One for good.
    pub fatal: bool,
}

impl FakeModel {
    /// The echo takes so long for each word.
    pub fn echo_slowly(&self, pause: Duration) {
        *self.echo_pause.lock().unwrap() = Some(pause);
    }

    /// From here on one echo in seven fails: before its first word, in its middle, or for good.
    pub fn moody(&self, seed: u64) {
        *self.mood.lock().unwrap() = Some(Chance::of(seed));
    }

    /// From here on one question in three makes it call this tool first, with the question.
    pub fn calls_first(&self, tool: &str) {
        *self.calls.lock().unwrap() = Some(tool.to_owned());
    }

    fn calls_for(&self, question: &str, request: &ModelRequest) -> Option<Script> {
        let tool = self.calls.lock().unwrap().clone()?;
        let sum: u64 = question.bytes().map(u64::from).sum();
        let answered = matches!(request.messages.last(), Some(PromptMessage::ToolResult { .. }));
        let arguments = json!({"what": question}).to_string();
        (sum.is_multiple_of(3) && !answered).then(|| Script::call(&format!("c{sum}"), &tool, &arguments))
    }

    /// How a question fared.
    #[must_use]
    pub fn failed(&self, question: &str) -> Failed {
        self.failed.lock().unwrap().get(question).copied().unwrap_or_default()
    }

    fn by_chance(&self, question: &str, pause: Option<Duration>) -> Script {
        let mut mood = self.mood.lock().unwrap();
        let fate = mood.as_mut().map_or(99, |chance| chance.below(100));
        let mut failed = self.failed.lock().unwrap();
        let failed = failed.entry(question.to_owned()).or_default();
        failed.times += usize::from(fate < 12);
        failed.fatal |= (12..14).contains(&fate);
        match (fate, echo_script(question, pause)) {
            (0..6, _) => Script::busy(),
            (6..12, Script::Stream(mut beats)) => {
                beats.truncate(1 + beats.len() / 2);
                beats.push(Beat::Fail(retryable()));
                Script::Stream(beats)
            }
            (12..14, _) => Script::Refuse(fatal()),
            (_, script) => script,
        }
    }

    /// What the next calls are answered with; calls beyond are echoed.
    pub fn script(&self, scripts: impl IntoIterator<Item = Script>) {
        self.scripts.lock().unwrap().extend(scripts);
    }

    /// Forgets what is not said yet.
    pub fn clear_scripts(&self) {
        self.scripts.lock().unwrap().clear();
    }

    /// What was asked, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<ModelRequest> {
        self.asked.lock().unwrap().clone()
    }

    /// What was said in each prompt behind the system message.
    #[must_use]
    pub fn prompts(&self) -> Vec<Vec<String>> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|r| r.messages.iter().skip(1).map(|m| text_of(m).to_owned()).collect()).collect()
    }

    /// Streams that nobody has dropped yet.
    #[must_use]
    pub fn streams_open(&self) -> usize {
        self.streams_open.load(Ordering::SeqCst)
    }
}

/// What a message of a prompt says.
#[must_use]
pub fn text_of(message: &PromptMessage) -> &str {
    match message {
        PromptMessage::System(text) | PromptMessage::User(text) => text,
        PromptMessage::Assistant { text, .. } => text,
        PromptMessage::ToolResult { result, .. } => result,
    }
}

/// What the echo answers.
#[must_use]
pub fn echo(question: &str) -> String {
    format!("You said: {question}. That is all.")
}

fn echo_script(question: &str, pause: Option<Duration>) -> Script {
    let answer = echo(question);
    let Script::Stream(beats) = Script::say(&answer.split_inclusive(' ').collect::<Vec<_>>()) else {
        unreachable!()
    };
    let slowly = beats.into_iter().flat_map(|beat| pause.map(Beat::Pause).into_iter().chain([beat]));
    Script::Stream(slowly.collect())
}

impl LanguageModel for FakeModel {
    fn ask<'a>(
        &'a self,
        request: &'a ModelRequest,
    ) -> BoxFuture<'a, Result<Box<dyn ModelStream>, ModelError>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(request.clone());
            let next = self.scripts.lock().unwrap().pop_front();
            let asked = request.messages.iter().rev().find(|m| matches!(m, PromptMessage::User(_)));
            let question = asked.map(text_of).unwrap_or_default();
            let pause = *self.echo_pause.lock().unwrap();
            let next = next.or_else(|| self.calls_for(question, request));
            match next.unwrap_or_else(|| self.by_chance(question, pause)) {
                Script::Refuse(error) => Err(error),
                Script::Silence => std::future::pending().await,
                Script::Stream(beats) => {
                    self.streams_open.fetch_add(1, Ordering::SeqCst);
                    let open = Arc::clone(&self.streams_open);
                    Ok(Box::new(Stream { beats: beats.into(), until: None, open }) as Box<dyn ModelStream>)
                }
            }
        })
    }
}

struct Stream {
    beats: VecDeque<Beat>,
    until: Option<Instant>,
    open: Arc<AtomicUsize>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ModelStream for Stream {
    /// A beat is taken off only when it is over, so that dropping this loses none.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<ModelEvent>, ModelError>> {
        Box::pin(async move {
            loop {
                match self.beats.front() {
                    Some(Beat::Pause(pause)) => {
                        let until = *self.until.get_or_insert_with(|| Instant::now() + *pause);
                        sleep_until(until).await;
                        self.until = None;
                    }
                    Some(Beat::Wait(signal)) => signal.given().await,
                    Some(Beat::Hang) => std::future::pending::<()>().await,
                    _ => {}
                }
                let event = match self.beats.pop_front() {
                    Some(Beat::Say(text)) => ModelEvent::Text(text),
                    Some(Beat::Usage(usage)) => ModelEvent::Usage(usage),
                    Some(Beat::Finish) => ModelEvent::Finished(StopReason::End),
                    Some(Beat::Fail(error)) => return Err(error),
                    Some(Beat::Call(id, name, arguments)) => {
                        ModelEvent::ToolCall(ToolCall { id, name, arguments })
                    }
                    Some(Beat::Pause(_) | Beat::Wait(_) | Beat::Hang) => continue,
                    None => return Ok(None),
                };
                return Ok(Some(event));
            }
        })
    }
}
