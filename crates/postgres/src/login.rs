//! How a connection is opened: where, as whom, with which password, and whom TLS trusts. It knows no query, and no
//! password of it is ever shown.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::DbError;
use crate::tls::{Roots, connector};

/// Makes the password of a new connection from host, port and user; the error is for the log. It must not wait.
pub type FreshPassword = Arc<dyn Fn(&str, u16, &str) -> Result<String, String> + Send + Sync>;

/// An address of Postgres and a way in. Nothing is opened by making one.
#[derive(Clone)]
pub struct Login {
    config: Config,
    roots: Roots,
    fresh: Option<FreshPassword>,
    /// Made at the first connection that needs it: reading roots is no work for a start.
    tls: Arc<OnceLock<MakeRustlsConnect>>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

impl Login {
    /// What a URL says, with the password in it. TLS is used where the server offers it, unless the URL's `sslmode`
    /// says otherwise (`disable`, `require`); the server's certificate is always judged.
    ///
    /// # Errors
    /// The URL is not one.
    pub fn new(url: &str, roots: Roots) -> Result<Self, DbError> {
        let mut config: Config =
            url.parse().map_err(|_| DbError::Configuration("the database URL is not one".to_owned()))?;
        config
            .application_name("konstruct")
            .connect_timeout(Duration::from_secs(3))
            .tcp_user_timeout(Duration::from_secs(10))
            .keepalives_idle(Duration::from_secs(30))
            .options("-c statement_timeout=10s -c idle_in_transaction_session_timeout=10s");
        Ok(Self { config, roots, fresh: None, tls: Arc::default() })
    }

    /// With a password of its own for each new connection, such as an IAM token, in place of the URL's.
    ///
    /// # Errors
    /// The URL turns TLS off, which the server would refuse, or does not name one host and a user.
    pub fn with_fresh_passwords(mut self, fresh: FreshPassword) -> Result<Self, DbError> {
        if self.config.get_ssl_mode() == SslMode::Disable {
            let why =
                "a database with IAM authentication is reached by TLS alone: its URL says sslmode=disable";
            return Err(DbError::Configuration(why.to_owned()));
        }
        if self.place().is_none() {
            let why = "a database with IAM authentication needs a URL with one host and a user";
            return Err(DbError::Configuration(why.to_owned()));
        }
        self.config.ssl_mode(SslMode::Require);
        self.fresh = Some(fresh);
        Ok(self)
    }

    /// As a user whose name and password come from elsewhere, such as Secrets Manager. TLS is then a must, unless the
    /// URL says `sslmode=disable`.
    #[must_use]
    pub fn as_user(mut self, user: &str, password: &str) -> Self {
        self.config.user(user).password(password);
        if self.config.get_ssl_mode() != SslMode::Disable {
            self.config.ssl_mode(SslMode::Require);
        }
        self
    }

    /// Whether the URL has a password, or something makes one.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.fresh.is_some() || self.config.get_password().is_some()
    }

    /// For work that takes as long as it takes, on a database that may have to wake up first.
    #[must_use]
    pub(crate) fn without_time_limit(mut self) -> Self {
        self.config.options("-c statement_timeout=0").connect_timeout(Duration::from_secs(30));
        self
    }

    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// The one host, its port and the user, where the URL has them.
    fn place(&self) -> Option<(&str, u16, &str)> {
        let [Host::Tcp(host)] = self.config.get_hosts() else { return None };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        Some((host, port, self.config.get_user()?))
    }

    /// Opens a connection and drives it on a task of its own.
    #[expect(clippy::disallowed_methods, reason = "the one place where connections are opened")]
    pub(crate) async fn open(&self) -> Result<(Client, JoinHandle<()>), Error> {
        let mut config = self.config.clone();
        if let (Some(fresh), Some((host, port, user))) = (&self.fresh, self.place()) {
            match fresh(host, port, user) {
                Ok(password) => {
                    config.password(password);
                }
                // Without one the connection fails by itself, and this says why.
                Err(why) => tracing::error!(%why, "no password for a new connection to Postgres"),
            }
        }
        if config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) = config.connect(NoTls).await?;
            return Ok((client, tokio::spawn(drive(connection))));
        }
        let hosts = self.config.get_hosts().iter().filter_map(|host| match host {
            Host::Tcp(name) => Some(name.as_str()),
            Host::Unix(_) => None,
        });
        let tls = self.tls.get_or_init(|| connector(self.roots, hosts)).clone();
        let (client, connection) = config.connect(tls).await?;
        Ok((client, tokio::spawn(drive(connection))))
    }
}

async fn drive(connection: impl Future<Output = Result<(), Error>>) {
    if let Err(error) = connection.await {
        let error = DbError::from(error);
        tracing::warn!(%error, "a connection to Postgres ended");
    }
}

/// The pool hands back the settings that it was given; ours are the same, and the password besides.
impl deadpool_postgres::Connect for Login {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(self.open())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(url: &str) -> Result<Login, DbError> {
        let password: FreshPassword = Arc::new(|_, _, _| Ok("secret".to_owned()));
        Login::new(url, Roots::CompiledIn)?.with_fresh_passwords(password)
    }

    #[test]
    fn fresh_passwords_need_tls_one_host_and_a_user() {
        let login = fresh("postgres://konstruct_app@db.example.com/konstruct").unwrap();
        assert_eq!(login.config().get_ssl_mode(), SslMode::Require);
        assert_eq!(login.place(), Some(("db.example.com", 5432, "konstruct_app")));
        for (url, told) in [
            ("postgres://u@h/d?sslmode=disable", "sslmode=disable"),
            ("postgres://h/d", "one host and a user"),
            ("postgres://u@h,i/d", "one host and a user"),
            ("postgres://u@%2Ftmp/d", "one host and a user"),
            ("postgres://u@h:x/d", "not one"),
        ] {
            assert!(fresh(url).unwrap_err().to_string().contains(told), "{url}");
        }
    }

    #[test]
    fn a_user_from_elsewhere_needs_tls_unless_the_url_turns_it_off() {
        for (url, mode) in [
            ("postgres://h/d", SslMode::Require),
            ("postgres://h/d?sslmode=prefer", SslMode::Require),
            ("postgres://h/d?sslmode=disable", SslMode::Disable),
        ] {
            let login = Login::new(url, Roots::CompiledIn).unwrap();
            assert!(!login.has_password());
            let login = login.as_user("owner", "secret");
            assert_eq!((login.config().get_ssl_mode(), login.config().get_user()), (mode, Some("owner")));
            assert!(login.has_password());
        }
    }

    #[test]
    fn no_password_is_shown() {
        let url = "postgres://u:secret@h/d";
        assert!(!format!("{:?}", Login::new(url, Roots::CompiledIn).unwrap()).contains("secret"));
        assert!(!format!("{:?}", Login::new(url, Roots::CompiledIn).unwrap().config()).contains("secret"));
    }
}
