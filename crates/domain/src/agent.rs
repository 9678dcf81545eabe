//! An AI agent of a tenant, as its row has it. Building a prompt from it is not its business.

use crate::id::{AgentId, TenantId};

/// An agent (AGNT-01).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Who employs it.
    pub tenant_id: TenantId,
    /// The name people see.
    pub name: String,
    /// What it is employed as, for example "Support agent".
    pub role: String,
    /// How it speaks and who it is.
    pub persona: String,
    /// What it is to do.
    pub instructions: String,
    /// The language it answers in unless asked otherwise (BCP 47); empty: the person's.
    pub language: String,
    /// The model's name; `None`: the deployment's default.
    pub model: Option<String>,
    /// An agent that is not active answers nobody (`agent_unavailable`).
    pub is_active: bool,
}
