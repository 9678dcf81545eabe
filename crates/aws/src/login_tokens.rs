//! Passwords that IAM stands for: presigned requests that RDS and ElastiCache take in a password's place, for 15
//! minutes. Made from the function's own credentials, without asking anybody, and never kept here.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use konstruct_ports::Clock;

use crate::sdk::AwsCredentials;

/// How long a token opens a new connection; both services take no longer one.
const VALID: Duration = Duration::from_secs(900);

/// Comes last in a token, as AWS's own libraries write it.
const SIGNATURE: &str = "X-Amz-Signature";

/// A token that could not be made: a name is none that a URL can hold. Repeats nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no IAM token could be signed for this host and user")]
pub struct TokenError;

/// Signs tokens as the function's role.
#[derive(Clone)]
pub struct LoginTokens {
    region: String,
    identity: Identity,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for LoginTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LoginTokens").field("region", &self.region).finish_non_exhaustive()
    }
}

impl LoginTokens {
    /// A signer in a region, on credentials that last as long as this process.
    #[must_use]
    pub fn new(region: impl Into<String>, credentials: AwsCredentials, clock: Arc<dyn Clock>) -> Self {
        let AwsCredentials { access_key_id, secret_access_key, session_token } = credentials;
        let credentials =
            Credentials::new(access_key_id, secret_access_key, session_token, None, "environment");
        Self { region: region.into(), identity: credentials.into(), clock }
    }

    /// The password of a database user who has `rds_iam` (action `rds-db:connect`).
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn database(&self, host: &str, port: u16, user: &str) -> Result<String, TokenError> {
        self.token("rds-db", &format!("{host}:{port}"), "DBUser", user)
    }

    /// The password of a user of ElastiCache with IAM authentication (action `elasticache:Connect`); `cache` is the
    /// id of the replication group, and not the host.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn cache(&self, cache: &str, user: &str) -> Result<String, TokenError> {
        self.token("elasticache", cache, "User", user)
    }

    /// The presigned request without its scheme.
    fn token(&self, service: &str, place: &str, user_name: &str, user: &str) -> Result<String, TokenError> {
        let mut settings = SigningSettings::default();
        settings.expires_in = Some(VALID);
        settings.signature_location = SignatureLocation::QueryParams;
        let params = SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::from(self.clock.now()))
            .settings(settings)
            .build()
            .map_err(|_| TokenError)?
            .into();
        let mut token = format!("{place}/?Action=connect&{user_name}={}", encode(user));
        // The scheme is not signed.
        let url = format!("https://{token}");
        let no_headers = std::iter::empty::<(&str, &str)>();
        let request = SignableRequest::new("GET", url, no_headers, SignableBody::Bytes(&[]));
        let signed = sign(request.map_err(|_| TokenError)?, &params).map_err(|_| TokenError)?;
        let (_, mut added): (_, Vec<(&str, Cow<'_, str>)>) = signed.into_parts().0.into_parts();
        added.sort_by_key(|(name, _)| *name == SIGNATURE);
        for (name, value) in added {
            token.push_str(&format!("&{name}={}", encode(&value)));
        }
        Ok(token)
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986), as a signature wants it.
fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use time::macros::datetime;

    use super::*;

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> OffsetDateTime {
            datetime!(2026-11-21 09:30:00.750 UTC)
        }
    }

    const SESSION: &str = "AQoDYXdzEPT//////////wEXAMPLEtoken+with/odd=chars==";
    const SIGNED: &str =
        "%2Faws4_request&X-Amz-Date=20261121T093000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host";
    const SENT_SESSION: &str = "&X-Amz-Security-Token=AQoDYXdzEPT%2F%2F%2F%2F%2F%2F%2F%2F%2F%2FwEXAMPLEtoken%2Bwith%2Fodd%3Dchars%3D%3D";

    /// With the key that AWS's documentation uses in its examples.
    fn tokens(session_token: Option<&str>) -> LoginTokens {
        let credentials = AwsCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: session_token.map(str::to_owned),
        };
        LoginTokens::new("eu-central-1", credentials, Arc::new(Fixed))
    }

    fn expected(start: &str, service: &str, session: &str, signature: &str) -> String {
        format!(
            "{start}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261121%2Feu-central-1%2F\
             {service}{SIGNED}{session}&X-Amz-Signature={signature}"
        )
    }

    /// Expected: what botocore 1.43.106's `generate_db_auth_token` made of the same.
    #[test]
    fn a_databases_token_is_the_one_that_botocore_makes() {
        let host = "konstruct.cluster-c0ffee.eu-central-1.rds.amazonaws.com";
        let start = format!("{host}:5432/?Action=connect&DBUser=konstruct_app");
        for (session, sent, signature) in [
            (Some(SESSION), SENT_SESSION, "cdbab19ac3c399cc4e8cdf878513e7bacee8f32b866bbe5a9d199d36de76b2d8"),
            (None, "", "fea06039a142113706b355f3ec120826c0223a02b39e46107613862a89c6c56e"),
        ] {
            let token = tokens(session).database(host, 5432, "konstruct_app").unwrap();
            assert_eq!(token, expected(&start, "rds-db", sent, signature));
        }
    }

    #[test]
    fn a_user_of_odd_characters_is_encoded_as_botocore_does() {
        let token = tokens(None).database("db.example.com", 6543, "a user+b/c@d").unwrap();
        let signature = "f08e4c235ed0a306f2b93de3d5c6b93c6ee43ebc4fbfcd2f661718f7d591e297";
        let start = "db.example.com:6543/?Action=connect&DBUser=a%20user%2Bb%2Fc%40d";
        assert_eq!(token, expected(start, "rds-db", "", signature));
    }

    /// Expected: what botocore 1.43.106's `RequestSigner.generate_presigned_url` made of the same.
    #[test]
    fn a_caches_token_is_the_one_that_botocore_makes() {
        let start = "konstruct-live/?Action=connect&User=konstruct-app";
        for (session, sent, signature) in [
            (Some(SESSION), SENT_SESSION, "935b20705692918bf6dba5b7c5e44ab927255df676d902e5d443ab1bf82098a7"),
            (None, "", "c6a0461e01f2dbfe8663873a72d83b68f3079279bfa3237c81cb4f3b66869df2"),
        ] {
            let token = tokens(session).cache("konstruct-live", "konstruct-app").unwrap();
            assert_eq!(token, expected(start, "elasticache", sent, signature));
        }
    }

    #[test]
    fn a_host_that_is_none_makes_no_token_and_nothing_is_told_of_it() {
        for host in ["no host", "a b:c", "\n", "{"] {
            assert_eq!(tokens(None).database(host, 5432, "u"), Err(TokenError), "{host:?}");
        }
        assert!(!format!("{:?}", tokens(Some(SESSION))).contains("AKID"));
    }
}
