//! Conversations with servers of tools that do what they should. Those that do not are in `hostile`.

mod hostile;
mod ran;

use std::time::Duration;

use konstruct_ports::{ApiKey, ToolError, ToolHost, ToolOutput, ToolServer};
use serde_json::{Map, Value, json};

use crate::fake::{Asked, Fake, Reply};

/// Longer than anything here takes.
const AMPLE: Duration = Duration::from_secs(30);

fn server(fake: &Fake) -> ToolServer {
    ToolServer { url: fake.url("/mcp"), key: None }
}

fn arguments(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

async fn call_within(fake: &Fake, limit: Duration) -> Result<ToolOutput, ToolError> {
    fake.client().call(&server(fake), "lookup", &arguments(&json!({"ticket": "X"})), limit).await
}

async fn call(fake: &Fake) -> Result<ToolOutput, ToolError> {
    call_within(fake, AMPLE).await
}

/// What comes of a result.
async fn read(result: Value) -> ToolOutput {
    let told = move |asked: &Asked| (asked.what() == "tools/call").then(|| Reply::result(asked, &result));
    call(&Fake::tools(told).await).await.unwrap()
}

fn said(text: &str) -> ToolOutput {
    ToolOutput { text: text.to_owned(), is_error: false }
}

fn tool(name: &str) -> Value {
    json!({"name": name, "description": "Does it.", "inputSchema": {"type": "object"}})
}

/// proves AGNT-04
#[tokio::test]
async fn a_tool_is_called_in_a_session_that_is_ended_and_the_key_goes_along() {
    let fake = Fake::tools(|_| None).await;
    let with_key = ToolServer { url: fake.url("/mcp?x=1"), key: Some(ApiKey::new("the-key".to_owned())) };
    let answer = fake.client().call(&with_key, "lookup", &arguments(&json!({"ticket": "X"})), AMPLE).await;
    assert_eq!(answer, Ok(said("done")));
    assert_eq!(fake.whats(), ["initialize", "notifications/initialized", "tools/call", "DELETE"]);
    let asked = fake.asked();
    for request in &asked {
        assert_eq!(
            (request.path.as_str(), request.header("authorization")),
            ("/mcp?x=1", Some("Bearer the-key"))
        );
        assert_eq!(request.header("accept-encoding"), None);
    }
    let sessions: Vec<_> = asked.iter().map(|request| request.header("mcp-session-id")).collect();
    assert_eq!(sessions, [None, Some("session-1"), Some("session-1"), Some("session-1")]);
    assert_eq!(asked[0].body["params"]["capabilities"], json!({}));
    assert_eq!(asked[0].body["params"]["protocolVersion"], "2025-11-25");
    assert_eq!(asked[2].body["params"]["name"], "lookup");
    assert_eq!(asked[2].body["params"]["arguments"], json!({"ticket": "X"}));
    assert_eq!(asked[2].header("mcp-protocol-version"), asked[0].body["params"]["protocolVersion"].as_str());
}

#[tokio::test]
async fn a_server_may_answer_with_events_and_say_other_things_before() {
    let events = |asked: &Asked| match asked.what() {
        "initialize" | "tools/call" => {
            let result = match asked.what() {
                "initialize" => json!({"protocolVersion": "2025-03-26", "capabilities": {},
                    "serverInfo": {"name": "x", "version": "1"}}),
                _ => json!({"content": [{"type": "text", "text": "streamed"}]}),
            };
            let note = json!({"jsonrpc": "2.0", "method": "notifications/message",
                "params": {"level": "info", "data": "working"}});
            let answer = json!({"jsonrpc": "2.0", "id": asked.body["id"], "result": result});
            Some(Reply::events(format!(
                ": hello\n\nevent: message\ndata: {note}\n\nid: 7\ndata: {answer}\n\n"
            )))
        }
        _ => None,
    };
    let fake = Fake::tools(events).await;
    assert_eq!(call(&fake).await, Ok(said("streamed")));
    // Without a session there is none to end, and no stream was opened for what the server says by itself.
    assert_eq!((fake.count("DELETE"), fake.count("GET")), (0, 0));
}

#[tokio::test]
async fn a_stream_that_ends_early_is_taken_up_where_it_ended() {
    let resumed = |asked: &Asked| match asked.what() {
        "tools/call" => Some(Reply::events("id: 5\nretry: 1\ndata: \n\n".to_owned())),
        "GET" => {
            let answer =
                json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "late"}]}});
            Some(Reply::events(format!("data: {answer}\n\n")))
        }
        _ => None,
    };
    let fake = Fake::tools(resumed).await;
    assert_eq!(call(&fake).await, Ok(said("late")));
    let asked = fake.asked();
    let get = asked.iter().find(|asked| asked.method == "GET").unwrap();
    assert_eq!(get.header("last-event-id"), Some("5"));
    assert_eq!(fake.count("tools/call"), 1);
}

