//! Partial batch responses of SQS: which records come back. A record that is not named here is deleted.

use serde::Serialize;

/// The answer to the event source.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchResponse {
    batch_item_failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: String,
}

impl BatchResponse {
    /// This record comes back.
    pub(crate) fn fail(&mut self, message_id: String) {
        self.batch_item_failures.push(Failure { item_identifier: message_id });
    }
}
