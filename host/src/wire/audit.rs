//! Entries of the audit log.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::audit::ActorKind;
use crate::domain::clock::Timestamp;
use crate::domain::id::{AuditId, TenantId};

/// One change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// Its id.
    pub id: AuditId,
    /// The id of the tenant that it is about; absent if it is about the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The name that the tenant had then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_name: Option<String>,
    /// What kind of actor did it.
    pub actor_kind: ActorKind,
    /// The id of the token that did it, or `host` or `command`.
    pub actor: String,
    /// The name that the token had then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_name: Option<String>,
    /// What was done, such as `plugin.activate`.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// What was there before, as far as it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there since, as far as it changed. Of secrets and credentials there is never a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// When.
    pub at: Timestamp,
}
