//! Who changed what.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{HostAccess, TenantAccess, Viewer};
use super::input::Params;
use super::page::{Items, Paging};
use super::state::AdminState;
use crate::domain::audit::AuditEntry;
use crate::domain::clock::Timestamp;
use crate::domain::id::{AuditId, TenantId};
use crate::http::problem::Problem;

/// One change.
#[derive(Serialize, ToSchema)]
pub struct AuditView {
    /// Its id.
    id: AuditId,
    /// The token that did it, or `host`.
    actor: String,
    /// What was done, such as `plugin.activate`.
    action: String,
    /// What it was done to.
    subject: String,
    /// When.
    at: Timestamp,
}

/// Lists changes to a tenant, the newest first.
#[utoipa::path(get, path = "/tenants/{tenant}/audit", tag = "audit", params(Paging),
    responses((status = 200, body = Items<AuditView>)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    Params(paging): Params<Paging>,
) -> Result<Json<Items<AuditView>>, Problem> {
    page_of(&state, Some(access.tenant.id), &paging).await
}

/// Lists changes to the host itself, the newest first.
#[utoipa::path(get, path = "/audit", tag = "audit", params(Paging),
    responses((status = 200, body = Items<AuditView>)), security(("token" = ["operator"])))]
async fn list_host(
    _: HostAccess,
    State(state): State<Arc<AdminState>>,
    Params(paging): Params<Paging>,
) -> Result<Json<Items<AuditView>>, Problem> {
    page_of(&state, None, &paging).await
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(list_host))
}

async fn page_of(
    state: &AdminState,
    tenant: Option<TenantId>,
    paging: &Paging,
) -> Result<Json<Items<AuditView>>, Problem> {
    let page = paging.page()?;
    let found = state.db.audit(tenant, page.clone()).await?;
    let view = |entry: AuditEntry| AuditView {
        id: entry.id,
        actor: entry.actor,
        action: entry.action,
        subject: entry.subject,
        at: entry.at,
    };
    Ok(Json(Items::new(found, &page, |entry| entry.id, view)))
}
