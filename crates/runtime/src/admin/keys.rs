//! Commands about a tenant's own keys: sealed here (decisions/0013), never shown again and never logged.

use konstruct_domain::{Provider, ServerName, Slug};
use konstruct_ports::SecretContext;
use konstruct_postgres::admin::keys::Kept;
use konstruct_postgres::admin::servers::ServerRow;
use konstruct_postgres::admin::tenants::TenantRow;
use konstruct_service::turn::{PROVIDER_KEY, TOOL_SERVER_KEY};
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::arguments::Arguments;
use super::refusal::Refusal;
use super::{Answer, Office, changed, created_or_not};

/// Longest key, bytes.
const KEY_BYTES_MAX: usize = 8_192;

/// What a key is for.
enum For {
    Provider(Provider),
    Server(ServerName),
}

impl Office<'_> {
    pub(super) async fn set_key(&self, arguments: &Arguments<'_>) -> Answer {
        let (slug, whom) = whose(arguments)?;
        let key: Key = arguments.required("key")?;
        arguments.complete()?;
        let tenant = self.tenant("tenant", &slug).await?;
        match whom {
            For::Provider(provider) => self.set_provider_key(&tenant, provider, &key).await,
            For::Server(name) => {
                let server = self.server(&tenant, &name).await?;
                let sealed = self.sealed(&tenant, server.id, TOOL_SERVER_KEY, &key).await?;
                if !self.door.keep_server_key(tenant.id, &name, server.id, Some(&sealed)).await? {
                    return Err(no_server(&slug, &name));
                }
                let outcome = if server.has_key { "updated" } else { "created" };
                Ok(changed(outcome, "key", json!({ "server": name.as_str() })))
            }
        }
    }

    /// Sealed for the row that the tenant has; where another call made one meanwhile, for that.
    async fn set_provider_key(&self, tenant: &TenantRow, provider: Provider, key: &Key) -> Answer {
        let known = self.door.keys(tenant.id).await?;
        let known = known.iter().find(|known| known.provider == provider).map(|known| known.id);
        let mut row = known.unwrap_or_else(|| self.ids.new_id());
        for _ in 0..2 {
            let sealed = self.sealed(tenant, row, PROVIDER_KEY, key).await?;
            match self.door.keep_provider_key(tenant.id, provider, row, &sealed).await? {
                Kept::Done(created) => {
                    let outcome = if created { "created" } else { "updated" };
                    return Ok(changed(outcome, "key", json!({ "provider": provider.as_str() })));
                }
                Kept::HasRow(other) => row = other,
            }
        }
        Err(Refusal::conflict("provider", "the tenant's key is being changed by somebody else"))
    }

    pub(super) async fn list_keys(&self, arguments: &Arguments<'_>) -> Answer {
        let slug: Slug = arguments.required("tenant")?;
        arguments.complete()?;
        let tenant = self.tenant("tenant", &slug).await?;
        let providers = self.door.keys(tenant.id).await?;
        let providers = providers.iter().map(|key| {
            let since = key.created_at.format(&Rfc3339).unwrap_or_default();
            json!({ "provider": key.provider.as_str(), "created_at": since })
        });
        let servers = self.door.servers(tenant.id, None).await?;
        let servers = servers.iter().filter(|server| server.has_key);
        Ok(providers.chain(servers.map(|server| json!({ "server": server.name }))).collect())
    }

    pub(super) async fn remove_key(&self, arguments: &Arguments<'_>) -> Answer {
        let (slug, whom) = whose(arguments)?;
        arguments.complete()?;
        let tenant = self.tenant("tenant", &slug).await?;
        let (removed, what) = match &whom {
            For::Provider(provider) => {
                let removed = self.door.remove_provider_key(tenant.id, *provider).await?;
                (removed, json!({ "provider": provider.as_str() }))
            }
            For::Server(name) => {
                let row = self.server(&tenant, name).await?.id;
                let removed = self.door.keep_server_key(tenant.id, name, row, None).await?;
                (removed, json!({ "server": name.as_str() }))
            }
        };
        Ok(changed(if removed { "removed" } else { created_or_not(false) }, "key", what))
    }

    async fn server(&self, tenant: &TenantRow, name: &ServerName) -> Result<ServerRow, Refusal> {
        let found = self.door.servers(tenant.id, Some(name)).await?.into_iter().next();
        found.filter(|server| server.is_active).ok_or_else(|| no_server(&tenant.slug, name))
    }

    async fn sealed(&self, tenant: &TenantRow, row: Uuid, purpose: &str, key: &Key) -> Answer {
        let secrets = self
            .secrets
            .as_ref()
            .map_err(|why| Refusal::unavailable(format!("tenants' keys cannot be sealed here: {why}")))?;
        let context = SecretContext { tenant: tenant.id.0, row, purpose };
        Ok(secrets.seal(&context, &key.0).await?.to_json())
    }
}

fn no_server(slug: impl std::fmt::Display, name: &ServerName) -> Refusal {
    Refusal::not_found("server", format!("{slug} has no server {name}"))
}

fn whose(arguments: &Arguments<'_>) -> Result<(Slug, For), Refusal> {
    let slug = arguments.required("tenant")?;
    let provider = arguments.word("provider", "openai, anthropic or bedrock", Provider::parse)?;
    match (provider, arguments.optional("server")?) {
        (Some(provider), None) => Ok((slug, For::Provider(provider))),
        (None, Some(server)) => Ok((slug, For::Server(server))),
        (None, None) => {
            Err(Refusal::invalid("provider", "is missing, and so is server: one says what the key is for"))
        }
        (Some(_), Some(_)) => {
            Err(Refusal::invalid("server", "stands beside provider: a key is for one of them"))
        }
    }
}

/// A key in clear. Not shown, and overwritten as far as the JSON it came in is.
struct Key(String);

impl std::str::FromStr for Key {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err("is empty");
        }
        let is_key = text.len() <= KEY_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_key {
            Ok(Self(text.to_owned()))
        } else {
            Err("is not one line of printable ASCII, at most 8,192 bytes")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_line_without_blanks() {
        assert_eq!("sk-1\n".parse::<Key>().map(|key| key.0), Ok("sk-1".to_owned()));
        for bad in ["", "\n", "a b", "a\nb", "ä", &"x".repeat(8_193)] {
            assert!(bad.parse::<Key>().is_err());
        }
    }
}
