//! MCP's messages over the guarded client: what rmcp sends, sent within a deadline and read within limits. It sends
//! nothing twice, follows no redirect, and shows rmcp (which logs) neither the key nor an error's content.

mod exchange;
mod trouble;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::BoxStream;
use http::header::HeaderValue;
use http::{HeaderName, Method};
use konstruct_http::GuardedClient;
use konstruct_ports::{ToolError, ToolServer};
use rmcp::model::ClientJsonRpcMessage;
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::Sse;
use tokio::time::{Instant, timeout};

use trouble::Trouble;

/// How often a stream that ended is taken up again.
const RESUMED_MAX: u32 = 3;
/// Longest wait for a session to be ended.
const GOODBYE: Duration = Duration::from_secs(1);

type Failure = StreamableHttpError<Trouble>;
type Events = BoxStream<'static, Result<Sse, SseError>>;

/// What counts as asked: where it was sent, the tool may have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Any message.
    Everything,
    /// The call of a tool.
    ToolCalls,
}

/// The wire of one conversation.
#[derive(Debug, Clone)]
pub struct Wire {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: GuardedClient,
    /// Marked as sensitive, so that it is never shown.
    key: Option<HeaderValue>,
    deadline: Instant,
    counts: Counts,
    told: Mutex<Told>,
}

/// What is known of how it went.
#[derive(Debug, Default)]
struct Told {
    was_asked: bool,
    trouble: Option<Trouble>,
    resumed: u32,
}

impl Wire {
    /// A wire to a server; nothing is sent yet.
    pub fn new(
        client: &GuardedClient,
        server: &ToolServer,
        deadline: Instant,
        counts: Counts,
    ) -> Result<Self, ToolError> {
        let key = match &server.key {
            None => None,
            Some(key) => {
                let header = HeaderValue::from_str(&format!("Bearer {}", key.reveal()));
                let mut header =
                    header.map_err(|_| ToolError::Unreachable("its key cannot be sent".to_owned()))?;
                header.set_sensitive(true);
                Some(header)
            }
        };
        let told = Mutex::default();
        Ok(Self { shared: Arc::new(Shared { client: client.clone(), key, deadline, counts, told }) })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.shared.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something went wrong on the way.
    pub fn had_trouble(&self) -> bool {
        self.told().trouble.is_some()
    }

    /// Why there is no answer; `otherwise`: where nothing went wrong on the way.
    pub fn error(&self, otherwise: &str) -> ToolError {
        let told = self.told();
        match &told.trouble {
            Some(trouble) => trouble.as_error(told.was_asked),
            None if told.was_asked => ToolError::Broken(otherwise.to_owned()),
            None => ToolError::Unreachable(otherwise.to_owned()),
        }
    }

    /// Why there is no answer in time.
    pub fn too_late(&self) -> ToolError {
        Trouble::TooLate.as_error(self.told().was_asked)
    }

    /// Keeps what went wrong first.
    fn note(&self, trouble: Trouble) -> Failure {
        self.told().trouble.get_or_insert_with(|| trouble.clone());
        StreamableHttpError::Client(trouble)
    }
}

impl StreamableHttpClient for Wire {
    type Error = Trouble;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        self.post(&uri, message, session, headers).await.map_err(|trouble| self.note(trouble))
    }

    /// Ends the session, once, whatever the server says of it.
    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        let request = self.request(Method::DELETE, &uri, Some(session), headers, Vec::new());
        let request = request.map_err(StreamableHttpError::Client)?;
        // Not the conversation's deadline: that may be why it ends.
        let _ = timeout(GOODBYE, self.shared.client.send(request)).await;
        Ok(())
    }

    /// Takes up the stream of an answer; one for what the server says by itself is not opened.
    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last: Option<String>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<Events, Failure> {
        let Some(last) = last else { return Err(StreamableHttpError::ServerDoesNotSupportSse) };
        let may_resume = {
            let mut told = self.told();
            told.resumed = told.resumed.saturating_add(1);
            told.resumed <= RESUMED_MAX && told.trouble.is_none()
        };
        if !may_resume {
            return Err(StreamableHttpError::ServerDoesNotSupportSse);
        }
        self.resume(&uri, session, &last, headers).await.map_err(|trouble| self.note(trouble))
    }
}
