//! Clients as the outside has them: a WebSocket connection that remembers every frame, and REST calls.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use konstruct_http::{Client, ClientConfig};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use crate::stack::{Stack, User};
use crate::unlogged;

/// Longer than anything here takes; a test that waits so long has failed.
const LONG: Duration = Duration::from_secs(60);

/// A connection.
pub struct Ws {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub frames: Vec<Value>,
    pub closed: Option<u16>,
}

impl Ws {
    /// Opens a connection with this query.
    pub async fn open(query: &str) -> Self {
        Self::handshake(query, &[]).await.expect("the handshake")
    }

    /// Opens a connection with headers; the HTTP status where it is refused.
    pub async fn handshake(query: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        Self::handshake_with(Stack::get(), query, headers).await
    }

    /// The same with another stack than the run's own.
    pub async fn handshake_with(
        stack: &Stack,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let url = format!("{}?{query}", stack.url("ws_url"));
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self { socket, frames: Vec::new(), closed: None }),
            Err(tokio_tungstenite::tungstenite::Error::Http(refused)) => Err(refused.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// An authenticated session.v1 connection under a fresh session.
    pub async fn session(user: &User) -> Self {
        let mut ws = Self::open(&format!("session_id=e2e-{}", Uuid::new_v4())).await;
        ws.auth(&user.token).await;
        ws
    }

    /// An authenticated portal.v1 connection of a conversation.
    pub async fn portal(user: &User, conversation: &str) -> Self {
        let mut ws = Self::open(&format!("conversation_id={conversation}")).await;
        ws.auth(&user.token).await;
        ws
    }

    /// Authenticates; the `connection` frame.
    pub async fn auth(&mut self, token: &str) -> Value {
        self.send(&json!({"type": "auth", "token": token})).await;
        let frame = self.until(|f| f["type"] == "connection" || f["type"] == "error").await;
        assert_eq!(frame["type"], "connection", "{frame}");
        frame
    }

    pub async fn send(&mut self, frame: &Value) {
        self.raw(&frame.to_string()).await;
    }

    pub async fn raw(&mut self, text: &str) {
        assert!(self.offer(text).await, "the connection takes no frame");
    }

    /// Sends a text if the connection still takes one.
    pub async fn offer(&mut self, text: &str) -> bool {
        unlogged::body(text);
        self.socket.send(Message::text(text)).await.is_ok()
    }

    /// Says something; the message's id.
    pub async fn say(&mut self, content: &str) -> String {
        let id = Uuid::new_v4().to_string();
        self.send(&json!({"type": "message", "id": id, "content": content})).await;
        id
    }

    /// Asks and waits for the end of the answer; its final frame.
    pub async fn ask(&mut self, content: &str) -> Value {
        let id = self.say(content).await;
        self.end_of(&id).await
    }

    /// The frame that ends the answer to a message.
    pub async fn end_of(&mut self, id: &str) -> Value {
        self.until(|f| f["in_reply_to"] == id || f["type"] == "error" && f["id"] == id).await
    }

    /// The next frame; `None`: the connection was closed.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match timeout(LONG, self.socket.next()).await.expect("a frame within a minute") {
                Some(Ok(Message::Text(text))) => {
                    unlogged::body(&text);
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    self.frames.push(frame.clone());
                    return Some(frame);
                }
                Some(Ok(Message::Close(close))) => {
                    self.closed = Some(close.map_or(1005, |c| c.code.into()));
                    return None;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.closed.get_or_insert(1006);
                    return None;
                }
            }
        }
    }

    /// The next frame that passes.
    pub async fn until(&mut self, test: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.next().await;
            let frame =
                frame.unwrap_or_else(|| panic!("closed with {:?} after {:?}", self.closed, self.kinds()));
            if test(&frame) {
                return frame;
            }
        }
    }

    /// The next `error` frame's code.
    pub async fn error(&mut self) -> String {
        let frame = self.until(|f| f["type"] == "error").await;
        frame["code"].as_str().expect("a code").to_owned()
    }

    /// Waits until the server closes; the close code.
    pub async fn closes(&mut self) -> u16 {
        while self.next().await.is_some() {}
        self.closed.expect("closed")
    }

    /// A ping is answered: the connection is still good, and everything before it was handled in order of arrival.
    pub async fn ping(&mut self) {
        self.send(&json!({"type": "ping"})).await;
        self.until(|f| f["type"] == "pong").await;
    }

    /// What came, by type.
    pub fn kinds(&self) -> Vec<String> {
        self.frames.iter().map(|f| f["type"].as_str().unwrap_or("?").to_owned()).collect()
    }

    /// The pieces of an answer, put together.
    pub fn pieces(&self, message_id: &Value) -> String {
        let of_answer = self
            .frames
            .iter()
            .filter(|f| f["message_id"] == *message_id && (f["type"] == "chunk" || f["streaming"] == true));
        of_answer.map(|f| text_of(f).to_owned()).collect()
    }

    pub fn conversation(&self) -> String {
        let frame = self.frames.iter().find(|f| f["type"] == "connection").expect("authenticated");
        frame["conversation_id"].as_str().expect("an id").to_owned()
    }

    /// Goes away as a cut cable does.
    pub fn cut(self) -> Vec<Value> {
        self.frames
    }
}

