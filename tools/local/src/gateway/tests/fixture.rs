//! A gateway on a free port, and clients for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use futures_util::StreamExt;

use crate::faults::Faults;
use crate::gateway::handshake::{WebSocketApi, handle};
use crate::gateway::management::{self, Management};
use crate::gateway::posts::Posts;
use crate::gateway::registry::Registry;
use crate::http_client::client;
use crate::lambda::{Failure, Invoker, Outcome, Pending};
use crate::server::serve;
use crate::template::{Integration, WebSocketSpec};

pub type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Answer = dyn Fn(&str, &Value) -> (Duration, Outcome) + Send + Sync;

/// Functions that answer what a closure says, after as long as it says.
pub struct Fake {
    answer: Box<Answer>,
    calls: Mutex<Vec<(String, Value)>>,
}

impl Invoker for Fake {
    fn invoke(&self, function: &str, event: Bytes) -> Pending {
        let event: Value = serde_json::from_slice(&event).unwrap();
        let (pause, outcome) = (self.answer)(function, &event);
        self.calls.lock().unwrap().push((function.to_string(), event));
        let (reply, pending) = Pending::new();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = reply.send(outcome);
        });
        pending
    }
}

pub struct Gateway {
    pub port: u16,
    management_port: u16,
    pub functions: Arc<Fake>,
    pub connections: Arc<Registry>,
    pub faults: Arc<Faults>,
    pub posts: Arc<Posts>,
}

pub struct Limits {
    pub idle: Duration,
    pub max_connection: Duration,
    pub integration: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { idle: minute, max_connection: minute, integration: Duration::from_secs(2) }
    }
}

pub fn ok(body: &Value) -> (Duration, Outcome) {
    (Duration::ZERO, Ok(Bytes::from(body.to_string())))
}

pub fn crash() -> (Duration, Outcome) {
    (Duration::ZERO, Err(Failure::Crashed))
}

/// A gateway whose functions all answer 200.
pub async fn gateway() -> Gateway {
    with(Limits::default(), |_, _| ok(&json!({"statusCode": 200, "body": "never to be sent"}))).await
}

pub async fn with(
    limits: Limits,
    answer: impl Fn(&str, &Value) -> (Duration, Outcome) + Send + Sync + 'static,
) -> Gateway {
    let functions = Arc::new(Fake { answer: Box::new(answer), calls: Mutex::default() });
    let (listener, management_listener) = (bind().await, bind().await);
    let port = listener.local_addr().unwrap().port();
    let management_port = management_listener.local_addr().unwrap().port();
    let routes = ["$connect", "$disconnect", "$default", "message", "other"];
    let integration = |key: &str| Integration { function: key.to_string(), timeout: limits.integration };
    let connections = Arc::new(Registry::default());
    let (faults, posts) = (Arc::new(Faults::default()), Arc::new(Posts::default()));
    let api = Arc::new(WebSocketApi {
        spec: WebSocketSpec {
            api_id: "api".into(),
            stage: "ws".into(),
            selection: vec!["type".into()],
            routes: routes.map(|key| (key.to_string(), integration(key))).into(),
        },
        connections: connections.clone(),
        functions: functions.clone(),
        idle: limits.idle,
        max_connection: limits.max_connection,
        port,
    });
    let router = Router::new().fallback(move |request: Request| {
        let query = request.uri().query().unwrap_or_default().to_string();
        handle(api.clone(), request, query, "127.0.0.1".into())
    });
    tokio::spawn(serve(listener, router));
    let management = Management {
        stage: "ws".into(),
        connections: connections.clone(),
        posts: posts.clone(),
        faults: faults.clone(),
    };
    tokio::spawn(serve(management_listener, management::router(Arc::new(management))));
    Gateway { port, management_port, functions, connections, faults, posts }
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

impl Gateway {
    /// Opens a connection.
    pub async fn open(&self) -> Client {
        let url = format!("ws://127.0.0.1:{}/ws?a=1&a=2", self.port);
        tokio_tungstenite::connect_async(url.into_client_request().unwrap()).await.unwrap().0
    }

    /// The functions called so far, in order.
    pub fn called(&self) -> Vec<String> {
        self.functions.calls.lock().unwrap().iter().map(|(function, _)| function.clone()).collect()
    }

    /// Waits for the `n`th call of a function and gives its event.
    pub async fn event(&self, function: &str, n: usize) -> Value {
        for _ in 0..200 {
            let found = {
                let calls = self.functions.calls.lock().unwrap();
                calls.iter().filter(|(name, _)| name == function).nth(n).map(|(_, event)| event.clone())
            };
            match found {
                Some(event) => return event,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("{function} was not called");
    }

    /// The id of the `n`th connection.
    pub async fn connection_id(&self, n: usize) -> String {
        self.event("$connect", n).await["requestContext"]["connectionId"].as_str().unwrap().to_string()
    }

    /// One call of the Management API: status and body.
    pub async fn manage(&self, method: &str, id: &str, body: impl Into<Body>) -> (u16, String) {
        use http_body_util::BodyExt;
        let id = id.replace('=', "%3D");
        let uri = format!("http://127.0.0.1:{}/ws/@connections/{id}", self.management_port);
        let request = http::Request::builder().method(method).uri(uri).body(body.into()).unwrap();
        let response = client().request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

/// The next text frame.
pub async fn text(client: &mut Client) -> String {
    match tokio::time::timeout(Duration::from_secs(5), client.next()).await {
        Ok(Some(Ok(Message::Text(text)))) => text.to_string(),
        other => panic!("no text frame: {other:?}"),
    }
}

/// The close frame that ends the connection.
pub async fn closed(client: &mut Client) -> Option<CloseFrame> {
    loop {
        match tokio::time::timeout(Duration::from_secs(5), client.next()).await {
            Ok(Some(Ok(Message::Close(frame)))) => return frame,
            Ok(Some(Ok(_))) => {}
            Ok(None | Some(Err(_))) => return None,
            Err(_) => panic!("the connection stays open"),
        }
    }
}
