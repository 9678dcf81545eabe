//! Commands about the people of a tenant. A person is known by the address, and by the `sub` of the tokens that the
//! identity provider gives; a member who is removed keeps what was said.

use konstruct_domain::{Email, Role, Slug, TenantRole, UserId};
use konstruct_postgres::admin::people::{Added, MemberRow, Removed};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::arguments::Arguments;
use super::refusal::Refusal;
use super::{Answer, Office, changed, created_or_not, set_or_not};

impl Office<'_> {
    pub(super) async fn create_user(&self, arguments: &Arguments<'_>) -> Answer {
        let (slug, email, role) = member_and_role(arguments)?;
        let id: Option<UserId> = arguments.optional("id")?;
        arguments.complete()?;
        let tenant = self.tenant("tenant", &slug).await?;
        let fresh = id.unwrap_or_else(|| UserId(self.ids.new_id()));
        match self.door.add_member(tenant.id, &email, role, fresh, id.is_some()).await? {
            Added::Member(member, added) if member.role == role => {
                Ok(changed(created_or_not(added), "user", user(&member)))
            }
            Added::Member(..) => {
                let message = format!("{email} is a member with another role; `user set` changes it");
                Err(Refusal::conflict("role", message))
            }
            Added::OtherId(known) => {
                Err(Refusal::conflict("id", format!("{email} is known under the id {known}")))
            }
            Added::IdTaken => Err(Refusal::conflict("id", "another person has this id")),
        }
    }

    pub(super) async fn list_users(&self, arguments: &Arguments<'_>) -> Answer {
        let slug: Slug = arguments.required("tenant")?;
        arguments.complete()?;
        let tenant = self.tenant("tenant", &slug).await?;
        Ok(self.door.members(tenant.id).await?.iter().map(user).collect())
    }

    pub(super) async fn set_user(&self, arguments: &Arguments<'_>) -> Answer {
        let (slug, email, role) = member_and_role(arguments)?;
        arguments.complete()?;
        let tenant = self.tenant("tenant", &slug).await?;
        let Some((before, after)) = self.door.change_member(tenant.id, &email, role).await? else {
            return Err(Refusal::not_found("email", format!("{email} is no member of {slug}")));
        };
        Ok(changed(set_or_not(&before, &after), "user", user(&after)))
    }

    pub(super) async fn remove_user(&self, arguments: &Arguments<'_>) -> Answer {
        let (slug, email): (Slug, Email) = (arguments.required("tenant")?, arguments.required("email")?);
        arguments.complete()?;
        let tenant = self.tenant("tenant", &slug).await?;
        match self.door.remove_member(tenant.id, &email).await? {
            Removed::Done(member) => Ok(changed("removed", "user", user(&member))),
            Removed::NoMember => Ok(changed("unchanged", "user", json!({ "email": email.as_str() }))),
            Removed::Unknown => Err(Refusal::not_found("email", format!("nobody is known under {email}"))),
        }
    }
}

fn member_and_role(arguments: &Arguments<'_>) -> Result<(Slug, Email, TenantRole), Refusal> {
    let (slug, email) = (arguments.required("tenant")?, arguments.required("email")?);
    let role = arguments.word("role", "tenant_admin or tenant_member", |name| match Role::parse(name) {
        Some(Role::TenantAdmin) => Some(TenantRole::Admin),
        Some(Role::TenantMember) => Some(TenantRole::Member),
        // Whose token says so, and no row.
        Some(Role::PlatformAdmin) | None => None,
    })?;
    Ok((slug, email, role.ok_or_else(|| Refusal::invalid("role", "is missing"))?))
}

fn user(row: &MemberRow) -> Value {
    let role = match row.role {
        TenantRole::Admin => Role::TenantAdmin,
        TenantRole::Member => Role::TenantMember,
    };
    json!({
        "email": row.email,
        "role": role.as_str(),
        "id": row.id,
        "created_at": row.created_at.format(&Rfc3339).unwrap_or_default(),
    })
}
