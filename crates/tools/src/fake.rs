//! A server for tests, on a socket of its own, that answers as it is told: well, or with malice. It never judges.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use konstruct_http::{Exceptions, GuardedClient, GuardedConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Tools;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The method of its message; without one, HTTP's.
    pub fn what(&self) -> &str {
        self.body["method"].as_str().unwrap_or(&self.method)
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A whole answer: status, headers, body.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// A head, then this again and again, as fast as it is taken.
    Endless(Vec<(&'static str, String)>, Vec<u8>),
    /// A head, then this, then nothing more.
    Hanging(Vec<(&'static str, String)>, Vec<u8>),
    /// Nothing, for ever.
    Silence,
    /// The connection ends.
    Cut,
}

impl Reply {
    pub fn json(body: &Value) -> Self {
        Self::Whole(200, vec![("content-type", "application/json".into())], body.to_string().into_bytes())
    }

    pub fn result(asked: &Asked, result: &Value) -> Self {
        Self::json(&json!({"jsonrpc": "2.0", "id": asked.body["id"], "result": result}))
    }

    pub fn error(asked: &Asked, code: i32, message: &str) -> Self {
        let error = json!({"code": code, "message": message});
        Self::json(&json!({"jsonrpc": "2.0", "id": asked.body["id"], "error": error}))
    }

    pub fn status(status: u16) -> Self {
        Self::Whole(status, Vec::new(), Vec::new())
    }

    pub fn events(text: String) -> Self {
        Self::Whole(200, vec![("content-type", "text/event-stream".into())], text.into_bytes())
    }

    pub fn page(kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Whole(200, vec![("content-type", kind.into())], body.into())
    }

    pub fn redirect(status: u16, to: impl Into<String>) -> Self {
        Self::Whole(status, vec![("location", to.into())], Vec::new())
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        match &mut self {
            Self::Whole(_, headers, _) | Self::Endless(headers, _) | Self::Hanging(headers, _) => {
                headers.push((name, value.to_owned()));
            }
            Self::Silence | Self::Cut => {}
        }
        self
    }
}

type Handler = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// The server.
pub struct Fake {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    pub async fn start(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (handler, noted): (Handler, _) = (Arc::new(handler), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, handler.clone(), noted.clone()));
            }
        });
        Self { port, asked }
    }

    /// A server of tools: what `handler` leaves is answered as a good one does.
    pub async fn tools(handler: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self::start(move |asked| handler(asked).unwrap_or_else(|| good(asked))).await
    }

    /// A server of tools that answers one method so, and everything else well.
    pub async fn answering(what: &'static str, reply: Reply) -> Self {
        Self::tools(move |asked| (asked.what() == what).then(|| reply.clone())).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Tools that may call this server.
    pub fn client(&self) -> Tools {
        let exceptions = Exceptions::parse(&format!("127.0.0.1:{}", self.port)).unwrap();
        Tools::new(GuardedClient::new(GuardedConfig { exceptions, ..GuardedConfig::default() }))
    }

    /// What came, so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The methods of what came.
    pub fn whats(&self) -> Vec<String> {
        self.asked().iter().map(|asked| asked.what().to_owned()).collect()
    }

    /// How often a method came.
    pub fn count(&self, what: &str) -> usize {
        self.asked().iter().filter(|asked| asked.what() == what).count()
    }

    /// Waits until a method has come that often.
    pub async fn until(&self, what: &str, times: usize) {
        for _ in 0..1000 {
            if self.count(what) >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} did not come {times} times: {:?}", self.whats());
    }
}

fn good(asked: &Asked) -> Reply {
    match asked.what() {
        "initialize" => {
            let version = &asked.body["params"]["protocolVersion"];
            let info = json!({"name": "fake", "version": "1"});
            let result =
                json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info});
            Reply::result(asked, &result).with("mcp-session-id", "session-1")
        }
        "tools/call" => Reply::result(asked, &json!({"content": [{"type": "text", "text": "done"}]})),
        "DELETE" => Reply::status(204),
        _ => Reply::status(202),
    }
}

async fn serve(mut stream: TcpStream, handler: Handler, noted: Arc<Mutex<Vec<Asked>>>) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let asked = read(&mut stream, &mut buffer).await?;
        let reply = handler(&asked);
        noted.lock().unwrap().push(asked);
        match reply {
            Reply::Whole(status, headers, body) => {
                let length = format!("content-length: {}\r\n", body.len());
                let mut answer = head(status, &headers, &length).into_bytes();
                answer.extend(body);
                stream.write_all(&answer).await.ok()?;
            }
            Reply::Endless(headers, piece) => {
                stream.write_all(head(200, &headers, "connection: close\r\n").as_bytes()).await.ok()?;
                loop {
                    stream.write_all(&piece).await.ok()?;
                }
            }
            Reply::Hanging(headers, piece) => {
                stream.write_all(head(200, &headers, "connection: close\r\n").as_bytes()).await.ok()?;
                stream.write_all(&piece).await.ok()?;
                std::future::pending::<()>().await;
            }
            Reply::Silence => std::future::pending().await,
            Reply::Cut => return None,
        }
    }
}

fn head(status: u16, headers: &[(&str, String)], last: &str) -> String {
    let mut head = format!("HTTP/1.1 {status} X\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head + last + "\r\n"
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Asked> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        more(stream, buffer).await?;
    };
    let text = String::from_utf8(buffer[..end].to_vec()).unwrap();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
    let headers: Vec<_> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut asked =
        Asked { method: first.next().unwrap(), path: first.next().unwrap(), headers, body: Value::Null };
    let length: usize = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    while buffer.len() < end + 4 + length {
        more(stream, buffer).await?;
    }
    asked.body = serde_json::from_slice(&buffer[end + 4..end + 4 + length]).unwrap_or(Value::Null);
    buffer.drain(..end + 4 + length);
    Some(asked)
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut space = [0; 4096];
    let count = stream.read(&mut space).await.ok().filter(|count| *count > 0)?;
    buffer.extend_from_slice(&space[..count]);
    Some(())
}
