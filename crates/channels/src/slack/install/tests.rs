//! What is sent for a code, and what an answer makes of it; Slack is played by a closure.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::*;
use crate::slack::api::{NoAnswer, RawAnswer, RawCall, Transport};

/// Answers every call the same, and notes authorization and body.
struct Played {
    answer: Result<RawAnswer, NoAnswer>,
    sent: Mutex<Vec<(String, String)>>,
}

impl Transport for Played {
    fn post<'a>(&'a self, call: RawCall<'a>) -> BoxFuture<'a, Result<RawAnswer, NoAnswer>> {
        assert_eq!(call.method, "oauth.v2.access");
        let authorization = call.authorization.to_str().unwrap().to_owned();
        let body = String::from_utf8(call.body.to_vec()).unwrap();
        self.sent.lock().unwrap().push((authorization, body));
        Box::pin(std::future::ready(self.answer.clone()))
    }
}

fn played(answer: Result<RawAnswer, NoAnswer>) -> (Arc<Played>, SlackInstaller) {
    let played = Arc::new(Played { answer, sent: Mutex::default() });
    let api = SlackApi::over(played.clone());
    let redirect = "https://x.example/slack/oauth/callback".to_owned();
    (played, SlackInstaller::new(api, "1.2".to_owned(), "app-secret".to_owned(), redirect))
}

fn said(body: &str) -> Result<RawAnswer, NoAnswer> {
    Ok(RawAnswer { status: 200, retry_after: None, body: Bytes::from(body.to_owned()) })
}

async fn exchange(body: &str) -> Result<Installed, InstallError> {
    played(said(body)).1.exchange("c-1").await
}

/// The sample of contracts.md 4.6, with values.
const GRANTED: &str = r#"{"ok":true,"app_id":"A00FAKEAPP01","authed_user":{"id":"U00FAKEUSER1"},
    "scope":"chat:write","token_type":"bot","access_token":"xoxb-secret","bot_user_id":"U00FAKEBOT01",
    "team":{"id":"T00FAKE00AA","name":"Acme"},"enterprise":null,"is_enterprise_install":false}"#;

/// proves SLACK-06
#[tokio::test]
async fn a_code_becomes_an_installation_of_its_workspace() {
    let (slack, installer) = played(said(GRANTED));
    let installed = installer.exchange("c-1").await.unwrap();
    assert_eq!((installed.workspace.as_str(), installed.token.reveal()), ("T00FAKE00AA", "xoxb-secret"));
    let details: Vec<_> = installed.details.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [
        ("app_id", "A00FAKEAPP01"),
        ("bot_user_id", "U00FAKEBOT01"),
        ("installed_by", "U00FAKEUSER1"),
        ("scope", "chat:write"),
        ("team_name", "Acme"),
    ];
    assert_eq!(details, expected);
    assert!(!format!("{installed:?} {installer:?}").contains("secret"));
    let sent = slack.sent.lock().unwrap();
    let body = "code=c-1&redirect_uri=https%3A%2F%2Fx.example%2Fslack%2Foauth%2Fcallback";
    assert_eq!(*sent, [("Basic MS4yOmFwcC1zZWNyZXQ=".to_owned(), body.to_owned())]);
}

#[tokio::test]
async fn an_installation_of_an_organisation_is_kept_under_the_organisation() {
    let body = r#"{"ok":true,"access_token":"xoxb-1","token_type":"bot","team":null,
        "enterprise":{"id":"E00FAKE0001"},"is_enterprise_install":true}"#;
    assert_eq!(exchange(body).await.unwrap().workspace, "E00FAKE0001");
    let one_of_its_workspaces =
        GRANTED.replace("\"enterprise\":null", "\"enterprise\":{\"id\":\"E00FAKE0001\"}");
    assert_eq!(exchange(&one_of_its_workspaces).await.unwrap().workspace, "T00FAKE00AA");
}

/// proves SLACK-06
#[tokio::test]
async fn what_cannot_be_worked_with_is_no_installation() {
    let rotating =
        GRANTED.replace("\"ok\":true", "\"ok\":true,\"refresh_token\":\"xoxe-1\",\"expires_in\":43200");
    let homeless = GRANTED.replace("T00FAKE00AA", "");
    let garbled = GRANTED.replace("xoxb-secret", "xoxb\\nsecret");
    for unusable in [rotating, homeless, garbled] {
        assert!(matches!(exchange(&unusable).await, Err(InstallError::Unusable(_))), "{unusable}");
    }
    let refused = exchange(r#"{"ok":false,"error":"invalid_code"}"#).await.unwrap_err();
    assert_eq!(refused, InstallError::Refused("invalid_code".to_owned()));
    let without_a_token = GRANTED.replace("access_token", "other");
    for unclear in [&without_a_token, "not JSON", "{}"] {
        assert_eq!(exchange(unclear).await.unwrap_err(), InstallError::Away);
    }
    for none in [NoAnswer::NotSent, NoAnswer::InDoubt] {
        assert_eq!(played(Err(none)).1.exchange("c").await.unwrap_err(), InstallError::Away);
    }
}

#[tokio::test]
async fn a_code_that_cannot_be_one_is_not_sent() {
    let (slack, installer) = played(said(GRANTED));
    for code in ["", &"x".repeat(CODE_BYTES_MAX + 1)] {
        assert!(matches!(installer.exchange(code).await, Err(InstallError::Refused(_))));
    }
    assert!(slack.sent.lock().unwrap().is_empty());
}

#[test]
fn the_page_to_agree_on_is_slacks_own_and_every_value_stays_in_its_place() {
    let url = authorize_url("1.2", "https://x.example/cb?a=b", "t.n&client_id=evil");
    let expected = "https://slack.com/oauth/v2/authorize?client_id=1.2\
        &scope=app_mentions%3Aread%2Cchannels%3Ahistory%2Cchat%3Awrite%2Cgroups%3Ahistory%2Cim%3Ahistory\
        &redirect_uri=https%3A%2F%2Fx.example%2Fcb%3Fa%3Db&state=t.n%26client_id%3Devil";
    assert_eq!(url, expected);
}
