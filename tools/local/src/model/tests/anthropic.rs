//! The model's other wire, as contracts.md 6.4 has it.

use super::*;

async fn send(port: u16, body: Value) -> (u16, String) {
    let request = http::Request::post(format!("http://127.0.0.1:{port}/v1/messages"))
        .header("x-api-key", "any")
        .header("anthropic-version", "2023-06-01");
    let response = client().request(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let mut body = response.into_body();
    (status, arriving(&mut body, |_| false).await)
}

fn asked(messages: &Value, stream: bool) -> Value {
    json!({"model": "x", "max_tokens": 100, "system": "be kind", "messages": messages, "stream": stream})
}

async fn said(port: u16, text: &str, stream: bool) -> (u16, String) {
    send(port, asked(&json!([{"role": "user", "content": text}]), stream)).await
}

/// Each event's data; its line `event:` says the same as its type.
fn events(text: &str) -> Vec<Value> {
    let read = |event: &str| {
        let (kind, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(kind.strip_prefix("event: ").unwrap(), data["type"]);
        data
    };
    text.split_terminator("\n\n").map(read).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn a_text_is_streamed_in_the_order_of_the_contract() {
    let (port, calls) = start().await;
    let (status, text) = said(port, "/tokens 4 0", true).await;
    let events = events(&text);
    assert_eq!(status, 200);
    let order = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(kinds(&events), order);
    let said: String = events.iter().filter_map(|event| event.pointer("/delta/text")?.as_str()).collect();
    assert_eq!(said, "w1 w2 w3 w4");
    let usage = json!({"input_tokens": 5, "output_tokens": 1});
    assert_eq!(events[0]["message"]["usage"], usage);
    let last = &events[events.len() - 2];
    assert_eq!(
        (&last["usage"]["output_tokens"], &last["delta"]["stop_reason"]),
        (&json!(4), &json!("end_turn"))
    );
    let listed = &calls.as_json()[0];
    assert_eq!((&listed["completion_tokens"], &listed["prompt_tokens"]), (&json!(4), &json!(5)));
}

#[tokio::test]
async fn a_tool_is_used_and_its_result_told() {
    let (port, _) = start().await;
    let (_, text) = said(port, "/tool find {\"a\": 1}", true).await;
    let events = events(&text);
    assert_eq!(events[1]["content_block"]["name"], "find");
    let input: String =
        events.iter().filter_map(|event| event.pointer("/delta/partial_json")?.as_str()).collect();
    assert_eq!(input, "{\"a\": 1}");
    assert_eq!(events[2]["delta"]["partial_json"], "");
    assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");
    let messages = json!([{"role": "user", "content": "/tool find {}"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "find", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "it is 42"}]}]);
    let whole: Value = serde_json::from_str(&send(port, asked(&messages, false)).await.1).unwrap();
    assert!(whole["content"][0]["text"].as_str().unwrap().contains("it is 42"));
    assert_eq!((&whole["stop_reason"], &whole["type"]), (&json!("end_turn"), &json!("message")));
    let whole: Value = serde_json::from_str(&said(port, "/tool find {\"a\": 1}", false).await.1).unwrap();
    assert_eq!(whole["content"][0]["input"], json!({"a": 1}));
}

#[tokio::test]
async fn directives_are_obeyed_there_too() {
    let (port, calls) = start().await;
    let whole = |text: String| -> String {
        let whole: Value = serde_json::from_str(&text).unwrap();
        whole["content"][0]["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(whole(said(port, "/system", false).await.1), "be kind");
    let history: Value = serde_json::from_str(&whole(said(port, "/history", false).await.1)).unwrap();
    assert_eq!(history[0]["role"], "system");
    let (status, text) = said(port, "/error 529", true).await;
    let error: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &error["error"]["type"]), (529, &json!("overloaded_error")));
    assert_eq!(said(port, "/error 429", true).await.0, 429);
    assert_eq!(send(port, json!({"messages": []})).await.0, 400);
    calls.clear();
    let (_, cut) = said(port, "/error midstream", true).await;
    assert_eq!(events(&cut).iter().filter(|event| event["type"] == "content_block_delta").count(), 3);
    assert_eq!(calls.as_json()[0]["completion_tokens"], 3);
}
