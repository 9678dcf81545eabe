//! What is sent, and what an answer is taken for; Slack is played by a closure. Sockets are in tests/api.rs.

use std::sync::Mutex;

use konstruct_ports::BoxFuture;

use super::*;

type Sent = (&'static str, String, &'static str, String);

/// Answers every call the same, and notes it.
struct Played {
    answer: Result<RawAnswer, NoAnswer>,
    sent: Mutex<Vec<Sent>>,
}

impl Transport for Played {
    fn post<'a>(&'a self, call: RawCall<'a>) -> BoxFuture<'a, Result<RawAnswer, NoAnswer>> {
        assert!(call.authorization.is_sensitive());
        let authorization = call.authorization.to_str().unwrap().to_owned();
        let body = String::from_utf8(call.body.to_vec()).unwrap();
        self.sent.lock().unwrap().push((call.method, authorization, call.content_type, body));
        Box::pin(std::future::ready(self.answer.clone()))
    }
}

fn answer(status: u16, retry_after: Option<u64>, body: &str) -> Result<RawAnswer, NoAnswer> {
    let retry_after = retry_after.map(Duration::from_secs);
    Ok(RawAnswer { status, retry_after, body: Bytes::from(body.to_owned()) })
}

fn played(answer: Result<RawAnswer, NoAnswer>) -> (Arc<Played>, SlackApi) {
    let played = Arc::new(Played { answer, sent: Mutex::default() });
    (played.clone(), SlackApi::over(played))
}

fn token() -> BotToken {
    BotToken::new(&ChannelToken::new("xoxb-1".to_owned())).unwrap()
}

fn place() -> Place {
    let ts = |text| Ts::parse(text).unwrap();
    Place {
        workspace: "T1".to_owned(),
        room: "C1".to_owned(),
        ts: ts("1.000002"),
        root: ts("1.000001"),
        user: "U1".to_owned(),
        user_team: Some("T1".to_owned()),
        bot_user: Some("UBOT".to_owned()),
        is_direct: false,
    }
}

const LIMIT: Duration = Duration::from_secs(1);

async fn post(answer: Result<RawAnswer, NoAnswer>) -> Result<Ts, ApiError> {
    let marker = Marker("m".to_owned());
    let post = Post { body: Body::Mrkdwn("hi"), marker: Some(&marker) };
    played(answer).1.post_message(&token(), &place(), &post, LIMIT).await
}

fn refused(code: &str) -> ApiError {
    ApiError::Refused(ErrorCode::new(code))
}

