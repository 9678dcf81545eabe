//! The life of one socket, from the handshake to `$disconnect`.
//! A slow client must hold up nobody: frames wait in its own bounded buffer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::clock::now_ms;

use super::frames::{self, FRAME_MAX, MESSAGE_MAX};
use super::handshake::WebSocketApi;
use super::registry::{Connection, Ending, SocketSide};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How long a closing socket is given to take what is left.
const CLOSING: Duration = Duration::from_secs(2);

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The client closed it, or was lost.
    ByClient(u16, String),
    /// The gateway closes it; `broken`: the client's bytes cannot be read on.
    ByGateway { code: u16, reason: &'static str, broken: bool },
    /// It is cut, and nobody is told.
    Cut,
}

/// Serves a connection until it has ended and `$disconnect` has been called.
pub async fn run(
    api: Arc<WebSocketApi>,
    connection: Arc<Connection>,
    side: SocketSide,
    upgraded: Option<Upgraded>,
) {
    let end = match upgraded {
        Some(upgraded) => serve(&api, &connection, side, upgraded).await,
        None => lost(),
    };
    api.connections.remove(&connection.origin.connection_id);
    let (code, reason) = match end {
        End::Cut => return,
        End::ByClient(code, reason) => (code, reason),
        End::ByGateway { code, reason, .. } => (code, reason.to_string()),
    };
    if let Some(integration) = api.route("$disconnect") {
        let event = connection.origin.disconnect(code, &reason);
        // Best effort: nobody looks at the result.
        let _ = api.call(integration, &event).await;
    }
}

async fn serve(
    api: &Arc<WebSocketApi>,
    connection: &Arc<Connection>,
    side: SocketSide,
    upgraded: Upgraded,
) -> End {
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .max_frame_size(Some(FRAME_MAX))
        .max_message_size(Some(MESSAGE_MAX));
    let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (sink, mut stream) = socket.split();
    let SocketSide { frames, mut ending } = side;
    let mut writer = tokio::spawn(write(sink, frames));
    let deadline = Instant::now() + api.max_connection;
    let end = loop {
        let quiet = Duration::from_millis(now_ms().saturating_sub(connection.last_active()));
        let idle_until = Instant::now() + api.idle.saturating_sub(quiet);
        tokio::select! {
            biased;
            Ok(()) = ending.changed() => match ending.borrow_and_update().clone() {
                Some(Ending::Close(code, reason)) => break End::ByGateway { code, reason, broken: false },
                Some(Ending::Cut) => break End::Cut,
                None => {}
            },
            () = tokio::time::sleep_until(deadline.min(idle_until)) => {
                let quiet = now_ms().saturating_sub(connection.last_active());
                if Instant::now() >= deadline || Duration::from_millis(quiet) >= api.idle {
                    break End::ByGateway { code: 1001, reason: "Going away", broken: false };
                }
            }
            read = stream.next() => match read {
                Some(Ok(Message::Text(text))) => {
                    connection.touch();
                    frames::start(api, connection, &text);
                }
                other => if let Some(end) = ended(other) { break end },
            },
            _ = &mut writer => break lost(),
        }
    };
    // From here on a post gets 410, before the client can see that it is over.
    api.connections.remove(&connection.origin.connection_id);
    finish(connection, &end, stream, writer).await;
    end
}

fn lost() -> End {
    End::ByClient(1006, "Connection closed abnormally".into())
}

/// What reading anything but a text frame means; none: it goes on.
fn ended(read: Option<Result<Message, WsError>>) -> Option<End> {
    let gateway = |code, reason, broken| Some(End::ByGateway { code, reason, broken });
    match read {
        Some(Ok(Message::Binary(_))) => gateway(1003, "Binary is not supported", false),
        Some(Ok(Message::Close(Some(frame)))) => {
            Some(End::ByClient(frame.code.into(), frame.reason.as_str().to_string()))
        }
        Some(Ok(Message::Close(None))) => {
            Some(End::ByClient(1005, "Client-side close frame status not set".into()))
        }
        Some(Ok(_)) => None,
        Some(Err(WsError::Capacity(_))) => gateway(1009, "Frame or message too large", true),
        Some(Err(WsError::Utf8(_))) => gateway(1007, "Invalid UTF-8", true),
        Some(Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => Some(lost()),
        Some(Err(WsError::Protocol(_))) => gateway(1002, "Protocol error", true),
        Some(Err(_)) | None => Some(lost()),
    }
}

type Writer = tokio::task::JoinHandle<Option<SplitSink<Socket, Message>>>;

/// Sends what comes until the connection is forgotten; gives the sink back while the socket lives.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut frames: mpsc::Receiver<Message>,
) -> Option<SplitSink<Socket, Message>> {
    while let Some(frame) = frames.recv().await {
        if matches!(frame, Message::Close(_)) {
            return Some(sink);
        }
        sink.send(frame).await.ok()?;
    }
    Some(sink)
}

async fn finish(connection: &Connection, end: &End, stream: SplitStream<Socket>, writer: Writer) {
    match end {
        End::Cut => writer.abort(),
        End::ByClient(..) => {
            writer.abort();
            // Reading on sends the answer to the client's close frame.
            let _ = timeout(CLOSING, stream.for_each(|_| async {})).await;
        }
        End::ByGateway { code, reason, broken } => {
            let closing = async {
                connection.send_no_more().await;
                close(*code, reason, *broken, stream, writer).await;
            };
            let _ = timeout(CLOSING, closing).await;
        }
    }
}

async fn close(code: u16, reason: &'static str, broken: bool, stream: SplitStream<Socket>, writer: Writer) {
    let Ok(Some(mut sink)) = writer.await else { return };
    let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::from_static(reason) };
    if sink.send(Message::Close(Some(frame))).await.is_err() {
        return;
    }
    if !broken {
        stream.for_each(|_| async {}).await;
        return;
    }
    let Ok(socket) = sink.reunite(stream) else { return };
    let mut raw = socket.into_inner();
    let mut sink = [0; 4096];
    // Unread bytes would make the kernel reset the connection, and the close frame be lost. The
    // client's own close frame cannot be told from the rest: a pause is taken for the end.
    while let Ok(Ok(1..)) = timeout(Duration::from_millis(200), raw.read(&mut sink)).await {}
}
