//! Time-outs against models that fail on cue. Time is tokio's, and paused.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use konstruct_domain::Provider;
use konstruct_ports::{ModelEvent, Route, StopReason, TokenUsage};

use super::*;

/// What a model does when asked once: wait, then fail or answer with these events, each after its own wait.
enum Turn {
    Refuses(ModelError),
    Hangs,
    Answers(Vec<(u64, Result<ModelEvent, ModelError>)>),
}

struct Scripted {
    turns: Mutex<VecDeque<Turn>>,
    asked: AtomicUsize,
}

impl Scripted {
    fn new(turns: impl IntoIterator<Item = Turn>) -> Arc<Self> {
        Arc::new(Self { turns: Mutex::new(turns.into_iter().collect()), asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl LanguageModel for Scripted {
    fn ask<'a>(&'a self, _: &'a ModelRequest) -> BoxFuture<'a, Result<Box<dyn ModelStream>, ModelError>> {
        Box::pin(async {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let turn = self.turns.lock().unwrap().pop_front();
            match turn.expect("asked too often") {
                Turn::Refuses(error) => Err(error),
                Turn::Hangs => std::future::pending().await,
                Turn::Answers(events) => {
                    let stream: Box<dyn ModelStream> =
                        Box::new(ScriptedStream { events: events.into(), due: None });
                    Ok(stream)
                }
            }
        })
    }
}

struct ScriptedStream {
    events: VecDeque<(u64, Result<ModelEvent, ModelError>)>,
    due: Option<Instant>,
}

impl ModelStream for ScriptedStream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<ModelEvent>, ModelError>> {
        Box::pin(async {
            let Some((wait, _)) = self.events.front() else {
                return Ok(None);
            };
            let due = *self.due.get_or_insert_with(|| Instant::now() + Duration::from_millis(*wait));
            tokio::time::sleep_until(due).await;
            self.due = None;
            self.events.pop_front().map(|(_, event)| event).transpose()
        })
    }
}

fn failing(retry_after: Option<u64>) -> Turn {
    let retry_after = retry_after.map(Duration::from_secs);
    Turn::Refuses(ModelError::Retryable { reason: "status 500".to_owned(), retry_after })
}

fn fatal() -> Turn {
    Turn::Refuses(ModelError::Fatal { reason: "status 400".to_owned() })
}

fn text(text: &str) -> ModelEvent {
    ModelEvent::Text(text.to_owned())
}

const END: ModelEvent = ModelEvent::Finished(StopReason::End);

fn answer() -> Turn {
    Turn::Answers(vec![(0, Ok(text("a"))), (0, Ok(END))])
}

fn used(completion_tokens: u32) -> ModelEvent {
    let usage = TokenUsage { prompt_tokens: 1, completion_tokens, total_tokens: 1 + completion_tokens };
    ModelEvent::Usage(usage)
}

fn request() -> ModelRequest {
    let route = Route { provider: Provider::OpenAi, model: "m".to_owned(), key: None };
    ModelRequest { route, messages: Vec::new(), tools: Vec::new(), tokens_max: 1 }
}

async fn ask(model: &Arc<Scripted>, limits: TimeLimits) -> Result<Vec<ModelEvent>, ModelError> {
    drain(Timed::new(model.clone(), limits).ask(&request()).await?).await
}

async fn drain(mut stream: Box<dyn ModelStream>) -> Result<Vec<ModelEvent>, ModelError> {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await? {
        events.push(event);
    }
    Ok(events)
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_passed_on() {
    let model = Scripted::new([answer()]);
    assert_eq!(ask(&model, TimeLimits::default()).await, Ok(vec![text("a"), END]));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_the_callers_who_alone_asks_again() {
    let model = Scripted::new([failing(Some(3))]);
    let began = Instant::now();
    let error = ask(&model, TimeLimits::default()).await.unwrap_err();
    let retry_after = Some(Duration::from_secs(3));
    assert_eq!(error, ModelError::Retryable { reason: "status 500".to_owned(), retry_after });
    assert_eq!((model.asked(), began.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final() {
    let model = Scripted::new([fatal()]);
    assert!(!ask(&model, TimeLimits::default()).await.unwrap_err().is_retryable());
    assert_eq!(model.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_model_is_given_up() {
    let slow_start = Turn::Answers(vec![(28_001, Ok(END))]);
    for turn in [Turn::Hangs, slow_start] {
        let model = Scripted::new([turn]);
        let began = Instant::now();
        let error = ask(&model, TimeLimits::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "model call timed out: no first event in time");
        assert_eq!((model.asked(), began.elapsed()), (1, Duration::from_secs(28)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_never_answers_leaves_time_for_two_more_askings_within_90_seconds() {
    let model = Scripted::new([Turn::Hangs, Turn::Hangs, Turn::Hangs]);
    let began = Instant::now();
    for _ in 0..3 {
        assert!(ask(&model, TimeLimits::default()).await.unwrap_err().is_retryable());
    }
    assert!(began.elapsed() < Duration::from_secs(90));
}

#[tokio::test(start_paused = true)]
async fn the_total_bounds_the_first_event_too() {
    let model = Scripted::new([Turn::Hangs]);
    let began = Instant::now();
    let limits = TimeLimits { total: Duration::from_secs(10), ..TimeLimits::default() };
    assert!(ask(&model, limits).await.unwrap_err().is_retryable());
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_place_of_the_first_event_is_one_of_asking() {
    let broken = ModelError::Retryable { reason: "broken".to_owned(), retry_after: None };
    let model = Scripted::new([Turn::Answers(vec![(0, Err(broken.clone()))]), Turn::Answers(vec![])]);
    let timed = Timed::new(model, TimeLimits::default());
    assert_eq!(timed.ask(&request()).await.map(|_| ()), Err(broken));
    assert!(timed.ask(&request()).await.map(|_| ()).unwrap_err().is_retryable());
}

#[tokio::test(start_paused = true)]
async fn usage_is_passed_on_at_once_but_is_no_first_event() {
    let events = vec![(10, Ok(used(1))), (20_000, Ok(used(2))), (7_990, Ok(text("a"))), (0, Ok(END))];
    let model = Scripted::new([Turn::Answers(events)]);
    assert_eq!(ask(&model, TimeLimits::default()).await, Ok(vec![used(1), used(2), text("a"), END]));

    let events = vec![(10, Ok(used(1))), (20_000, Ok(used(2))), (7_991, Ok(text("a")))];
    let model = Scripted::new([Turn::Answers(events)]);
    let began = Instant::now();
    let mut stream = Timed::new(model, TimeLimits::default()).ask(&request()).await.unwrap();
    assert_eq!(stream.next().await, Ok(Some(used(1))));
    assert_eq!(began.elapsed(), Duration::from_millis(10));
    assert_eq!(stream.next().await, Ok(Some(used(2))));
    let error = stream.next().await.unwrap_err();
    assert_eq!(error.to_string(), "model call timed out: no first event in time");
    assert_eq!(began.elapsed(), Duration::from_secs(28));
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_first_event_is_not() {
    let broken = ModelError::Retryable { reason: "broken".to_owned(), retry_after: None };
    let model = Scripted::new([Turn::Answers(vec![(0, Ok(text("a"))), (0, Err(broken))]), answer()]);
    assert!(ask(&model, TimeLimits::default()).await.is_err());
    assert_eq!(model.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stalls_is_an_error() {
    let model =
        Scripted::new([Turn::Answers(vec![(0, Ok(text("a"))), (29_000, Ok(text("b"))), (31_000, Ok(END))])]);
    let began = Instant::now();
    let error = ask(&model, TimeLimits::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "model call timed out: no further event in time");
    assert_eq!(began.elapsed(), Duration::from_secs(59));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_ends_is_an_error() {
    let drops = (0..100).map(|_| (10_000, Ok(text("a")))).collect();
    let model = Scripted::new([Turn::Answers(drops)]);
    let began = Instant::now();
    let error = ask(&model, TimeLimits::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "model call timed out: no end of the answer in time");
    assert_eq!(began.elapsed(), Duration::from_secs(600));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_looks_every_100_ms_loses_nothing_and_still_sees_the_stall() {
    let events = vec![(0, Ok(text("a"))), (950, Ok(text("b"))), (5_000, Ok(END))];
    let model = Scripted::new([Turn::Answers(events)]);
    let limits = TimeLimits { between_events: Duration::from_secs(2), ..TimeLimits::default() };
    let timed = Timed::new(model, limits);
    let mut stream = timed.ask(&request()).await.unwrap();
    let began = Instant::now();
    let mut seen = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_millis(100), stream.next()).await {
            Err(_) => {}
            Ok(Ok(event)) => seen.push(event),
            Ok(Err(_)) => break,
        }
    }
    assert_eq!(seen, [Some(text("a")), Some(text("b"))]);
    assert_eq!(began.elapsed(), Duration::from_millis(2_950));
}

#[tokio::test(start_paused = true)]
async fn time_that_the_caller_takes_is_not_the_models() {
    let model = Scripted::new([Turn::Answers(vec![(0, Ok(text("a"))), (10, Ok(END))])]);
    let timed = Timed::new(model, TimeLimits::default());
    let mut stream = timed.ask(&request()).await.unwrap();
    stream.next().await.unwrap();
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(stream.next().await, Ok(Some(END)));
}
