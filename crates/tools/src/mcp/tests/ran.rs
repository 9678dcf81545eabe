//! Whether a call that got no answer may have run. What is said to be unreachable must surely not have.

use super::*;

fn is_unreachable(result: &Result<ToolOutput, ToolError>) -> bool {
    matches!(result, Err(ToolError::Unreachable(_)))
}

fn is_broken(result: &Result<ToolOutput, ToolError>) -> bool {
    matches!(result, Err(ToolError::Broken(_)))
}

/// proves AGNT-04
#[tokio::test]
async fn a_call_that_was_never_sent_did_not_run() {
    for reply in [
        Reply::status(401),
        Reply::status(500),
        Reply::redirect(302, "/elsewhere"),
        Reply::Cut,
        Reply::page("text/html", "<p>hello"),
        Reply::json(&json!({"no": "message"})),
    ] {
        for what in ["initialize", "notifications/initialized"] {
            if what != "initialize" && matches!(reply, Reply::Whole(200, ..)) {
                continue; // What answers a notification is not read.
            }
            let fake = Fake::answering(what, reply.clone()).await;
            let result = call(&fake).await;
            assert!(is_unreachable(&result), "{what} {reply:?}: {result:?}");
            assert_eq!(fake.count("tools/call"), 0);
        }
    }
    let silent = Fake::answering("initialize", Reply::Silence).await;
    let result = call_within(&silent, Duration::from_millis(300)).await;
    assert!(is_unreachable(&result), "{result:?}");
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut gone = Fake::tools(|_| None).await;
    gone.port = port;
    let called = call(&gone).await;
    assert!(is_unreachable(&called), "{called:?}");
    let listed = gone.client().list(&server(&gone), AMPLE).await;
    assert!(matches!(listed, Err(ToolError::Unreachable(_))), "{listed:?}");
}

#[tokio::test]
async fn what_the_guard_refuses_is_not_allowed() {
    let fake = Fake::tools(|_| None).await;
    for url in [
        "https://127.0.0.1/mcp",
        "https://[::1]/mcp",
        "https://localhost/mcp",
        "http://example.com/mcp",
        "https://a@example.com/mcp",
        "ftp://example.com/mcp",
        "no URL",
        "",
    ] {
        let server = ToolServer { url: url.to_owned(), key: None };
        let result = fake.client().call(&server, "x", &Map::new(), AMPLE).await;
        assert!(matches!(result, Err(ToolError::NotAllowed(_))), "{url}: {result:?}");
        let result = fake.client().list(&server, AMPLE).await;
        assert!(matches!(result, Err(ToolError::NotAllowed(_))), "{url}: {result:?}");
    }
}

/// proves AGNT-04
#[tokio::test]
async fn a_call_that_was_sent_and_not_answered_may_have_run_and_is_not_sent_again() {
    for reply in [
        Reply::status(404),
        Reply::status(500),
        Reply::status(202),
        Reply::redirect(307, "/elsewhere"),
        Reply::Cut,
        Reply::page("text/html", "<p>hello"),
        Reply::json(&json!({"no": "message"})),
        Reply::events("data: no JSON\n\n".to_owned()),
        Reply::events(String::new()),
    ] {
        let fake = Fake::answering("tools/call", reply.clone()).await;
        let result = call(&fake).await;
        assert!(is_broken(&result), "{reply:?}: {result:?}");
        assert_eq!((fake.count("tools/call"), fake.count("initialize")), (1, 1), "{reply:?}");
    }
    let silent = Fake::answering("tools/call", Reply::Silence).await;
    assert_eq!(call_within(&silent, Duration::from_millis(300)).await, Err(ToolError::TimedOut));
    assert_eq!(silent.count("tools/call"), 1);
    // Its session is ended all the same.
    silent.until("DELETE", 1).await;
}

#[tokio::test]
async fn a_refusal_of_the_server_is_an_answer_for_the_model() {
    let fake = Fake::tools(|asked| {
        (asked.what() == "tools/call").then(|| Reply::error(asked, -32602, "there is no such tool"))
    });
    let fake = fake.await;
    let answer = call(&fake).await.unwrap();
    assert!(answer.is_error && answer.text.ends_with("there is no such tool"), "{answer:?}");
    assert_eq!(fake.count("tools/call"), 1);
}

#[tokio::test]
async fn a_server_that_wants_more_instead_of_answering_is_broken() {
    let wants = json!({"resultType": "input_required", "inputRequests": {}, "requestState": "x"});
    let fake = Fake::tools(move |asked| (asked.what() == "tools/call").then(|| Reply::result(asked, &wants)));
    let fake = fake.await;
    let result = call(&fake).await;
    assert!(is_broken(&result), "{result:?}");
    assert_eq!(fake.count("tools/call"), 1);
}

#[tokio::test]
async fn a_session_that_cannot_be_ended_costs_a_second_at_most() {
    let fake = Fake::answering("DELETE", Reply::Silence).await;
    let began = tokio::time::Instant::now();
    assert_eq!(call(&fake).await, Ok(said("done")));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(fake.count("DELETE"), 1);
}

#[tokio::test]
async fn a_list_that_does_not_come_is_told_by_its_cause() {
    let list = async |fake: Fake, limit| fake.client().list(&server(&fake), limit).await;
    let refused = list(Fake::answering("initialize", Reply::status(401)).await, AMPLE).await;
    assert_eq!(refused, Err(ToolError::Broken("it answers with status 401".to_owned())));
    let silent = Fake::answering("tools/list", Reply::Silence).await;
    assert_eq!(list(silent, Duration::from_millis(300)).await, Err(ToolError::TimedOut));
    let none = Fake::tools(|asked| {
        (asked.what() == "tools/list").then(|| Reply::error(asked, -32601, "the-secret-key is wrong"))
    });
    let none = list(none.await, AMPLE).await;
    assert_eq!(none, Err(ToolError::Broken("it does not list its tools".to_owned())));
}

#[tokio::test]
async fn a_key_that_is_no_header_is_not_sent() {
    let fake = Fake::tools(|_| None).await;
    let server = ToolServer { url: fake.url("/mcp"), key: Some(ApiKey::new("a\r\nb".to_owned())) };
    let result = fake.client().call(&server, "x", &Map::new(), AMPLE).await;
    assert!(is_unreachable(&result));
    assert!(fake.asked().is_empty() && !format!("{result:?}").contains("a\\r"));
}
