//! The open connections.
//! One is in here from the moment `$connect` let it in until it ends, and never before or after.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;

use crate::clock::now_ms;

use super::websocket_event::Origin;

/// Frames that may wait for a slow client; beyond it a post gets 429.
const BUFFERED: usize = 128;

/// How the gateway ends a connection by its own decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With a close frame.
    Close(u16, &'static str),
    /// Without one, and without `$disconnect`: as if the network had gone.
    Cut,
}

/// One open connection.
#[derive(Debug)]
pub struct Connection {
    /// What its events say of it.
    pub origin: Origin,
    frames: mpsc::Sender<Message>,
    ending: watch::Sender<Option<Ending>>,
    last_active: AtomicU64,
}

/// What the socket's side of a connection works with.
#[derive(Debug)]
pub struct SocketSide {
    /// Frames to be sent.
    pub frames: mpsc::Receiver<Message>,
    /// Set when it is to be ended.
    pub ending: watch::Receiver<Option<Ending>>,
}

impl Connection {
    /// A connection and the side its socket works with.
    pub fn new(origin: Origin) -> (Arc<Self>, SocketSide) {
        let (frames, to_send) = mpsc::channel(BUFFERED);
        let (ending, ended) = watch::channel(None);
        let last_active = AtomicU64::new(now_ms());
        (
            Arc::new(Self { origin, frames, ending, last_active }),
            SocketSide { frames: to_send, ending: ended },
        )
    }

    /// Hands a frame to the socket; false where the client's buffer is full.
    pub fn send(&self, frame: Message) -> bool {
        self.touch();
        match self.frames.try_send(frame) {
            // Closed: it ends this very moment, and AWS could not have known either.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => true,
            Err(mpsc::error::TrySendError::Full(_)) => false,
        }
    }

    /// Lets the socket send what is buffered, and nothing after it.
    pub async fn send_no_more(&self) {
        // It fails only where the socket has stopped sending by itself.
        let _ = self.frames.send(Message::Close(None)).await;
    }

    /// Ends it.
    pub fn end(&self, how: Ending) {
        self.ending.send_replace(Some(how));
    }

    /// A message passed.
    pub fn touch(&self) {
        self.last_active.store(now_ms(), Ordering::Relaxed);
    }

    /// When the last message passed, in milliseconds.
    pub fn last_active(&self) -> u64 {
        self.last_active.load(Ordering::Relaxed)
    }
}

/// All open connections.
#[derive(Debug, Default)]
pub struct Registry(Mutex<HashMap<String, Arc<Connection>>>);

impl Registry {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in.
    pub fn add(&self, connection: &Arc<Connection>) {
        self.open().insert(connection.origin.connection_id.clone(), connection.clone());
    }

    /// The connection with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Connection>> {
        self.open().get(id).cloned()
    }

    /// Forgets a connection; false where it was not there.
    pub fn remove(&self, id: &str) -> bool {
        self.open().remove(id).is_some()
    }
}
