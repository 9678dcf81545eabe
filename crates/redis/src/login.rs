//! How a connection is opened: where, as whom, with which password, and whom TLS trusts. It knows no command, and no
//! password of it is ever shown.

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates};

use crate::error::RedisError;

/// Makes the password of a new connection from its user; the error is for the log. It must not wait.
pub type FreshPassword = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// Where the roots of trust come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Roots {
    /// Mozilla's, compiled in; those of ElastiCache are among them.
    #[default]
    CompiledIn,
    /// The machine's own (`TLS_ROOTS=native`), read at the first connection.
    Native,
}

/// An address of Redis and a way in. Nothing is opened by making one.
#[derive(Clone)]
pub struct Login {
    info: ConnectionInfo,
    roots: Roots,
    fresh: Option<FreshPassword>,
    /// The address once it is known whom to trust there.
    trusting: Arc<OnceLock<ConnectionInfo>>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

impl Login {
    /// What a URL says (`redis://`, or `rediss://` for TLS), with the password in it.
    ///
    /// # Errors
    /// The URL is not one.
    pub fn new(url: &str, roots: Roots) -> Result<Self, RedisError> {
        let info = url
            .into_connection_info()
            .map_err(|_| RedisError::Configuration("the Redis URL is not one".to_owned()))?;
        Ok(Self { info, roots, fresh: None, trusting: Arc::default() })
    }

    /// With a password of its own for each new connection, such as an IAM token, in place of the URL's.
    ///
    /// # Errors
    /// The URL is not one of TLS, which the server would refuse, or names no user.
    pub fn with_fresh_passwords(mut self, fresh: FreshPassword) -> Result<Self, RedisError> {
        if !self.has_tls() {
            let why =
                "a cache with IAM authentication is reached by TLS alone: its URL begins with rediss://";
            return Err(RedisError::Configuration(why.to_owned()));
        }
        if self.user().is_empty() {
            let why = "a cache with IAM authentication needs a URL with a user";
            return Err(RedisError::Configuration(why.to_owned()));
        }
        self.fresh = Some(fresh);
        Ok(self)
    }

    /// What opens one connection.
    #[expect(clippy::disallowed_methods, reason = "the one place where a Redis client is made")]
    pub(crate) fn client(&self) -> Result<Client, RedisError> {
        let mut info = self.trusting.get_or_init(|| self.trusted()).clone();
        if let Some(fresh) = &self.fresh {
            let password =
                fresh(self.user()).map_err(|why| RedisError::Away(format!("no password: {why}")))?;
            let settings = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(settings);
        }
        Ok(Client::open(info)?)
    }

    /// The address with the machine's roots, where these are wanted.
    #[expect(clippy::disallowed_methods, reason = "the one place where a Redis client is made")]
    fn trusted(&self) -> ConnectionInfo {
        if self.roots == Roots::CompiledIn || !self.has_tls() {
            return self.info.clone();
        }
        let roots = TlsCertificates { client_tls: None, root_cert: Some(native_roots()) };
        match Client::build_with_tls(self.info.clone(), roots) {
            Ok(client) => client.get_connection_info().clone(),
            Err(error) => {
                tracing::error!(%error, "TLS_ROOTS=native: this machine's roots cannot be read");
                self.info.clone()
            }
        }
    }

    fn has_tls(&self) -> bool {
        matches!(self.info.addr(), ConnectionAddr::TcpTls { .. })
    }

    fn user(&self) -> &str {
        self.info.redis_settings().username().unwrap_or_default()
    }
}

/// The machine's roots as PEM, which is how the client takes them; those that are none are left out.
fn native_roots() -> Vec<u8> {
    let mut pem = Vec::new();
    for root in rustls_native_certs::load_native_certs().certs {
        if rustls::RootCertStore::empty().add(root.clone()).is_ok() {
            pem.extend_from_slice(b"-----BEGIN CERTIFICATE-----\n");
            pem.extend_from_slice(base64::engine::general_purpose::STANDARD.encode(&root).as_bytes());
            pem.extend_from_slice(b"\n-----END CERTIFICATE-----\n");
        }
    }
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(url: &str) -> Result<Login, RedisError> {
        let password: FreshPassword = Arc::new(|user| Ok(format!("secret of {user}")));
        Login::new(url, Roots::CompiledIn)?.with_fresh_passwords(password)
    }

    #[test]
    fn fresh_passwords_need_tls_and_a_user() {
        let login = fresh("rediss://konstruct@cache.example.com:6379/0").unwrap();
        let client = login.client().unwrap();
        assert_eq!(client.get_connection_info().redis_settings().password(), Some("secret of konstruct"));
        for (url, told) in [
            ("redis://u@h:1/0", "rediss://"),
            ("rediss://h:1/0", "a user"),
            ("rediss://:password@h:1/0", "a user"),
            ("http://u@h:1/0", "not one"),
        ] {
            assert!(fresh(url).unwrap_err().to_string().contains(told), "{url}");
        }
    }

    #[test]
    fn a_url_keeps_its_own_password() {
        let login = Login::new("rediss://u:own@h:1/3", Roots::CompiledIn).unwrap();
        let client = login.client().unwrap();
        assert_eq!(client.get_connection_info().redis_settings().password(), Some("own"));
        assert!(!format!("{login:?}").contains("own"));
    }
}
