//! A conversation in trouble delays no other (CHAT-12): a model that never answers, invocations that die one after
//! another, a client that stops reading.

use std::time::Duration;

use futures_util::SinkExt;
use futures_util::future::join_all;
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use uuid::Uuid;

use crate::device::Device;
use crate::trouble::Trouble;

const HEALTHY: usize = 10;
const ROUNDS: usize = 6;
const MESSAGES_UNREAD: usize = 100;
/// Longer than a healthy answer takes by far, shorter than the troubled one: the fault meets only that.
const DIES_AFTER_MS: u64 = 4000;

/// Ten conversations that ask again and again; how long each answer took, ascending.
async fn healthy(devices: &[Device]) -> Vec<Duration> {
    let asked = devices.iter().map(|device| async move {
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let began = Instant::now();
            let id = device.say(&format!("round {round}"));
            let end = device.end_of(&id, Duration::from_secs(60)).await;
            assert_eq!(end["code"], serde_json::Value::Null, "a healthy conversation failed");
            times.push(began.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
        times
    });
    let mut times: Vec<Duration> = join_all(asked).await.into_iter().flatten().collect();
    times.sort_unstable();
    times
}

/// A client with a small buffer that talks and never reads.
async fn deaf(trouble: &Trouble) -> WebSocketStream<TcpStream> {
    let url = format!("{}?session_id=deaf-{}", trouble.stack.url("ws_url"), Uuid::new_v4());
    let address = url.trim_start_matches("ws://").split('/').next().expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let address = address.replace("localhost", "127.0.0.1").parse().expect("an address");
    let stream = socket.connect(address).await.expect("a connection");
    let request = url.into_client_request().expect("a URL");
    let (mut ws, _) = client_async(request, stream).await.expect("the handshake");
    let token = trouble.user().token;
    ws.send(Message::text(json!({"type": "auth", "token": token}).to_string())).await.expect("auth");
    sleep(Duration::from_secs(1)).await;
    // Each comes back in the answer: some MB in all, more than kernel and gateway keep for it.
    let message = json!({"type": "message", "content": "x".repeat(30_000)}).to_string();
    for _ in 0..MESSAGES_UNREAD {
        ws.send(Message::text(message.clone())).await.expect("a message");
        // One by one: a hundred cold starts at once would be the machine's trouble, not the conversation's.
        sleep(Duration::from_millis(15)).await;
    }
    // And then small ones, one after another, until no more are taken.
    let message = json!({"type": "message", "content": "/tokens 1000 60"}).to_string();
    ws.send(Message::text(message)).await.expect("a message");
    ws
}

fn told(times: &[Duration]) -> String {
    let (p50, max) = (times[times.len() / 2], times[times.len() - 1]);
    format!("p50 {} ms, max {} ms", p50.as_millis(), max.as_millis())
}

/// proves CHAT-12
#[tokio::test]
async fn conversations_in_trouble_never_delay_another() {
    let trouble = Trouble::deaths().await;
    let devices = trouble.devices(HEALTHY).await;
    healthy(&devices).await;
    let baseline = healthy(&devices).await;
    let troubled = trouble.devices(2).await;
    let hanging = troubled[0].said("/error hang").await;
    troubled[0]
        .wait("the model asked", Duration::from_secs(30), |kept| {
            kept.frames.iter().any(|came| came.frame["type"] == "openai_call").then_some(())
        })
        .await;
    let throttled_before = trouble.posts_with(429).await;
    let errors_before = trouble.function("agent", "errors").await;
    let deaf = deaf(&trouble).await;
    trouble.kill("agent", DIES_AFTER_MS, 10_000).await;
    let dying = troubled[1].said("/tokens 1000 20").await;
    let mut beside = Vec::new();
    // Until an invocation has died and the deaf client's posts are refused.
    let (mut died, mut throttled) = (0, 0);
    let began = Instant::now();
    while (died < 2 || throttled == 0) && began.elapsed() < Duration::from_secs(40) {
        beside.extend(healthy(&devices).await);
        died = trouble.function("agent", "errors").await - errors_before;
        throttled = trouble.posts_with(429).await - throttled_before;
    }
    for (device, id) in [(&troubled[0], &hanging), (&troubled[1], &dying)] {
        assert!(device.look(|kept| kept.ends(id).is_empty()), "it was no longer in trouble");
    }
    assert!(died >= 2 && throttled > 0, "{died} died, {throttled} posts refused: no trouble to speak of");
    beside.sort_unstable();
    println!(
        "healthy conversations alone: {}; beside one that hangs, one whose invocations die ({died}) and a client that \
         does not read ({throttled} posts refused): {}",
        told(&baseline),
        told(&beside)
    );
    let most = beside.last().copied().unwrap_or_default();
    assert!(most < Duration::from_secs(2), "a healthy conversation waited {most:?}");
    drop(deaf);
    trouble.disarm().await;
    troubled[1].cancel().await;
    troubled[1].end_of(&dying, Duration::from_secs(60)).await;
    troubled[0].cancel().await;
    troubled[0].end_of(&hanging, Duration::from_secs(30)).await;
    trouble.drained(Duration::from_secs(120)).await;
}
