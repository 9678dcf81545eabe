//! How Postgres and Redis let a function in: by the password in the URL, or as its IAM role. Nothing is signed before
//! a connection needs it.

use std::sync::Arc;

use konstruct_aws::LoginTokens;
use konstruct_postgres::Login as DatabaseLogin;
use konstruct_redis::Login as CacheLogin;

use crate::config::{optional, required};
use crate::parts::{credentials, native_roots};
use crate::start::StartError;
use crate::system::SystemClock;

/// Postgres at the URL in a variable, by `DATABASE_AUTH`.
pub(crate) fn database(url: &'static str) -> Result<DatabaseLogin, StartError> {
    let login = given(url)?;
    if !is_iam("DATABASE_AUTH", optional("DATABASE_AUTH").as_deref())? {
        return Ok(login);
    }
    let tokens = tokens()?;
    Ok(login.with_fresh_passwords(Arc::new(move |host, port, user| {
        tokens.database(host, port, user).map_err(|error| error.to_string())
    }))?)
}

/// Postgres as the owner of the tables; its password may be elsewhere.
pub(crate) fn owner() -> Result<DatabaseLogin, StartError> {
    given("DATABASE_OWNER_URL")
}

fn given(url: &'static str) -> Result<DatabaseLogin, StartError> {
    use konstruct_postgres::Roots;
    let roots = if native_roots() { Roots::Native } else { Roots::CompiledIn };
    Ok(DatabaseLogin::new(&required(url)?, roots)?)
}

/// Redis at `REDIS_URL`, by `REDIS_AUTH`.
pub(crate) fn cache() -> Result<CacheLogin, StartError> {
    use konstruct_redis::Roots;
    let roots = if native_roots() { Roots::Native } else { Roots::CompiledIn };
    let login = CacheLogin::new(&required("REDIS_URL")?, roots)?;
    if !is_iam("REDIS_AUTH", optional("REDIS_AUTH").as_deref())? {
        return Ok(login);
    }
    let (tokens, name) = (tokens()?, required("REDIS_CACHE_NAME")?);
    Ok(login.with_fresh_passwords(Arc::new(move |user| {
        tokens.cache(&name, user).map_err(|error| error.to_string())
    }))?)
}

fn tokens() -> Result<LoginTokens, StartError> {
    Ok(LoginTokens::new(required("AWS_REGION")?, credentials()?, Arc::new(SystemClock)))
}

fn is_iam(name: &str, value: Option<&str>) -> Result<bool, StartError> {
    match value {
        None | Some("password") => Ok(false),
        Some("iam") => Ok(true),
        Some(_) => Err(StartError(format!("{name} is `password` or `iam`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_in_that_is_not_known_lets_nothing_start() {
        assert!(!is_iam("DATABASE_AUTH", None).unwrap());
        assert!(!is_iam("DATABASE_AUTH", Some("password")).unwrap());
        assert!(is_iam("DATABASE_AUTH", Some("iam")).unwrap());
        let refused = is_iam("REDIS_AUTH", Some("IAM")).unwrap_err();
        assert_eq!(refused.to_string(), "REDIS_AUTH is `password` or `iam`");
    }
}
