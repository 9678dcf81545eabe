//! AWS behind the ports: the task queue (SQS), the connection gateway (API Gateway's Management API) and the master
//! key (KMS). It reads no environment, and names no message, person or key in an error or a log.

pub mod data_keys;
mod failure;
pub mod gateway;
pub mod queue;
pub mod sdk;
pub mod trace_header;

pub use data_keys::KmsKeys;
pub use gateway::ManagementApi;
pub use queue::SqsQueue;
pub use sdk::{AwsCredentials, AwsRoots, Sdk, SdkConfig};
pub use trace_header::under_trace_header;
