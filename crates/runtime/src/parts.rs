//! What functions are built from, each part from its own variables. Nothing is connected by building it;
//! [`warm`] begins connecting beside the first poll.

use std::sync::Arc;
use std::time::Duration;

use konstruct_aws::{
    AwsCredentials, AwsRoots, KmsKeys, ManagementApi, ModelKeys, Sdk, SdkConfig, SecretsManager, SqsQueue,
};
use konstruct_channels::slack::adapter::Slack;
use konstruct_channels::slack::api::SlackApi;
use konstruct_domain::{Channel, Provider};
use konstruct_http::{Client, ClientConfig, Exceptions, GuardedClient, GuardedConfig, Roots};
use konstruct_llm::{
    Anthropic, AnthropicConfig, Bedrock, BedrockConfig, GivenKeys, OpenAi, OpenAiConfig, Providers,
    TimeLimits, Timed,
};
use konstruct_ports::{LanguageModel, PlatformKeys};
use konstruct_postgres::{PlatformPool, TenantPool};
use konstruct_redis::Redis;
use konstruct_secrets::{LocalKeys, NoKeys, Secrets};
use konstruct_service::Connections;
use konstruct_service::outgoing::Outgoing;
use konstruct_tools::Tools;

use crate::auth::{Keys, Verifier};
use crate::config::{optional, required};
use crate::jwks::{HttpJwks, Jwks};
use crate::logins;
use crate::start::StartError;
use crate::telemetry::Counted;

/// Postgres as `konstruct_app`; in a function that opens or seals secrets as `konstruct_channels`.
pub(crate) fn db(size: usize) -> Result<TenantPool, StartError> {
    Ok(TenantPool::of(logins::database("DATABASE_URL")?, size)?)
}

/// Postgres as `konstruct_platform`.
pub(crate) fn platform() -> Result<PlatformPool, StartError> {
    Ok(PlatformPool::of(logins::database("DATABASE_PLATFORM_URL")?)?)
}

/// Redis.
pub(crate) fn redis() -> Result<Redis, StartError> {
    Ok(Redis::of(logins::cache()?))
}

/// What every AWS client shares.
pub(crate) fn sdk() -> Result<Sdk, StartError> {
    let roots = if native_roots() { AwsRoots::Native } else { AwsRoots::CompiledIn };
    Ok(Sdk::new(SdkConfig { region: required("AWS_REGION")?, credentials: credentials()?, roots }))
}

/// The function's own credentials. They last as long as its environment.
pub(crate) fn credentials() -> Result<AwsCredentials, StartError> {
    Ok(AwsCredentials {
        access_key_id: required("AWS_ACCESS_KEY_ID")?,
        secret_access_key: required("AWS_SECRET_ACCESS_KEY")?,
        session_token: optional("AWS_SESSION_TOKEN"),
    })
}

/// Whether TLS trusts the machine's roots in place of those that are compiled in.
pub(crate) fn native_roots() -> bool {
    optional("TLS_ROOTS").as_deref() == Some("native")
}

/// The registry, and the Management API to post through.
pub(crate) fn connections(sdk: &Sdk) -> Result<Connections, StartError> {
    let gateway = Counted(ManagementApi::new(sdk, &required("MANAGEMENT_URL")?));
    Ok(Connections::new(redis()?, Arc::new(gateway)))
}

/// A queue by the variable that names it.
pub(crate) fn queue(sdk: &Sdk, url: &'static str) -> Result<SqsQueue, StartError> {
    Ok(SqsQueue::new(sdk, required(url)?, optional("AWS_ENDPOINT_URL_SQS").as_deref()))
}

/// What seals and opens tenants' secrets: a KMS key, or on a developer's machine a key of its own. The local one refuses
/// to exist in Lambda, which does not set `AWS_SAM_LOCAL`: SAM and the local stack do.
pub(crate) fn secrets() -> Result<Secrets, StartError> {
    if let Some(key_id) = optional("SECRETS_KMS_KEY_ID") {
        let keys = KmsKeys::new(&sdk()?, key_id, optional("AWS_ENDPOINT_URL_KMS").as_deref());
        return Ok(Secrets::new(Arc::new(keys)));
    }
    let Some(key) = optional("SECRETS_KEY") else {
        return Err(StartError("the environment variable SECRETS_KMS_KEY_ID is not set".to_owned()));
    };
    let is_local = optional("AWS_SAM_LOCAL").as_deref() == Some("true");
    let keys = LocalKeys::new(&key, is_local).map_err(|error| StartError(error.to_string()))?;
    Ok(Secrets::new(Arc::new(keys)))
}

/// Slack's Web API.
pub(crate) fn slack() -> Result<SlackApi, StartError> {
    let base_url = required("SLACK_API_BASE_URL")?;
    let client = http_client(base_url.starts_with("http://"));
    SlackApi::new(client, &base_url).map_err(|error| StartError(error.to_string()))
}

/// Whether AWS is played by something on this machine, which speaks plain http: SAM CLI and the local stack say so, and
/// what emulates AWS gives its own address in the variable that every SDK knows.
pub(crate) fn is_emulated() -> bool {
    optional("AWS_SAM_LOCAL").as_deref() == Some("true")
        || optional("AWS_ENDPOINT_URL").is_some_and(|url| url.starts_with("http://"))
}

/// The one outbound HTTP client.
pub(crate) fn http_client(allow_plain: bool) -> Client {
    let roots = if native_roots() { Roots::Native } else { Roots::CompiledIn };
    Client::new(ClientConfig { roots, allow_plain, ..ClientConfig::default() })
}

