//! The demo's server of tools over real sockets.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::http_client::client;

async fn start() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let root = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(crate::server::serve(listener, crate::recorder::router()));
    root
}

async fn send(request: http::request::Builder, body: String) -> (u16, Value) {
    let response = client().request(request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn to_server(root: &str) -> http::request::Builder {
    Request::post(format!("{root}/tickets/mcp")).header("content-type", "application/json")
}

async fn ask(root: &str, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let (status, answer) = send(to_server(root), body.to_string()).await;
    assert_eq!((status, &answer["id"]), (200, &json!(7)));
    answer
}

async fn run(root: &str, tool: &str, arguments: Value) -> Value {
    ask(root, "tools/call", json!({"name": tool, "arguments": arguments})).await["result"].clone()
}

async fn runs(root: &str) -> Value {
    send(Request::get(format!("{root}/_tickets/calls")), String::new()).await.1
}

#[tokio::test]
async fn a_client_of_any_version_finds_the_two_tools() {
    let root = start().await;
    for (asked, spoken) in
        [("2024-11-05", "2024-11-05"), ("2025-06-18", "2025-06-18"), ("2031-01-01", "2025-11-25")]
    {
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
        assert_eq!(ask(&root, "initialize", params).await["result"]["protocolVersion"], spoken);
    }
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    assert_eq!(send(to_server(&root), note).await, (202, Value::Null));
    let listed = ask(&root, "tools/list", json!({})).await;
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert_eq!(
        tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["lookup", "close"]
    );
    for tool in tools {
        assert_eq!(tool["inputSchema"]["required"], json!(["ticket"]));
        assert_eq!(tool["inputSchema"]["additionalProperties"], false);
    }
    assert_eq!(runs(&root).await, json!([]));
}

#[tokio::test]
async fn a_ticket_is_open_until_it_is_closed_and_every_run_is_listed() {
    let root = start().await;
    let text = |result: Value| result["content"][0]["text"].as_str().unwrap().to_owned();
    let open = text(run(&root, "lookup", json!({"ticket": "4711"})).await);
    assert_eq!(open, "Ticket 4711 is open: \"The parcel has not arrived.\"");
    assert_eq!(text(run(&root, "close", json!({"ticket": "4711"})).await), "Ticket 4711 is closed.");
    let closed = text(run(&root, "lookup", json!({"ticket": "4711"})).await);
    assert_eq!(closed, "Ticket 4711 is closed: \"The parcel has not arrived.\"");
    assert!(text(run(&root, "lookup", json!({"ticket": "12"})).await).contains("12 is open"));
    let runs = runs(&root).await;
    let tools: Vec<_> = runs.as_array().unwrap().iter().map(|run| run["tool"].as_str().unwrap()).collect();
    assert_eq!(tools, ["tickets_lookup", "tickets_close", "tickets_lookup", "tickets_lookup"]);
    assert_eq!(runs[1]["arguments"], json!({"ticket": "4711"}));
    assert_eq!(runs[1]["at"].as_str().unwrap().len(), "2024-02-19T07:11:42.789Z".len());
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_does_not_run() {
    let root = start().await;
    for arguments in
        [json!({}), json!({"ticket": 1}), json!({"ticket": "1", "more": 1}), json!({"ticket": " "})]
    {
        assert_eq!(run(&root, "close", arguments).await["isError"], true);
    }
    assert_eq!(ask(&root, "tools/call", json!({"name": "open"})).await["error"]["code"], -32602);
    assert_eq!(ask(&root, "server/discover", json!({})).await["error"]["code"], -32601);
    assert_eq!(send(to_server(&root), "no JSON".into()).await.0, 400);
    assert_eq!(send(to_server(&root), "{\"id\":1}".into()).await.0, 400);
    let other = to_server(&root).header("mcp-protocol-version", "1999-01-01");
    assert_eq!(send(other, json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string()).await.0, 400);
    assert_eq!(send(Request::get(format!("{root}/tickets/mcp")), String::new()).await.0, 405);
    assert_eq!(send(Request::delete(format!("{root}/tickets/mcp")), String::new()).await.0, 405);
    assert_eq!(runs(&root).await, json!([]));
}
