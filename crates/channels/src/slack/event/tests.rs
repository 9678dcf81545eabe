//! Envelopes in small. The captures are replayed in tests/captures.rs.

use serde_json::{Value, json};

use super::*;

fn envelope(event: &Value) -> Value {
    json!({
        "type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event": event,
        "authorizations": [{"enterprise_id": null, "team_id": "T1", "user_id": "UBOT", "is_bot": true,
                            "is_enterprise_install": false}],
    })
}

fn message(changes: &Value) -> Value {
    let mut event = json!({"type": "message", "channel": "C1", "channel_type": "channel", "user": "U1",
                           "text": "<@UBOT> hi", "ts": "1766458026.240809"});
    let (Some(event_fields), Some(changes)) = (event.as_object_mut(), changes.as_object()) else {
        panic!("objects")
    };
    for (name, value) in changes {
        event_fields.insert(name.clone(), value.clone());
    }
    event
}

fn received(body: &Value) -> Received {
    parse(body.to_string().as_bytes(), Some("application/json"), Some("A1"))
}

fn read(changes: &Value) -> Result<SlackMessage, Ignored> {
    match received(&envelope(&message(changes))) {
        Received::Message(message) => Ok(*message),
        Received::Ignored(why) => Err(why),
        other => panic!("{other:?}"),
    }
}

/// proves SLACK-01
#[test]
fn a_challenge_and_a_certificate_check_are_recognised() {
    let body = json!({"token": "x", "challenge": "3eZb", "type": "url_verification"});
    assert_eq!(received(&body), Received::UrlVerification { challenge: "3eZb".to_owned() });
    let form = Some("application/x-www-form-urlencoded");
    assert_eq!(parse(b"ssl_check=1&token=x", form, None), Received::SslCheck);
    assert_eq!(parse(b"token=x&ssl_check=1", None, None), Received::SslCheck);
    assert_eq!(parse(b"token=x&ssl_check=0", form, None), Received::Ignored(Ignored::NotUnderstood));
}

/// proves SLACK-01
#[test]
fn what_is_not_understood_is_ignored() {
    for body in [&b""[..], b"{", b"[]", b"nul", b"{}", b"\xFF\xFE", b"{\"type\":1}"] {
        assert_eq!(parse(body, None, None), Received::Ignored(Ignored::NotUnderstood), "{body:?}");
    }
    assert_eq!(received(&envelope(&json!(null))), Received::Ignored(Ignored::NotUnderstood));
    assert_eq!(
        received(&envelope(&json!({"type": "reaction_added"}))),
        Received::Ignored(Ignored::OtherType)
    );
    let actions = json!({"type": "block_actions", "api_app_id": "A1"});
    assert_eq!(received(&actions), Received::Ignored(Ignored::OtherType));
}

#[test]
fn another_apps_events_are_ignored_where_ours_is_configured() {
    let mut body = envelope(&message(&json!({})));
    body["api_app_id"] = json!("A2");
    assert_eq!(received(&body), Received::Ignored(Ignored::OtherApp));
    assert!(matches!(parse(body.to_string().as_bytes(), None, None), Received::Message(_)));
}

#[test]
fn an_overrun_names_its_workspace() {
    let body = json!({"token": "x", "type": "app_rate_limited", "team_id": "T1", "minute_rate_limited": 1,
                      "api_app_id": "A1"});
    assert_eq!(received(&body), Received::RateLimited { team_id: Some("T1".to_owned()) });
}

/// proves SLACK-01
#[test]
fn mentions_direct_messages_and_threads_are_told_apart() {
    assert_eq!(read(&json!({})).expect("a message").addressed, Addressed::Mention);
    let mention = json!({"type": "app_mention", "channel_type": null, "text": "hi"});
    assert_eq!(read(&mention).expect("a message").addressed, Addressed::Mention);
    let direct = json!({"channel": "D1", "channel_type": "im", "text": "hi"});
    assert_eq!(read(&direct).expect("a message").addressed, Addressed::Direct);
    let direct = json!({"channel": "D1", "channel_type": null, "text": "hi"});
    assert_eq!(read(&direct).expect("a message").addressed, Addressed::Direct);
    let thread = json!({"text": "hi", "thread_ts": "1766458020.000100"});
    let message = read(&thread).expect("a message");
    assert_eq!(message.addressed, Addressed::MaybeFollowed);
    assert_eq!(message.root().as_str(), "1766458020.000100");
    assert_eq!(read(&json!({"text": "hi"})), Err(Ignored::NotAddressed));
    assert_eq!(read(&json!({"text": "hi", "thread_ts": "1766458026.240809"})), Err(Ignored::NotAddressed));
}

