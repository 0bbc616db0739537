//! Who changed what, and when.

use super::clock::Timestamp;
use super::id::{AuditId, TenantId};

/// One change. It names what was changed and never holds a value: settings and secrets stay out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id; ids sort by time.
    pub id: AuditId,
    /// Whose affair it is; `None` for the host's own.
    pub tenant: Option<TenantId>,
    /// Who did it: the id of a token, or `host`.
    pub actor: String,
    /// What was done, such as `plugin.activate`.
    pub action: String,
    /// What it was done to, such as `orders sha256:…`.
    pub subject: String,
    /// When.
    pub at: Timestamp,
}

impl AuditEntry {
    /// A new entry.
    pub fn new(
        tenant: Option<TenantId>,
        actor: impl Into<String>,
        action: impl Into<String>,
        subject: impl Into<String>,
        at: Timestamp,
    ) -> Self {
        Self {
            id: AuditId::generate(),
            tenant,
            actor: actor.into(),
            action: action.into(),
            subject: subject.into(),
            at,
        }
    }
}
