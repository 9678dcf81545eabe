//! The master key against a KMS of every temper, over real sockets. AWS is not called.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "../../http/tests/client/server.rs"]
mod server;
#[path = "aws/stage.rs"]
mod stage;

use konstruct_aws::KmsKeys;
use konstruct_ports::{DataKeys, KeyError, SealedDataKey, SecretContext};
use uuid::Uuid;

use crate::server::Server;
use crate::stage::{answering, sdk};

const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const CONTEXT: SecretContext<'_> =
    SecretContext { tenant: Uuid::from_u128(0xaa), row: Uuid::from_u128(0xbb), purpose: "slack_bot_token" };
/// 32 bytes of 7, in base64.
const PLAIN: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

fn keys(server: &Server) -> KmsKeys {
    KmsKeys::new(&sdk(), KEY_ID, Some(&server.url("")))
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn failed(status: &str, kind: &str) -> String {
    answer(status, &format!("{{\"__type\":\"{kind}\",\"message\":\"secret\"}}"))
}

fn sealed() -> SealedDataKey {
    SealedDataKey { key: KEY_ID.to_owned(), sealed: b"sealed".to_vec() }
}

/// proves SLACK-06
#[tokio::test]
async fn a_data_key_is_made_for_its_context() {
    let body = format!("{{\"CiphertextBlob\":\"c2VhbGVk\",\"Plaintext\":\"{PLAIN}\",\"KeyId\":\"arn:x\"}}");
    let server = answering([answer("200 OK", &body)]);
    let (key, sealed_key) = keys(&server).generate(&CONTEXT).await.unwrap();
    assert_eq!((key.reveal(), sealed_key), ([7; 32].as_slice(), sealed()));
    let request = server.noted().remove(0);
    assert!(request.contains("x-amz-target: TrentService.GenerateDataKey\r\n"), "{request}");
    assert!(request.contains("/eu-central-1/kms/aws4_request"), "{request}");
    for field in [
        format!("\"KeyId\":\"{KEY_ID}\""),
        "\"KeySpec\":\"AES_256\"".to_owned(),
        "\"tenant\":\"00000000-0000-0000-0000-0000000000aa\"".to_owned(),
        "\"row\":\"00000000-0000-0000-0000-0000000000bb\"".to_owned(),
        "\"purpose\":\"slack_bot_token\"".to_owned(),
    ] {
        assert!(request.contains(&field), "{field} in {request}");
    }
}

/// proves SLACK-06
#[tokio::test]
async fn a_data_key_is_opened_by_the_named_key_in_its_context() {
    let body = format!("{{\"Plaintext\":\"{PLAIN}\",\"KeyId\":\"arn:x\"}}");
    let server = answering([answer("200 OK", &body)]);
    assert_eq!(keys(&server).open(&sealed(), &CONTEXT).await.unwrap().reveal(), [7; 32]);
    let request = server.noted().remove(0);
    assert!(request.contains("x-amz-target: TrentService.Decrypt\r\n"), "{request}");
    for field in ["\"CiphertextBlob\":\"c2VhbGVk\"", KEY_ID, "\"EncryptionContext\":{", "\"slack_bot_token\""]
    {
        assert!(request.contains(field), "{field} in {request}");
    }
}

/// proves SLACK-06
#[tokio::test]
async fn a_row_cannot_choose_the_key_that_opens_it() {
    let server = answering([answer("200 OK", "{}")]);
    for other in ["arn:aws:kms:eu-central-1:999999999999:key/x", "local", ""] {
        let sealed = SealedDataKey { key: other.to_owned(), ..sealed() };
        let error = keys(&server).open(&sealed, &CONTEXT).await.unwrap_err();
        assert!(matches!(error, KeyError::Refused(_)), "{error:?}");
    }
    assert!(server.noted().is_empty(), "KMS was not asked");
}

#[tokio::test]
async fn what_passes_is_tried_three_times_and_is_worth_another() {
    for (status, kind) in [("500 X", "KMSInternalException"), ("400 X", "ThrottlingException")] {
        let server = answering([failed(status, kind)]);
        let error = keys(&server).open(&sealed(), &CONTEXT).await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        let said = format!("the keys are away: decrypt: refused: {} {kind}", &status[..3]);
        assert_eq!(error.to_string(), said);
        assert_eq!(server.noted().len(), 3);
    }
    let error =
        KmsKeys::new(&sdk(), KEY_ID, Some("http://127.0.0.1:1")).generate(&CONTEXT).await.unwrap_err();
    assert_eq!(error, KeyError::Away("generate: connection failed".to_owned()));
}

/// proves SLACK-06
#[tokio::test]
async fn a_refusal_is_final_and_repeats_nothing_of_what_kms_says() {
    for kind in
        ["AccessDeniedException", "InvalidCiphertextException", "IncorrectKeyException", "NotFoundException"]
    {
        let server = answering([failed("400 X", kind)]);
        let error = keys(&server).open(&sealed(), &CONTEXT).await.unwrap_err();
        assert_eq!(error, KeyError::Refused(format!("decrypt: refused: 400 {kind}")));
        assert_eq!(server.noted().len(), 1);
    }
}

#[tokio::test]
async fn a_key_of_another_length_is_none() {
    let server = answering([answer("200 OK", "{\"Plaintext\":\"BwcH\",\"CiphertextBlob\":\"c2VhbGVk\"}")]);
    assert!(keys(&server).generate(&CONTEXT).await.is_err());
    assert!(keys(&server).open(&sealed(), &CONTEXT).await.is_err());
}
