//! Commands about tenants. A slug is never changed and no tenant deleted: a disabled one keeps what it has.

use konstruct_domain::{Name, Slug, TenantId};
use konstruct_postgres::admin::tenants::{NewTenant, TenantChange, TenantRow};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::arguments::Arguments;
use super::refusal::Refusal;
use super::{Answer, Office, changed, created_or_not, set_or_not};

/// Messages a minute and channel of a tenant that is told nothing else (CHAN-03).
const MESSAGES_PER_MINUTE: i32 = 30;
const MESSAGES_PER_MINUTE_MAX: i64 = 1_000_000;
/// What JSON readers of every language can count to.
const TOKENS_MAX: i64 = 1 << 53;

impl Office<'_> {
    pub(super) async fn create_tenant(&self, arguments: &Arguments<'_>) -> Answer {
        let (slug, name): (Slug, Name) = (arguments.required("slug")?, arguments.required("name")?);
        let id: Option<TenantId> = arguments.optional("id")?;
        let (rate, budget) = limits(arguments)?;
        arguments.complete()?;
        let new = NewTenant {
            id: id.unwrap_or_else(|| TenantId(self.ids.new_id())),
            slug: &slug,
            name: &name,
            messages_per_minute: rate.unwrap_or(MESSAGES_PER_MINUTE),
            tokens_per_month: budget.flatten(),
        };
        let Some(made) = self.door.make_tenant(new).await? else {
            return Err(Refusal::conflict("id", "another tenant has this id"));
        };
        let row = &made.row;
        let other = [
            ("name", row.name != name.as_str()),
            ("id", id.is_some_and(|id| id != row.id)),
            ("messages_per_minute", rate.is_some_and(|rate| rate != row.messages_per_minute)),
            ("tokens_per_month", budget.is_some_and(|budget| budget != row.tokens_per_month)),
        ];
        if let Some((field, _)) = other.into_iter().find(|(_, differs)| *differs) {
            let message = format!("there is a tenant {slug} with another {field}; `tenant set` changes it");
            return Err(Refusal::conflict(field, message));
        }
        Ok(changed(created_or_not(made.created), "tenant", tenant(row)))
    }

    pub(super) async fn list_tenants(&self, arguments: &Arguments<'_>) -> Answer {
        arguments.complete()?;
        Ok(self.door.tenants().await?.iter().map(tenant).collect())
    }

    pub(super) async fn show_tenant(&self, arguments: &Arguments<'_>) -> Answer {
        let slug: Slug = arguments.required("slug")?;
        arguments.complete()?;
        let row = self.tenant("slug", &slug).await?;
        let figures = self.door.tenant_figures(row.id).await?;
        let mut shown = tenant(&row);
        if let Some(members) = shown.as_object_mut() {
            members.insert("users".to_owned(), json!(figures.users));
            members.insert("agents".to_owned(), json!(figures.agents));
            members.insert("tokens_this_month".to_owned(), json!(figures.tokens_this_month));
        }
        Ok(shown)
    }

    pub(super) async fn set_tenant(&self, arguments: &Arguments<'_>) -> Answer {
        let slug: Slug = arguments.required("slug")?;
        let name: Option<Name> = arguments.optional("name")?;
        let (messages_per_minute, tokens_per_month) = limits(arguments)?;
        arguments.complete()?;
        let change =
            TenantChange { name: name.as_ref(), messages_per_minute, tokens_per_month, is_active: None };
        self.change_tenant(&slug, change).await
    }

    pub(super) async fn switch_tenant(&self, arguments: &Arguments<'_>, on: bool) -> Answer {
        let slug: Slug = arguments.required("slug")?;
        arguments.complete()?;
        self.change_tenant(&slug, TenantChange { is_active: Some(on), ..TenantChange::default() }).await
    }

    async fn change_tenant(&self, slug: &Slug, change: TenantChange<'_>) -> Answer {
        let found = self.tenant("slug", slug).await?;
        let Some((before, after)) = self.door.change_tenant(found.id, change).await? else {
            return Err(Refusal::not_found("slug", format!("there is no tenant {slug}")));
        };
        Ok(changed(set_or_not(&before, &after), "tenant", tenant(&after)))
    }
}

type Limits = (Option<i32>, Option<Option<i64>>);

/// Rate and budget.
fn limits(arguments: &Arguments<'_>) -> Result<Limits, Refusal> {
    let rate = arguments.number("messages_per_minute", 1, MESSAGES_PER_MINUTE_MAX)?;
    Ok((rate, arguments.number_or_none("tokens_per_month", 0, TOKENS_MAX)?))
}

fn tenant(row: &TenantRow) -> Value {
    json!({
        "slug": row.slug,
        "name": row.name,
        "id": row.id,
        "is_active": row.is_active,
        "messages_per_minute": row.messages_per_minute,
        "tokens_per_month": row.tokens_per_month,
        "created_at": row.created_at.format(&Rfc3339).unwrap_or_default(),
    })
}
