//! JSON of audit log entries.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::audit::ActorKind;
use crate::domain::clock::Timestamp;
use crate::domain::id::{AuditId, TenantId};

/// A recorded change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// Id of the entry.
    pub id: AuditId,
    /// Id of the changed tenant; absent for a change to the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Name of the tenant at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_name: Option<String>,
    /// Kind of the actor.
    pub actor_kind: ActorKind,
    /// The actor: the id of a token, `host` or `command`.
    pub actor: String,
    /// Name of the token at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_name: Option<String>,
    /// The action, such as `plugin.activate`.
    pub action: String,
    /// What the action changed.
    pub subject: String,
    /// Changed members before the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Changed members after the change. Values of secrets and credentials are never included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Time of the change.
    pub at: Timestamp,
}
