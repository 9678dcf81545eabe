//! The demo tenants, agents and people (`demo.json`; `demo.sql` puts the same into the database).
//! Nothing here is secret.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Context, Result};
use crate::token::mint;

const DEMO: &str = include_str!("../demo.json");

/// Everyone and everything of the demo.
#[derive(Debug, Deserialize)]
pub struct Demo {
    platform_admin: PlatformAdmin,
    tenants: Vec<Tenant>,
}

#[derive(Debug, Deserialize)]
struct PlatformAdmin {
    id: String,
    email: String,
}

#[derive(Debug, Deserialize)]
struct Tenant {
    id: String,
    slug: String,
    name: String,
    agents: Vec<Agent>,
    users: Vec<User>,
    installations: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Agent {
    id: String,
    name: String,
    is_default: bool,
}

#[derive(Debug, Deserialize)]
struct User {
    id: String,
    email: String,
    role: String,
}

/// One line of the start-up output: who, as what, with which token.
#[derive(Debug)]
pub struct Person {
    /// E-mail address.
    pub email: String,
    /// Role, with the tenant where there is one.
    pub role: String,
    /// A token for 30 days.
    pub token: String,
}

impl Demo {
    /// Reads `demo.json`, which is compiled in.
    pub fn load() -> Result<Self> {
        serde_json::from_str(DEMO).context("tools/local/demo.json")
    }

    /// `platform_admin` and `tenants` as `stack.json` has them.
    pub fn for_stack_file(&self, secret: &str) -> (Value, Value) {
        let admin = &self.platform_admin.id;
        let admin = json!({"id": admin, "token": mint(secret, admin, "platform_admin", None)});
        (admin, self.tenants.iter().map(|tenant| tenant.for_stack_file(secret)).collect())
    }

    /// Whether this Slack workspace is an installation of the tenant in the demo.
    pub fn has_slack_workspace(&self, tenant: &str, workspace: &str) -> bool {
        let slack = json!({"channel": "slack", "workspace_id": workspace});
        self.tenants.iter().any(|known| known.id == tenant && known.installations.contains(&slack))
    }

    /// Everyone with a token.
    pub fn people(&self, secret: &str) -> Vec<Person> {
        let admin = &self.platform_admin;
        let mut people = vec![Person {
            email: admin.email.clone(),
            role: "platform_admin".into(),
            token: mint(secret, &admin.id, "platform_admin", None),
        }];
        for tenant in &self.tenants {
            people.extend(tenant.users.iter().map(|user| Person {
                email: user.email.clone(),
                role: format!("{} of {}", user.role, tenant.slug),
                token: mint(secret, &user.id, &user.role, Some(&tenant.id)),
            }));
        }
        people
    }
}

impl Tenant {
    fn for_stack_file(&self, secret: &str) -> Value {
        let agents: Vec<_> = (self.agents.iter())
            .map(|agent| json!({"id": agent.id, "name": agent.name, "is_default": agent.is_default}))
            .collect();
        let users: Vec<_> = (self.users.iter())
            .map(|user| {
                let token = mint(secret, &user.id, &user.role, Some(&self.id));
                json!({"id": user.id, "email": user.email, "role": user.role, "token": token})
            })
            .collect();
        json!({
            "id": self.id, "slug": self.slug, "name": self.name,
            "agents": agents, "users": users, "installations": self.installations,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenant_has_one_default_agent_an_admin_and_two_members() {
        let demo = Demo::load().unwrap();
        assert_eq!(demo.tenants.len(), 2);
        for tenant in &demo.tenants {
            assert_eq!(tenant.agents.iter().filter(|agent| agent.is_default).count(), 1);
            let mut roles: Vec<_> = tenant.users.iter().map(|user| user.role.as_str()).collect();
            roles.sort_unstable();
            assert_eq!(roles, ["tenant_admin", "tenant_member", "tenant_member"]);
        }
    }
}
