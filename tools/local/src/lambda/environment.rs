//! The environment of a function's process: what the template and Lambda give it.
//! Nothing else of the host's environment may get in, or it would work here and fail when deployed.

use std::collections::BTreeMap;
use std::path::Path;

use crate::template::{FunctionSpec, REGION};

use super::host::Setup;

/// The variables of one sandbox.
pub fn of(spec: &FunctionSpec, setup: &Setup, sandbox: &str, binaries: &Path) -> BTreeMap<String, String> {
    let mut variables = spec.environment.clone();
    let lambda = [
        ("AWS_REGION", REGION.to_string()),
        ("AWS_DEFAULT_REGION", REGION.to_string()),
        ("AWS_ACCESS_KEY_ID", "ASIALOCALSTACKFUNCTION".into()),
        ("AWS_SECRET_ACCESS_KEY", "local".into()),
        ("AWS_SESSION_TOKEN", "local".into()),
        ("AWS_LAMBDA_FUNCTION_NAME", spec.name.clone()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", spec.memory_mb.to_string()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".into()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".into()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", spec.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", sandbox.to_string()),
        // The sandbox's id as a path prefix: one port serves them all.
        ("AWS_LAMBDA_RUNTIME_API", format!("http://127.0.0.1:{}/{sandbox}", setup.runtime_api_port)),
        ("_HANDLER", spec.handler.clone()),
        ("LAMBDA_TASK_ROOT", binaries.display().to_string()),
        // As SAM CLI has it: what may be used on a developer's machine only looks for this.
        ("AWS_SAM_LOCAL", "true".into()),
        ("LANG", "en_US.UTF-8".into()),
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin".into()),
        ("TZ", ":UTC".into()),
        ("AWS_ENDPOINT_URL_SQS", setup.sqs_endpoint.clone()),
        ("STATE_DIR", setup.state_dir.display().to_string()),
        // As SAM does: some things are allowed on a developer's machine only.
        ("AWS_SAM_LOCAL", "true".into()),
    ];
    variables.extend(lambda.map(|(name, value)| (name.to_string(), value)));
    variables
}