/// The text of a piece or of a whole answer.
pub fn text_of(frame: &Value) -> &str {
    frame["text"].as_str().or(frame["content"].as_str()).unwrap_or_default()
}

/// An answer over REST.
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
}

/// Calls over REST with one identity, or none.
#[derive(Clone)]
pub struct Rest {
    /// The run's own where none is named.
    stack: Option<&'static Stack>,
    token: Option<String>,
    client: Client,
}

impl Rest {
    pub fn of(user: &User) -> Self {
        Self::with(Some(user.token.clone()))
    }

    /// Calls to another stack than the run's own.
    pub fn on(stack: &'static Stack, user: &User) -> Self {
        Self { stack: Some(stack), ..Self::of(user) }
    }

    pub fn with(token: Option<String>) -> Self {
        token.iter().for_each(|token| unlogged::secret(token));
        let config = ClientConfig { allow_plain: true, ..ClientConfig::default() };
        Self { stack: None, token, client: Client::new(config) }
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bytes = body.map(|b| Bytes::from(b.to_string()));
        self.send(method, path, bytes, "application/json").await
    }

    /// Paths are below the base path; one that begins with `!` is taken as it stands, and so is a URL.
    pub async fn send(&self, method: &str, path: &str, body: Option<Bytes>, content_type: &str) -> Answer {
        let base = self.stack.unwrap_or_else(Stack::get).url("http_url");
        let url = match path.strip_prefix('!') {
            Some(path) => format!("{base}{path}"),
            None if path.starts_with("/api/") => format!("{base}{path}"),
            None if path.starts_with("http://") => path.to_owned(),
            None => format!("{base}/api/portal/chat{path}"),
        };
        unlogged::at_work();
        body.iter().for_each(|body| unlogged::body(&String::from_utf8_lossy(body)));
        let mut request = http::Request::builder().method(method).uri(url);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", content_type);
        }
        let request = request.body(body.unwrap_or_default()).expect("a request");
        let response = self.client.send(request).await.expect("an answer");
        let (status, headers) = (response.status.as_u16(), response.headers);
        let bytes = response.body.collect(10_000_000).await.expect("a body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    /// A fresh conversation with the tenant's default agent.
    pub async fn conversation(&self, slug: &str) -> String {
        let stack = self.stack.unwrap_or_else(Stack::get);
        let body = json!({
            "tenant_id": stack.tenant_id(slug),
            "agent_id": stack.agents(slug).0,
            "session_id": format!("e2e-{}", Uuid::new_v4()),
        });
        let answer = self.post("/conversations", body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["id"].as_str().expect("an id").to_owned()
    }

    /// The whole history, oldest first. Told to come again by a busy machine, it does, as any client should.
    pub async fn history(&self, conversation: &str) -> Vec<Value> {
        let path = format!("/conversations/{conversation}/messages?limit=200");
        let mut answer = self.get(&path).await;
        for _ in 0..3 {
            let seconds =
                answer.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            let Some(seconds) = seconds.filter(|_| answer.status == 503) else { break };
            println!("the history comes in {seconds} s");
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            answer = self.get(&path).await;
        }
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body.as_array().expect("a list").clone()
    }
}
