//! AWS behind the ports: the task queue (SQS), the connection gateway (API Gateway's Management API), the master key
//! (KMS), secrets of the deployment (Secrets Manager) and the passwords that IAM stands for. It reads no environment, and names no message, person or key in an error or a log.

pub mod data_keys;
mod failure;
pub mod gateway;
pub mod login_tokens;
pub mod model_keys;
pub mod queue;
pub mod sdk;
pub mod secrets_manager;
pub mod trace_header;

pub use data_keys::KmsKeys;
pub use gateway::ManagementApi;
pub use login_tokens::{LoginTokens, TokenError};
pub use model_keys::ModelKeys;
pub use queue::SqsQueue;
pub use sdk::{AwsCredentials, AwsRoots, Sdk, SdkConfig};
pub use secrets_manager::{SecretError, SecretFields, SecretsManager};
pub use trace_header::under_trace_header;
