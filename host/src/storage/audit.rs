//! Storage of the audit log.

use async_trait::async_trait;

use super::{DbError, Page};
use crate::domain::audit::AuditEntry;
use crate::domain::clock::Timestamp;
use crate::domain::id::{AuditId, TenantId};

/// A filter for audit entries. `None` matches all entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Id of the tenant, or its name at that time.
    pub tenant: Option<String>,
    /// Id of the actor, or the name of its token at that time.
    pub actor: Option<String>,
    /// An action, or a prefix with a `*` behind it: `tenant.*`.
    pub action: Option<String>,
    /// Start time.
    pub from: Option<Timestamp>,
    /// End time, exclusive.
    pub to: Option<Timestamp>,
}

/// The audit log. An entry is written with its change and never modified. It keeps the names that
/// the tenant and the token had at that time.
#[async_trait]
pub trait Audit {
    /// Lists a tenant's entries, the newest first. `None` lists those of the host and of all
    /// tenants, purged ones included.
    async fn audit(
        &self,
        tenant: Option<TenantId>,
        filter: &AuditFilter,
        page: Page<AuditId>,
    ) -> Result<Vec<AuditEntry>, DbError>;
}