#[tokio::test]
async fn a_post_goes_into_the_thread_and_is_marked() {
    let (slack, api) = played(answer(200, None, r#"{"ok":true,"channel":"C1","ts":"1503435956.000247"}"#));
    let marker = Marker("m".to_owned());
    let post = Post { body: Body::Mrkdwn("hi"), marker: Some(&marker) };
    let ts = api.post_message(&token(), &place(), &post, LIMIT).await.unwrap();
    assert_eq!(ts.as_str(), "1503435956.000247");
    let sent = slack.sent.lock().unwrap();
    let (method, authorization, content_type, body) = &sent[0];
    assert_eq!(
        (*method, authorization.as_str(), *content_type),
        ("chat.postMessage", "Bearer xoxb-1", call::JSON)
    );
    let body: Value = serde_json::from_str(body).unwrap();
    let expected = json!({"channel": "C1", "thread_ts": "1.000001", "text": "hi", "link_names": false,
        "unfurl_links": false, "unfurl_media": false,
        "metadata": {"event_type": "konstruct_post", "event_payload": {"id": "m"}}});
    assert_eq!(body, expected);
}

/// proves SLACK-04
#[tokio::test]
async fn errors_tell_what_happened() {
    let limited = |seconds| ApiError::RateLimited { retry_after: Duration::from_secs(seconds) };
    for (played, error) in [
        (answer(429, Some(7), "slow down"), limited(7)),
        (answer(429, None, ""), limited(1)),
        (answer(200, Some(3), r#"{"ok":false,"error":"ratelimited"}"#), limited(3)),
        (answer(200, None, r#"{"ok":false,"error":"channel_not_found"}"#), refused("channel_not_found")),
        (answer(200, None, r#"{"ok":false}"#), refused("unknown")),
        (answer(200, None, r#"{"ok":false,"error":"<b>xoxb-1 Text"}"#), refused("unknown")),
        (answer(404, None, "not here"), refused("unknown")),
        (answer(500, None, r#"{"ok":false,"error":"x"}"#), ApiError::InDoubt),
        (answer(503, None, ""), ApiError::InDoubt),
        (answer(408, None, ""), ApiError::InDoubt),
        (answer(200, None, "not JSON"), ApiError::InDoubt),
        (answer(200, None, "[]"), ApiError::InDoubt),
        (answer(200, None, r#"{"ok":true}"#), ApiError::InDoubt),
        (answer(200, None, r#"{"ok":true,"ts":1.5}"#), ApiError::InDoubt),
        (Err(NoAnswer::NotSent), ApiError::Unreachable),
        (Err(NoAnswer::InDoubt), ApiError::InDoubt),
    ] {
        assert_eq!(post(played.clone()).await, Err(error), "{played:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_in_time_and_in_doubt() {
    struct Silent;
    impl Transport for Silent {
        fn post<'a>(&'a self, _: RawCall<'a>) -> BoxFuture<'a, Result<RawAnswer, NoAnswer>> {
            Box::pin(std::future::pending())
        }
    }
    let api = SlackApi::over(Arc::new(Silent));
    let began = tokio::time::Instant::now();
    let verdict = api.delete(&token(), &place(), &place().ts, LIMIT).await;
    assert_eq!((verdict, began.elapsed()), (Err(ApiError::InDoubt), LIMIT));
}

#[tokio::test]
async fn a_thread_is_read_as_a_form_behind_the_message() {
    let body = r#"{"ok":true,"messages":[
        {"ts":"1.000001","user":"U1","text":"root"},
        {"ts":"1.000003","user":"UBOT","text":"","blocks":[]},
        {"ts":"1.000004","user":"UBOT","text":"x","metadata":{"event_type":"konstruct_post","event_payload":{"id":"m"}}},
        {"ts":"1.000005","user":"U2","text":"y","metadata":{"event_type":"other","event_payload":{"id":"m"}}},
        {"no":"ts"}]}"#;
    let (slack, api) = played(answer(200, None, body));
    let replies = api.replies(&token(), &place(), LIMIT).await.unwrap();
    let seen: Vec<_> = replies.iter().map(|r| (r.ts.as_str(), r.marker.as_deref(), r.is_empty)).collect();
    assert_eq!(seen, [("1.000003", None, true), ("1.000004", Some("m"), false), ("1.000005", None, false)]);
    let sent = slack.sent.lock().unwrap();
    assert_eq!(sent[0].2, call::FORM);
    assert_eq!(sent[0].3, "channel=C1&ts=1.000001&oldest=1.000002&include_all_metadata=true&limit=100");
}

#[tokio::test]
async fn an_ephemeral_message_is_in_a_thread_only_where_there_is_one() {
    let (slack, api) = played(answer(200, None, r#"{"ok":true,"message_ts":"1.000009"}"#));
    let alone = Place { root: place().ts, ..place() };
    for (place, thread) in [(place(), json!("1.000001")), (alone, Value::Null)] {
        api.post_ephemeral(&token(), &place, "wait", LIMIT).await.unwrap();
        let sent = slack.sent.lock().unwrap().pop().unwrap();
        let body: Value = serde_json::from_str(&sent.3).unwrap();
        assert_eq!(
            (sent.0, &body["user"], &body["thread_ts"]),
            ("chat.postEphemeral", &json!("U1"), &thread)
        );
    }
}

/// proves SLACK-06
#[tokio::test]
async fn an_installation_hands_over_its_token_and_shows_it_nowhere() {
    let body = r#"{"ok":true,"app_id":"A1","authed_user":{"id":"U1"},"scope":"chat:write","token_type":"bot",
        "access_token":"xoxb-secret","bot_user_id":"UBOT","team":{"id":"T1","name":"Acme"},"enterprise":null,
        "is_enterprise_install":false,"refresh_token":"xoxe-secret","expires_in":43200}"#;
    let (slack, api) = played(answer(200, None, body));
    let installed = api.oauth_access(("id", "s:t"), "c&d", "https://h/cb", LIMIT).await.unwrap();
    assert_eq!((installed.installation_id(), installed.bot_user_id.as_deref()), (Some("T1"), Some("UBOT")));
    assert_eq!(installed.token().reveal(), "xoxb-secret");
    assert_eq!(installed.rotation().map(|(_, seconds)| seconds), Some(43_200));
    assert!(!format!("{installed:?}{:?}{:?}", token(), api).contains("xox"));
    let sent = slack.sent.lock().unwrap();
    assert_eq!(sent[0].1, "Basic aWQ6czp0");
    assert_eq!(sent[0].3, "code=c%26d&redirect_uri=https%3A%2F%2Fh%2Fcb");
}

#[test]
fn a_base_url_or_a_token_that_cannot_be_used_is_refused() {
    let client = || konstruct_http::Client::new(konstruct_http::ClientConfig::default());
    for good in [BASE_URL, "http://127.0.0.1:1/slack/api/"] {
        assert!(SlackApi::new(client(), good).is_ok());
    }
    for bad in ["", "/api", "slack.com/api", "ftp://slack.com"] {
        assert_eq!(SlackApi::new(client(), bad).map(|_| ()), Err(ConfigError::BaseUrl), "{bad}");
    }
    for bad in ["", " ", "a b", "a\nb", "é"] {
        assert_eq!(BotToken::new(&ChannelToken::new(bad.to_owned())).map(|_| ()), Err(ConfigError::Token));
    }
}
