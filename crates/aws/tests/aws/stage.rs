//! What the AWS tests share: credentials of nobody, and a server with its answers laid out. It judges no request.

use std::sync::Mutex;

use konstruct_aws::{AwsCredentials, AwsRoots, Sdk, SdkConfig};

use crate::server::{Connection, Server};

pub fn sdk() -> Sdk {
    let credentials = AwsCredentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "secret-key".to_owned(),
        session_token: Some("session-token".to_owned()),
    };
    Sdk::new(SdkConfig { region: "eu-central-1".to_owned(), credentials, roots: AwsRoots::CompiledIn })
}

/// Notes every request and answers with the next of these; an empty one hangs up. The last one stays.
pub fn answering<T: Into<String>>(answers: impl IntoIterator<Item = T>) -> Server {
    let mut answers: Vec<String> = answers.into_iter().map(Into::into).collect();
    answers.reverse();
    let answers = Mutex::new(answers);
    Server::new(move |mut connection: Connection| {
        while let Some(request) = connection.read_request() {
            connection.note(request);
            let mut answers = answers.lock().unwrap();
            let answer = if answers.len() > 1 { answers.pop() } else { answers.last().cloned() };
            match answer.filter(|answer| !answer.is_empty()) {
                Some(answer) => connection.write(&answer),
                None => return,
            }
        }
    })
}
