//! A server on a port of its own, one thread per connection, which does what a test says. Not a web server.
//! The tests of other crates that speak HTTP include this file too.

#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The server, for as long as the test runs.
pub struct Server {
    port: u16,
    accepted: Arc<AtomicUsize>,
    words: mpsc::Sender<&'static str>,
    hung_up: Arc<AtomicUsize>,
    notes: Arc<Mutex<Vec<String>>>,
}

/// One connection, in its own thread; closed when dropped.
pub struct Connection {
    stream: TcpStream,
    words: Arc<Mutex<mpsc::Receiver<&'static str>>>,
    hung_up: Arc<AtomicUsize>,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn new(serve: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (accepted, hung_up) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (words, heard) = mpsc::channel();
        let heard = Arc::new(Mutex::new(heard));
        let notes: Arc<Mutex<Vec<String>>> = Arc::default();
        let taken = notes.clone();
        let (count, hang_ups, serve) = (accepted.clone(), hung_up.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let connection = Connection {
                    stream: stream.unwrap(),
                    words: heard.clone(),
                    hung_up: hang_ups.clone(),
                    notes: taken.clone(),
                };
                let serve = serve.clone();
                std::thread::spawn(move || serve(connection));
            }
        });
        Self { port, accepted, words, hung_up, notes }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// What connections wrote down, in order.
    pub fn noted(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    /// Wakes a connection that waits.
    pub fn tell(&self, word: &'static str) {
        self.words.send(word).unwrap();
    }

    /// Whether, within two seconds, a connection sees the client hang up.
    pub async fn hung_up(&self) -> bool {
        for _ in 0..200 {
            if self.hung_up.load(Ordering::SeqCst) > 0 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

impl Connection {
    /// One request with its body; none when the client has closed.
    pub fn read_request(&mut self) -> Option<String> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let length =
            head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).ok()?;
        Some(head + &String::from_utf8(body).unwrap())
    }

    pub fn read_some(&mut self) {
        let _ = self.stream.read(&mut [0; 4096]);
    }

    pub fn write(&mut self, answer: &str) {
        self.write_bytes(answer.as_bytes());
    }

    pub fn write_bytes(&mut self, answer: &[u8]) {
        let _ = self.stream.write_all(answer);
    }

    /// Writes something down for the test.
    pub fn note(&self, words: impl Into<String>) {
        self.notes.lock().unwrap().push(words.into());
    }

    /// Waits for the test's word.
    pub fn wait(&self) -> &'static str {
        self.words.lock().unwrap().recv().unwrap()
    }

    /// Reads until the client hangs up, and says so.
    pub fn report_hang_up(&mut self) {
        while matches!(self.stream.read(&mut [0; 4096]), Ok(1..)) {}
        self.hung_up.fetch_add(1, Ordering::SeqCst);
    }
}
