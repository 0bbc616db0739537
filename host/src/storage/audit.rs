//! Who changed what.

use async_trait::async_trait;

use super::{DbError, Page};
use crate::domain::audit::AuditEntry;
use crate::domain::clock::Timestamp;
use crate::domain::id::{AuditId, TenantId};

/// Which entries are wanted. What is `None` excludes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The id of a tenant, or the name that a tenant had at that time.
    pub tenant: Option<String>,
    /// The id of an actor, or the name that its token had at that time.
    pub actor: Option<String>,
    /// An action, or what actions begin with, followed by `*`: `tenant.*`.
    pub action: Option<String>,
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
}

/// The audit log. Each entry is written with the change that it tells of, and never changed. The
/// names of its tenant and of its token are those that they had then.
#[async_trait]
pub trait Audit {
    /// A tenant's entries, the newest first; `None` for those of the host and of all tenants, also
    /// of tenants that were purged.
    async fn audit(
        &self,
        tenant: Option<TenantId>,
        filter: &AuditFilter,
        page: Page<AuditId>,
    ) -> Result<Vec<AuditEntry>, DbError>;
}