/// Verifies tokens, by a shared secret or a JWKS: which one is configuration, never the token's choice.
pub(crate) fn verifier() -> Result<Verifier, StartError> {
    let keys = match (optional("JWT_SECRET"), optional("JWT_JWKS_URL")) {
        (Some(secret), None) => {
            Keys::secret(secret.as_bytes()).map_err(|error| StartError(error.to_string()))?
        }
        (None, Some(url)) => {
            let fetch = HttpJwks::new(http_client(false), &url).map_err(StartError)?;
            Keys::Jwks(Jwks::new(Box::new(fetch)))
        }
        _ => {
            return Err(StartError("set exactly one of JWT_SECRET and JWT_JWKS_URL".to_owned()));
        }
    };
    Ok(Verifier::new(keys, &required("JWT_ISSUER")?, &required("JWT_AUDIENCE")?))
}

/// The platform's keys for models: from a secret, read when first needed, or given.
fn model_keys(sdk: &Sdk) -> Result<Arc<dyn PlatformKeys>, StartError> {
    if let Some(arn) = optional("MODEL_SECRET_ARN") {
        return Ok(Arc::new(ModelKeys::new(secrets_manager(sdk), arn)));
    }
    let keys = GivenKeys::new(optional("OPENAI_API_KEY"), optional("ANTHROPIC_API_KEY"));
    Ok(Arc::new(keys.map_err(|error| StartError(error.to_string()))?))
}

/// Secrets of the deployment.
pub(crate) fn secrets_manager(sdk: &Sdk) -> SecretsManager {
    SecretsManager::new(sdk, optional("AWS_ENDPOINT_URL_SECRETS_MANAGER").as_deref())
}

/// The models that agents may ask. Which one, and whether once more, is the turn's to know.
pub(crate) fn models(sdk: &Sdk) -> Result<Arc<dyn LanguageModel>, StartError> {
    let refused = |error: konstruct_llm::ConfigError| StartError(error.to_string());
    let mut providers = Providers::default();
    let keys = model_keys(sdk)?;
    if let Some(base_url) = optional("OPENAI_BASE_URL") {
        let client = http_client(base_url.starts_with("http://"));
        let config = OpenAiConfig { base_url, keys: Arc::clone(&keys) };
        providers.openai = Some(Arc::new(OpenAi::new(client, &config).map_err(refused)?));
    }
    if let Some(base_url) = optional("ANTHROPIC_BASE_URL") {
        let client = http_client(base_url.starts_with("http://"));
        let config = AnthropicConfig { base_url, keys };
        providers.anthropic = Some(Arc::new(Anthropic::new(client, &config).map_err(refused)?));
    }
    if let Some(region) = optional("BEDROCK_REGION") {
        let config = BedrockConfig {
            region,
            access_key_id: required("AWS_ACCESS_KEY_ID")?,
            secret_access_key: required("AWS_SECRET_ACCESS_KEY")?,
            session_token: optional("AWS_SESSION_TOKEN"),
            endpoint_url: optional("AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
        };
        let client = http_client(config.endpoint_url.is_some());
        providers.bedrock = Some(Arc::new(Bedrock::new(client, &config).map_err(refused)?));
    }
    let limits = TimeLimits { total: Duration::from_secs(840), ..TimeLimits::default() };
    Ok(Arc::new(Timed::new(Arc::new(providers), limits)))
}

/// The model of agents that name none, and who serves it.
pub(crate) fn default_model() -> Result<(Provider, String), StartError> {
    let name = required("LLM_MODEL")?;
    let named = name.split_once(':').and_then(|(provider, model)| Some((Provider::parse(provider)?, model)));
    Ok(named.map_or((Provider::OpenAi, name.clone()), |(provider, model)| (provider, model.to_owned())))
}

/// Tools that reach outside, through the guarded client.
pub(crate) fn tools() -> Result<Tools, StartError> {
    let exceptions = optional("OUTBOUND_EXCEPTIONS").unwrap_or_default();
    let exceptions = Exceptions::parse(&exceptions).map_err(|error| StartError(error.to_string()))?;
    let roots = if native_roots() { Roots::Native } else { Roots::CompiledIn };
    Ok(Tools::new(GuardedClient::new(GuardedConfig { roots, exceptions })))
}

/// The channels whose answers go into threads elsewhere, and what opens their tokens: nothing, in a deployment that
/// has no key for them.
pub(crate) fn outgoing() -> Result<Outgoing, StartError> {
    let has_keys = optional("SECRETS_KMS_KEY_ID").or(optional("SECRETS_KEY")).is_some();
    let secrets = if has_keys { secrets()? } else { Secrets::new(Arc::new(NoKeys)) };
    Ok(Outgoing { adapters: vec![(Channel::Slack, Arc::new(Slack::new(slack()?)))], secrets })
}

/// Begins to connect; the first use awaits what is not done by then.
pub(crate) fn warm(redis: Option<&Redis>, db: Option<&TenantPool>) {
    if let Some(redis) = redis.cloned() {
        tokio::spawn(async move {
            if let Err(error) = redis.connect().await {
                tracing::warn!(%error, "not connected ahead of use");
            }
        });
    }
    if let Some(db) = db.cloned() {
        tokio::spawn(async move {
            if let Err(error) = db.connect().await {
                tracing::warn!(%error, "not connected ahead of use");
            }
        });
    }
}
