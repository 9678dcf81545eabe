//! AWS behind the ports: the task queue (SQS) and the connection gateway (API Gateway's Management API). It reads
//! no environment, and names no message, person or key in an error or a log.

mod failure;
pub mod gateway;
pub mod queue;
pub mod sdk;

pub use gateway::ManagementApi;
pub use queue::SqsQueue;
pub use sdk::{AwsCredentials, AwsRoots, Sdk, SdkConfig};
