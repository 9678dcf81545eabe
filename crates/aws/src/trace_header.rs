//! The trace header of the invocation under way, which SQS hands on with each message that is sent meanwhile. Nothing is
//! decided by it, and no work waits for it.

use aws_sdk_sqs::operation::send_message::builders::SendMessageFluentBuilder;
use aws_sdk_sqs::types::{MessageSystemAttributeNameForSends, MessageSystemAttributeValue};

/// Longest header that is handed on, bytes.
const BYTES_MAX: usize = 512;

tokio::task_local! {
    static HEADER: Option<String>;
}

/// Does some work under AWS's trace header (`Root=…;Parent=…;Sampled=…`, with its lineage, from which Lambda knows a chain
/// that never ends). What is spawned meanwhile is not under it.
pub async fn under_trace_header<F: Future>(header: Option<String>, work: F) -> F::Output {
    HEADER.scope(header.filter(|header| is_one(header)), work).await
}

/// The message, with the header that its sender works under. The SDK sets none by itself; the one it adds to the HTTP
/// request is that of the process, and not of the invocation, where a process has several.
pub(crate) fn handed_on(send: SendMessageFluentBuilder) -> SendMessageFluentBuilder {
    let header = HEADER.try_with(Clone::clone).ok().flatten();
    let value = header.and_then(|header| {
        MessageSystemAttributeValue::builder().data_type("String").string_value(header).build().ok()
    });
    match value {
        Some(value) => {
            send.message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, value)
        }
        None => send,
    }
}

fn is_one(header: &str) -> bool {
    (1..=BYTES_MAX).contains(&header.len()) && header.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_header_is_handed_on() {
        assert!(is_one("Root=1-65d2ff2e-718990494fd688f062bf1571;Parent=53995c3f42cd8ad8;Sampled=1"));
        for bad in ["", "Root=1\n2", "Root=ü", &"x".repeat(BYTES_MAX + 1)] {
            assert!(!is_one(bad), "{bad}");
        }
    }
}
