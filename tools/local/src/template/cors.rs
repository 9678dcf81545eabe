//! An HTTP API's CORS configuration as the template gives it.
//! Applying it is the gateway's work.

use serde_json::Value;

use crate::error::{Context, Result};

/// The lists and switches of `CorsConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    /// Allowed origins, or `*`.
    pub origins: Vec<String>,
    /// Allowed methods.
    pub methods: Vec<String>,
    /// Allowed request headers.
    pub headers: Vec<String>,
    /// Response headers a page may read.
    pub exposed: Vec<String>,
    /// Whether cookies may be sent.
    pub credentials: bool,
    /// How long a preflight's answer holds, in seconds.
    pub max_age: Option<u64>,
}

impl Cors {
    /// Reads the (resolved) configuration.
    pub fn read(configuration: &Value) -> Result<Self> {
        let list = |name: &str| -> Result<Vec<String>> {
            let items =
                configuration.get(name).map_or(Some([].as_slice()), |v| v.as_array().map(Vec::as_slice));
            let items = items.context(format_args!("CorsConfiguration.{name} is no list"))?;
            items.iter().map(|item| item.as_str().map(str::to_string).context(name)).collect()
        };
        Ok(Self {
            origins: list("AllowOrigins")?,
            methods: list("AllowMethods")?,
            headers: list("AllowHeaders")?,
            exposed: list("ExposeHeaders")?,
            credentials: configuration.get("AllowCredentials").and_then(Value::as_bool).unwrap_or(false),
            max_age: configuration.get("MaxAge").and_then(Value::as_u64),
        })
    }
}
