//! Who changed what.

use async_trait::async_trait;

use super::{DbError, Page};
use crate::domain::audit::AuditEntry;
use crate::domain::id::{AuditId, TenantId};

/// The audit log. Nothing in it is ever changed.
#[async_trait]
pub trait Audit {
    /// Adds an entry.
    async fn append_audit(&self, entry: &AuditEntry) -> Result<(), DbError>;

    /// A tenant's entries, the newest first; `None` for those of the host itself.
    async fn audit(&self, tenant: Option<TenantId>, page: Page<AuditId>) -> Result<Vec<AuditEntry>, DbError>;
}
