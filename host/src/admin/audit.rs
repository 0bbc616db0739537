//! Endpoints for the audit log.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{DeletedTenantAccess, HostAccess, Viewer};
use super::input::Params;
use super::page::{Paging, limit};
use super::state::AdminState;
use crate::domain::audit::AuditEntry;
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::http::problem::Problem;
use crate::storage::AuditFilter;
use crate::wire::audit::AuditView;
use crate::wire::page::Items;

/// Filter for changes to a tenant.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TenantAuditQuery {
    /// Changes by this actor: the id of a token, its name at that time, `host` or `command`.
    actor: Option<String>,
    /// Changes with this action; `secret.*` matches every action with this prefix.
    action: Option<String>,
    /// Changes at this time or later.
    from: Option<Timestamp>,
    /// Changes before this time.
    to: Option<Timestamp>,
    /// `next` of the previous page; absent for the first page.
    cursor: Option<String>,
    /// Items per page: 1 to 200; 50 by default.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// Filter for changes to the host and to all tenants.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Changes to this tenant: its id, or its name at that time. Purged tenants are included.
    tenant: Option<String>,
    /// Changes by this actor: the id of a token, its name at that time, `host` or `command`.
    actor: Option<String>,
    /// Changes with this action; `tenant.*` matches every action with this prefix.
    action: Option<String>,
    /// Changes at this time or later.
    from: Option<Timestamp>,
    /// Changes before this time.
    to: Option<Timestamp>,
    /// `next` of the previous page; absent for the first page.
    cursor: Option<String>,
    /// Items per page: 1 to 200; 50 by default.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// Lists changes to a tenant, the newest first. Operators can also read those of a deleted tenant.
#[utoipa::path(get, path = "/tenants/{tenant}/audit", tag = "audit", params(TenantAuditQuery),
    responses((status = 200, body = Items<AuditView>)), security(("token" = ["viewer"])))]
async fn list(
    DeletedTenantAccess(access): DeletedTenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<TenantAuditQuery>,
) -> Result<Json<Items<AuditView>>, Problem> {
    let filter = AuditFilter {
        tenant: None,
        actor: query.actor,
        action: query.action,
        from: query.from,
        to: query.to,
    };
    let paging = Paging {
        cursor: query.cursor,
        limit: query.limit,
    };
    page_of(&state, Some(access.tenant.id), &filter, &paging).await
}

/// Lists changes to the host and to all tenants, the newest first. Purged tenants are included.
#[utoipa::path(get, path = "/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = Items<AuditView>)), security(("token" = ["operator"])))]
async fn list_all(
    _: HostAccess,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<AuditQuery>,
) -> Result<Json<Items<AuditView>>, Problem> {
    let filter = AuditFilter {
        tenant: query.tenant,
        actor: query.actor,
        action: query.action,
        from: query.from,
        to: query.to,
    };
    let paging = Paging {
        cursor: query.cursor,
        limit: query.limit,
    };
    page_of(&state, None, &filter, &paging).await
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(list_all))
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            tenant: entry.tenant,
            tenant_name: entry.tenant_name,
            actor_kind: entry.actor_kind,
            actor: entry.change.actor,
            actor_name: entry.actor_name,
            action: entry.change.action,
            subject: entry.change.subject,
            before: entry.change.difference.before,
            after: entry.change.difference.after,
            at: entry.change.at,
        }
    }
}

async fn page_of(
    state: &AdminState,
    tenant: Option<TenantId>,
    filter: &AuditFilter,
    paging: &Paging,
) -> Result<Json<Items<AuditView>>, Problem> {
    let page = paging.page()?;
    let found = state.db.audit(tenant, filter, page.clone()).await?;
    Ok(Json(Items::new(found, &page, |entry| entry.id, AuditView::from)))
}
