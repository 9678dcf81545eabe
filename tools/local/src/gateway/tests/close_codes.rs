//! With which code a connection ends (contracts.md 1.4), and what `$disconnect` is told.

use std::time::Duration;

use futures_util::SinkExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};

use super::fixture::{Client, Limits, closed, gateway, ok, with};
use crate::gateway::frames::{FRAME_MAX, MESSAGE_MAX};

async fn code(client: &mut Client) -> u16 {
    closed(client).await.map_or(0, |frame| frame.code.into())
}

#[tokio::test]
async fn binary_is_closed_with_1003() {
    let gateway = gateway().await;
    let mut client = gateway.open().await;
    client.send(Message::binary(vec![1, 2])).await.unwrap();
    assert_eq!(code(&mut client).await, 1003);
    assert_eq!(gateway.event("$disconnect", 0).await["requestContext"]["disconnectStatusCode"], 1003);
}

#[tokio::test]
async fn a_frame_over_32_kb_is_closed_with_1009() {
    let gateway = gateway().await;
    let mut client = gateway.open().await;
    client.send(Message::text("x".repeat(FRAME_MAX))).await.unwrap();
    gateway.event("$default", 0).await;
    // Much more than fits into any buffer: the close frame must get through all the same.
    for size in [FRAME_MAX + 1, 8 * 1024 * 1024] {
        let mut client = gateway.open().await;
        let _ = client.send(Message::text("x".repeat(size))).await;
        assert_eq!(code(&mut client).await, 1009, "{size}");
    }
}

#[tokio::test]
async fn a_message_over_128_kb_is_closed_with_1009() {
    let gateway = gateway().await;
    for (extra, expected) in [(0, None), (1, Some(1009))] {
        let mut client = gateway.open().await;
        let part = MESSAGE_MAX / 4;
        for n in 0..4 {
            let opcode = OpCode::Data(if n == 0 { Data::Text } else { Data::Continue });
            let frame = Frame::message(vec![b'x'; part - usize::from(n == 3)], opcode, false);
            client.send(Message::Frame(frame)).await.unwrap();
        }
        let last = Frame::message(vec![b'x'; 1 + extra], OpCode::Data(Data::Continue), true);
        client.send(Message::Frame(last)).await.unwrap();
        match expected {
            Some(expected) => assert_eq!(code(&mut client).await, expected),
            None => {
                let event = gateway.event("$default", 0).await;
                assert_eq!(event["body"].as_str().unwrap().len(), MESSAGE_MAX);
            }
        }
    }
}

#[tokio::test]
async fn invalid_utf8_is_closed_with_1007() {
    let gateway = gateway().await;
    let mut client = gateway.open().await;
    let frame = Frame::message(vec![b'a', 0xff, 0xfe], OpCode::Data(Data::Text), true);
    client.send(Message::Frame(frame)).await.unwrap();
    assert_eq!(code(&mut client).await, 1007);
}

#[tokio::test]
async fn an_idle_connection_is_closed_with_1001() {
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    let gateway = with(limits, |_, _| ok(&json!({"statusCode": 200}))).await;
    let mut client = gateway.open().await;
    let began = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.send(Message::text("still here")).await.unwrap();
    let frame = closed(&mut client).await.unwrap();
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1001, "Going away"));
    assert!(began.elapsed() > Duration::from_millis(480), "a message did not count");
}

#[tokio::test]
async fn a_connection_that_is_too_old_is_closed_with_1001() {
    let limits = Limits { max_connection: Duration::from_millis(200), ..Limits::default() };
    let gateway = with(limits, |_, _| ok(&json!({"statusCode": 200}))).await;
    let mut client = gateway.open().await;
    assert_eq!(code(&mut client).await, 1001);
}

#[tokio::test]
async fn disconnect_is_told_the_clients_own_code() {
    let gateway = gateway().await;
    let mut client = gateway.open().await;
    client.close(Some(CloseFrame { code: 4001.into(), reason: "bye".into() })).await.unwrap();
    let context = gateway.event("$disconnect", 0).await["requestContext"].clone();
    assert_eq!(
        (&context["disconnectStatusCode"], &context["disconnectReason"]),
        (&json!(4001), &json!("bye"))
    );
    gateway.open().await.close(None).await.unwrap();
    assert_eq!(gateway.event("$disconnect", 1).await["requestContext"]["disconnectStatusCode"], 1005);
    drop(gateway.open().await);
    assert_eq!(gateway.event("$disconnect", 2).await["requestContext"]["disconnectStatusCode"], 1006);
}

#[tokio::test]
async fn an_unmasked_frame_is_closed_with_1002() {
    let gateway = gateway().await;
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port)).await.unwrap();
    let hello = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(hello.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let count = stream.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..count]).contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    stream.write_all(&[0x81, 0x01, b'x']).await.unwrap();
    let count = stream.read(&mut answer).await.unwrap();
    assert_eq!(
        (answer[0], u16::from_be_bytes([answer[2], answer[3]])),
        (0x88, 1002),
        "{:?}",
        &answer[..count]
    );
}
