//! Commands about a tenant's servers of tools. Whether a server answers is not asked: the agent finds out.

use http::Uri;
use konstruct_domain::{ServerName, Slug};
use konstruct_postgres::admin::servers::ServerRow;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::arguments::Arguments;
use super::refusal::Refusal;
use super::{Answer, Office, changed, created_or_not, set_or_not};

/// Longest endpoint, bytes.
const URL_BYTES_MAX: usize = 2_048;

impl Office<'_> {
    pub(super) async fn create_server(&self, arguments: &Arguments<'_>) -> Answer {
        let (slug, name): (Slug, ServerName) = (arguments.required("tenant")?, arguments.required("name")?);
        let url: Endpoint = arguments.required("url")?;
        arguments.complete()?;
        let tenant = self.tenant("tenant", &slug).await?;
        let made = self.door.make_server(tenant.id, self.ids.new_id(), &name, &url.0).await?;
        if made.row.url != url.0 {
            let message = format!("there is a server {name} with another url; `server set` changes it");
            return Err(Refusal::conflict("url", message));
        }
        if made.row.is_active {
            return Ok(changed(created_or_not(made.created), "server", server(&made.row)));
        }
        // It was removed, and comes back.
        self.change_server(arguments, Some(&url), Some(true), "updated").await
    }

    pub(super) async fn list_servers(&self, arguments: &Arguments<'_>) -> Answer {
        let slug: Slug = arguments.required("tenant")?;
        arguments.complete()?;
        let tenant = self.tenant("tenant", &slug).await?;
        Ok(self.door.servers(tenant.id, None).await?.iter().map(server).collect())
    }

    pub(super) async fn set_server(&self, arguments: &Arguments<'_>) -> Answer {
        let url: Endpoint = arguments.required("url")?;
        self.change_server(arguments, Some(&url), None, "updated").await
    }

    pub(super) async fn remove_server(&self, arguments: &Arguments<'_>) -> Answer {
        self.change_server(arguments, None, Some(false), "removed").await
    }

    async fn change_server(
        &self,
        arguments: &Arguments<'_>,
        url: Option<&Endpoint>,
        is_active: Option<bool>,
        outcome: &str,
    ) -> Answer {
        let (slug, name): (Slug, ServerName) = (arguments.required("tenant")?, arguments.required("name")?);
        arguments.complete()?;
        let tenant = self.tenant("tenant", &slug).await?;
        let url = url.map(|url| url.0.as_str());
        let Some((before, after)) = self.door.change_server(tenant.id, &name, url, is_active).await? else {
            return Err(Refusal::not_found("name", format!("{slug} has no server {name}")));
        };
        let outcome = if set_or_not(&before, &after) == "unchanged" { "unchanged" } else { outcome };
        Ok(changed(outcome, "server", server(&after)))
    }
}

/// A server's endpoint: https, a host, no user information, no fragment.
struct Endpoint(String);

impl std::str::FromStr for Endpoint {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "is not an https URL such as https://crm.example/mcp";
        let uri: Uri = text.parse().map_err(|_| FORM)?;
        let authority = uri.authority().ok_or(FORM)?;
        let plain = uri.scheme_str() == Some("https")
            && !authority.host().is_empty()
            && !authority.as_str().contains('@')
            && !text.contains('#');
        if text.len() > URL_BYTES_MAX {
            return Err("is longer than 2,048 bytes");
        }
        if plain { Ok(Self(text.to_owned())) } else { Err(FORM) }
    }
}

fn server(row: &ServerRow) -> Value {
    json!({
        "name": row.name,
        "url": row.url,
        "is_active": row.is_active,
        "has_key": row.has_key,
        "id": row.id,
        "created_at": row.created_at.format(&Rfc3339).unwrap_or_default(),
    })
}
