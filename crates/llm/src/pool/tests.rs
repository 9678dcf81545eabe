//! Time-outs and retries against models that fail on cue. Time is tokio's, and paused.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use konstruct_ports::{ModelEvent, StopReason};

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

fn request() -> ModelRequest {
    ModelRequest { model: "m".to_owned(), messages: Vec::new(), tokens_max: 1 }
}

fn pool(models: &[&Arc<Scripted>], config: PoolConfig) -> Pool {
    let providers = models.iter().map(|&model| -> Arc<dyn LanguageModel> { model.clone() }).collect();
    Pool::new(providers, config, || 0.0)
}

async fn ask(model: &Arc<Scripted>, config: PoolConfig) -> Result<Vec<ModelEvent>, ModelError> {
    drain(pool(&[model], config).ask(&request()).await?).await
}

async fn drain(mut stream: Box<dyn ModelStream>) -> Result<Vec<ModelEvent>, ModelError> {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await? {
        events.push(event);
    }
    Ok(events)
}

#[tokio::test(start_paused = true)]
async fn two_failures_are_overcome_after_doubling_waits() {
    let model = Scripted::new([failing(None), failing(None), answer()]);
    let began = Instant::now();
    assert_eq!(ask(&model, PoolConfig::default()).await, Ok(vec![text("a"), END]));
    assert_eq!((model.asked(), began.elapsed().as_millis()), (3, 1500));
}

#[tokio::test(start_paused = true)]
async fn the_third_failure_is_the_callers() {
    let model = Scripted::new([failing(None), failing(None), failing(Some(3))]);
    let error = ask(&model, PoolConfig::default()).await.unwrap_err();
    let retry_after = Some(Duration::from_secs(3));
    assert_eq!(error, ModelError::Retryable { reason: "status 500".to_owned(), retry_after });
}

#[tokio::test(start_paused = true)]
async fn without_retries_the_first_failure_is_the_callers() {
    let model = Scripted::new([failing(None)]);
    let began = Instant::now();
    assert!(ask(&model, PoolConfig { retries: 0, ..PoolConfig::default() }).await.is_err());
    assert_eq!((model.asked(), began.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final() {
    let model = Scripted::new([fatal()]);
    assert!(!ask(&model, PoolConfig::default()).await.unwrap_err().is_retryable());
    assert_eq!(model.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_providers_wish_sets_the_wait() {
    let model = Scripted::new([failing(Some(7)), failing(Some(0)), answer()]);
    let began = Instant::now();
    assert!(ask(&model, PoolConfig::default()).await.is_ok());
    assert_eq!(began.elapsed(), Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let model = Scripted::new([failing(Some(20))]);
    let began = Instant::now();
    let config = PoolConfig { total: Duration::from_secs(20), ..PoolConfig::default() };
    assert!(ask(&model, config).await.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_silent_model_is_given_up_and_asked_again() {
    let slow_start = Turn::Answers(vec![(28_001, Ok(END))]);
    let model = Scripted::new([Turn::Hangs, slow_start, answer()]);
    let began = Instant::now();
    assert!(ask(&model, PoolConfig::default()).await.is_ok());
    assert_eq!(began.elapsed().as_millis(), 28_000 + 500 + 28_000 + 1000);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_never_answers_is_given_up_within_90_seconds() {
    let model = Scripted::new([Turn::Hangs, Turn::Hangs, Turn::Hangs]);
    let began = Instant::now();
    assert!(ask(&model, PoolConfig::default()).await.unwrap_err().is_retryable());
    assert!(began.elapsed() < Duration::from_secs(90));
}

#[tokio::test(start_paused = true)]
async fn the_total_bounds_all_tries_together() {
    let model = Scripted::new([Turn::Hangs, Turn::Hangs]);
    let began = Instant::now();
    let config = PoolConfig { total: Duration::from_secs(40), ..PoolConfig::default() };
    assert!(ask(&model, config).await.unwrap_err().is_retryable());
    assert_eq!(began.elapsed(), Duration::from_secs(40));
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_place_of_the_first_event_is_tried_again() {
    let broken = ModelError::Retryable { reason: "broken".to_owned(), retry_after: None };
    let model = Scripted::new([Turn::Answers(vec![(0, Err(broken))]), Turn::Answers(vec![]), answer()]);
    assert_eq!(ask(&model, PoolConfig::default()).await, Ok(vec![text("a"), END]));
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_first_event_is_not() {
    let broken = ModelError::Retryable { reason: "broken".to_owned(), retry_after: None };
    let model = Scripted::new([Turn::Answers(vec![(0, Ok(text("a"))), (0, Err(broken))]), answer()]);
    assert!(ask(&model, PoolConfig::default()).await.is_err());
    assert_eq!(model.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stalls_is_an_error() {
    let model =
        Scripted::new([Turn::Answers(vec![(0, Ok(text("a"))), (29_000, Ok(text("b"))), (31_000, Ok(END))])]);
    let began = Instant::now();
    let error = ask(&model, PoolConfig::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "model call failed: no further event in time");
    assert_eq!(began.elapsed(), Duration::from_secs(59));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_ends_is_an_error() {
    let drops = (0..100).map(|_| (10_000, Ok(text("a")))).collect();
    let model = Scripted::new([Turn::Answers(drops)]);
    let began = Instant::now();
    let error = ask(&model, PoolConfig::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "model call failed: no end of the answer in time");
    assert_eq!(began.elapsed(), Duration::from_secs(600));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_looks_every_100_ms_loses_nothing_and_still_sees_the_stall() {
    let events = vec![(0, Ok(text("a"))), (950, Ok(text("b"))), (5_000, Ok(END))];
    let model = Scripted::new([Turn::Answers(events)]);
    let config = PoolConfig { between_events: Duration::from_secs(2), ..PoolConfig::default() };
    let pool = pool(&[&model], config);
    let mut stream = pool.ask(&request()).await.unwrap();
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
    let pool = pool(&[&model], PoolConfig::default());
    let mut stream = pool.ask(&request()).await.unwrap();
    stream.next().await.unwrap();
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(stream.next().await, Ok(Some(END)));
}

#[tokio::test(start_paused = true)]
async fn the_next_provider_is_asked_when_one_has_failed_for_good() {
    let (first, second) = (Scripted::new([fatal()]), Scripted::new([failing(None), answer()]));
    let pool = pool(&[&first, &second], PoolConfig::default());
    assert_eq!(drain(pool.ask(&request()).await.unwrap()).await, Ok(vec![text("a"), END]));
    assert_eq!((first.asked(), second.asked()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn without_providers_every_call_is_refused() {
    assert!(!pool(&[], PoolConfig::default()).ask(&request()).await.map(|_| ()).unwrap_err().is_retryable());
}