#[tokio::test]
async fn texts_are_joined_and_other_content_is_named() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let image = json!({"type": "image", "data": "AAAA", "mimeType": "image/png"});
    let audio = json!({"type": "audio", "data": "AAAA", "mimeType": "audio/wav"});
    let resource = json!({"type": "resource", "resource": {"uri": "file:///a", "text": "secret"}});
    let link = json!({"type": "resource_link", "uri": "file:///a", "name": "a"});
    let all = read(json!({"content": [text("one"), image, text("two\u{0}"), audio, resource, link]})).await;
    assert_eq!(
        all.text,
        "one\n[image omitted]\ntwo\n[audio omitted]\n[resource omitted]\n[resource omitted]"
    );
    let structured = json!({"open": true});
    assert_eq!(read(json!({"content": [], "structuredContent": structured})).await, said("{\"open\":true}"));
    let both = json!({"content": [text("it is open")], "structuredContent": structured});
    assert_eq!(read(both).await, said("it is open"));
    let failed = read(json!({"content": [text("no such ticket")], "isError": true})).await;
    assert_eq!(failed, ToolOutput { text: "no such ticket".to_owned(), is_error: true });
    assert_eq!(read(json!({"content": []})).await, said(""));
}

/// proves AGNT-04
#[tokio::test]
async fn tools_are_listed_page_by_page() {
    let paged = |asked: &Asked| {
        let page: usize = asked.body["params"]["cursor"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
        let mut result = json!({"tools": [tool(&format!("tool-{page}"))]});
        if page < 2 {
            result["nextCursor"] = (page + 1).to_string().into();
        }
        (asked.what() == "tools/list").then(|| Reply::result(asked, &result))
    };
    let fake = Fake::tools(paged).await;
    let tools = fake.client().list(&server(&fake), AMPLE).await.unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["tool-0", "tool-1", "tool-2"]);
    assert_eq!(
        (tools[0].description.as_str(), &tools[0].parameters),
        ("Does it.", &arguments(&json!({"type": "object"})))
    );
    assert_eq!(fake.whats().last().map(String::as_str), Some("DELETE"));
}

#[tokio::test]
async fn lists_descriptions_names_and_schemas_are_bounded() {
    let endless = |asked: &Asked| {
        let page = asked.body["params"]["cursor"].as_str().unwrap_or("x").len();
        let named = |count: usize| (0..count).map(|at| tool(&format!("p{page}-{at}"))).collect::<Vec<_>>();
        let mut tools = named(20);
        for name in ["", "a b", "a.b", "größe", &"x".repeat(65), "p1-0"] {
            tools.push(tool(name));
        }
        let mut long = tool(&"x".repeat(64));
        long["description"] = "ä".repeat(5000).into();
        let mut large = tool("large");
        large["inputSchema"] = json!({"type": "object", "description": "x".repeat(16 * 1024)});
        let mut bad = tool("bad");
        bad["inputSchema"] = json!({"type": 5});
        tools.extend([long, large, bad]);
        let result = json!({"tools": tools, "nextCursor": "x".repeat(page + 1)});
        (asked.what() == "tools/list").then(|| Reply::result(asked, &result))
    };
    let fake = Fake::tools(endless).await;
    let tools = fake.client().list(&server(&fake), AMPLE).await.unwrap();
    assert_eq!(fake.count("tools/list"), 5);
    let names: Vec<_> =
        tools.iter().map(|tool| tool.name.as_str()).filter(|name| !name.starts_with('p')).collect();
    assert_eq!(names, ["x".repeat(64)]);
    assert!(tools.len() <= 128 && tools.len() > 80);
    let long = tools.iter().find(|tool| tool.name.starts_with("xx")).unwrap();
    assert_eq!(long.description.chars().count(), 1024);
    let many = Fake::tools(|asked| {
        let tools: Vec<_> = (0..300).map(|at| tool(&format!("t{at}"))).collect();
        (asked.what() == "tools/list").then(|| Reply::result(asked, &json!({"tools": tools})))
    });
    let many = many.await;
    assert_eq!(many.client().list(&server(&many), AMPLE).await.unwrap().len(), 128);
}