/// proves SLACK-01
#[test]
fn bots_edits_and_deletions_are_ignored() {
    for (changes, why) in [
        (json!({"bot_id": "B1", "user": "UBOT", "app_id": "A1"}), Ignored::Bot),
        (json!({"user": "UBOT"}), Ignored::Bot),
        (json!({"subtype": "bot_message", "bot_id": "B1", "user": null}), Ignored::Bot),
        (
            json!({"subtype": "message_changed", "hidden": true, "message": {"text": "<@UBOT>"}}),
            Ignored::Subtype,
        ),
        (json!({"subtype": "message_deleted", "hidden": true}), Ignored::Subtype),
        (json!({"subtype": "channel_join"}), Ignored::Subtype),
        (json!({"subtype": 7}), Ignored::Subtype),
        (json!({"hidden": true}), Ignored::Hidden),
        (json!({"user": null}), Ignored::NoPerson),
        (json!({"user": "USLACK"}), Ignored::NoPerson),
        (json!({"user": 7}), Ignored::NoPerson),
    ] {
        assert_eq!(read(&changes), Err(why), "{changes}");
    }
    for subtype in ["file_share", "thread_broadcast", "me_message"] {
        assert!(read(&json!({"subtype": subtype, "files": [{"id": "F1"}]})).is_ok(), "{subtype}");
    }
    assert!(read(&json!({"subtype": null, "bot_id": null, "hidden": false})).is_ok());
}

#[test]
fn a_message_without_a_place_is_malformed() {
    for changes in [
        json!({"ts": null}),
        json!({"ts": 1_766_458_026.240_809}),
        json!({"ts": "1766458026"}),
        json!({"thread_ts": "now"}),
        json!({"channel": null}),
        json!({"channel": "C 1"}),
    ] {
        assert_eq!(read(&changes), Err(Ignored::Malformed), "{changes}");
    }
    let mut body = envelope(&message(&json!({})));
    body["team_id"] = json!(null);
    body["authorizations"][0]["team_id"] = json!(null);
    assert_eq!(received(&body), Received::Ignored(Ignored::Malformed));
}

/// proves SLACK-03
#[test]
fn the_workspace_is_the_envelopes_but_in_a_shared_room_the_authorizations() {
    let team = |body: &Value| match received(body) {
        Received::Message(message) => message.workspace.installation_id().map(str::to_owned),
        other => panic!("{other:?}"),
    };
    let mut body = envelope(&message(&json!({"team": "T9"})));
    assert_eq!(team(&body).as_deref(), Some("T1"));
    body["authorizations"][0]["team_id"] = json!("T2");
    assert_eq!(team(&body).as_deref(), Some("T1"));
    body["is_ext_shared_channel"] = json!(true);
    assert_eq!(team(&body).as_deref(), Some("T2"), "two workspaces share the room: it is sent for this one");
    body["is_ext_shared_channel"] = json!(false);
    body["team_id"] = json!(null);
    assert_eq!(team(&body).as_deref(), Some("T2"));
    body["authorizations"][0]["team_id"] = json!(null);
    assert_eq!(team(&body).as_deref(), Some("T9"));
    body["authorizations"][0]["enterprise_id"] = json!("E1");
    assert_eq!(team(&body).as_deref(), Some("T9"), "a workspace of an organisation is installed by itself");
    body["authorizations"][0]["is_enterprise_install"] = json!(true);
    assert_eq!(team(&body).as_deref(), Some("E1"));
}

#[test]
fn removal_and_revoked_tokens_name_their_workspace() {
    for (event_time, seconds) in
        [(json!(1_795_167_070), Some(1_795_167_070)), (json!("x"), None), (json!(9e99), None)]
    {
        let mut body = envelope(&json!({"type": "app_uninstalled"}));
        body["event_time"] = event_time;
        let Received::Uninstalled { workspace, at } = received(&body) else { panic!("no removal") };
        assert_eq!(workspace.installation_id(), Some("T1"));
        assert_eq!(at.map(|at| at.unix_timestamp()), seconds);
    }
    for (tokens, bot) in [
        (json!({"oauth": ["U1"], "bot": ["UBOT"]}), true),
        (json!({"oauth": ["U1"], "bot": []}), false),
        (json!({"oauth": ["U1"]}), false),
        (json!(null), false),
    ] {
        let body = envelope(&json!({"type": "tokens_revoked", "tokens": tokens}));
        assert!(matches!(received(&body), Received::TokensRevoked { bot: b, .. } if b == bot), "{tokens}");
    }
}

#[test]
fn hostile_json_is_harmless() {
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let body = format!(
        r#"{{"type":"event_callback","team_id":"T1","x":{deep},"authorizations":[{{"user_id":"UBOT"}}],"event":{{
        "type":"message","channel":"D1","user":"U1","ts":"1.000001","text":"a\ud800b","blocks":{deep},"n":1e999}}}}"#
    );
    let Received::Message(message) = parse(body.as_bytes(), None, None) else { panic!("no message") };
    assert_eq!(message.text, "a\u{FFFD}b");
}
