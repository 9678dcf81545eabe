//! A tenant: a company whose data nobody else may see. Holds no secret of the tenant.

use crate::id::TenantId;

/// What admission needs to know of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Messages a minute and channel (CHAN-03); 30 unless the database says otherwise.
    pub messages_per_minute: u32,
}
