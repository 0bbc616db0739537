//! Endpoints for tenants.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{DeletedTenantAccess, HostAccess, Operator, TenantAccess, Viewer};
use super::error::invalid;
use super::input::{Input, NoParams, Params};
use super::page::{Paging, limit};
use super::state::AdminState;
use crate::domain::audit::{Change, Difference};
use crate::domain::id::{PlanName, TenantId};
use crate::domain::resource::Resource;
use crate::domain::tenant::{Plan, Tenant};
use crate::http::hint::Hint;
use crate::http::problem::Problem;
use crate::storage::{DbError, TenantChange};
use crate::wire::page::Items;
use crate::wire::tenants::{NewTenant, TenantPatch, TenantView};

/// Filter for tenants.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TenantQuery {
    /// Lists the deleted tenants that can be restored, instead of the others.
    #[serde(default)]
    deleted: bool,
    /// `next` of the previous page; absent for the first page.
    cursor: Option<String>,
    /// Items per page: 1 to 200; 50 by default.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// The kind of deletion.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Deletion {
    /// Delete permanently at once, instead of after the grace period.
    #[serde(default)]
    pub purge: bool,
}

/// Lists tenants by name.
#[utoipa::path(get, path = "/tenants", tag = "tenants", params(TenantQuery),
    responses((status = 200, body = Items<TenantView>)), security(("token" = ["operator"])))]
async fn list(
    _: HostAccess,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<TenantQuery>,
) -> Result<Json<Items<TenantView>>, Problem> {
    let paging = Paging {
        cursor: query.cursor,
        limit: query.limit,
    };
    let page = paging.page()?;
    let found = match query.deleted {
        true => state.db.deleted_tenants(page.clone()).await?,
        false => state.db.tenants(page.clone()).await?,
    };
    Ok(Json(Items::new(
        found,
        &page,
        |tenant| tenant.name.clone(),
        TenantView::from,
    )))
}

/// Creates a tenant.
#[utoipa::path(post, path = "/tenants", tag = "tenants", request_body = NewTenant,
    responses((status = 201, body = TenantView)), security(("token" = ["operator"])))]
async fn create(
    access: HostAccess,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    Input(input): Input<NewTenant>,
) -> Result<(StatusCode, Json<TenantView>), Problem> {
    state.limits.check("limits.", &input.limits)?;
    let plan = match input.plan {
        Some(plan) => plan,
        None => Plan::DEFAULT.parse().map_err(Problem::internal)?,
    };
    let tenant = Tenant {
        id: TenantId::generate(),
        name: input.name,
        plan,
        limits: input.limits,
        suspended: false,
        created_at: state.clock.now(),
        deleted_at: None,
    };
    let change = state.change(&access.actor, "tenant.create", tenant.name.as_str());
    let change = change.with(Difference::made(&kept(&tenant)));
    state
        .db
        .create_tenant(&tenant, &change)
        .await
        .map_err(|error| or_no_such_plan(error, Some(&tenant.plan)))?;
    state.lifecycle.refresh(tenant.id).await;
    Ok((StatusCode::CREATED, Json(tenant.into())))
}

/// Shows a tenant.
#[utoipa::path(get, path = "/tenants/{tenant}", tag = "tenants",
    responses((status = 200, body = TenantView)), security(("token" = ["viewer"])))]
async fn get(access: TenantAccess<Viewer>, _: NoParams) -> Json<TenantView> {
    Json(access.tenant.into())
}

/// Changes a tenant's plan or limits, or suspends it.
#[utoipa::path(patch, path = "/tenants/{tenant}", tag = "tenants", request_body = TenantPatch,
    responses((status = 200, body = TenantView)), security(("token" = ["operator"])))]
async fn change(
    access: TenantAccess<Operator>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    Input(patch): Input<TenantPatch>,
) -> Result<Json<TenantView>, Problem> {
    if let Some(limits) = &patch.limits {
        state.limits.check("limits.", limits)?;
    }
    let change = TenantChange {
        plan: patch.plan,
        limits: patch.limits,
        suspended: patch.suspended,
    };
    let changes = |before: &Tenant, after: &Tenant| -> Vec<Change> {
        let change = |(action, difference)| {
            let change = state.change(&access.actor, action, after.name.as_str());
            change.with(difference)
        };
        differences(before, after).into_iter().map(change).collect()
    };
    let changed = state
        .db
        .change_tenant(access.tenant.id, &change, &changes)
        .await
        .map_err(|error| or_no_such_plan(error, change.plan.as_ref()))?;
    let tenant = changed.ok_or_else(|| Problem::not_found(Resource::Tenant))?;
    state.lifecycle.refresh(tenant.id).await;
    Ok(Json(tenant.into()))
}

/// Deletes a tenant. It stops serving at once, its name stays reserved, and it can be restored
/// during the grace period (`retention.deleted`). With `purge`, all of its data except the audit
/// log is deleted permanently.
#[utoipa::path(delete, path = "/tenants/{tenant}", tag = "tenants", params(Deletion),
    responses((status = 204, description = "Deleted")), security(("token" = ["operator"])))]
async fn delete(
    DeletedTenantAccess(access): DeletedTenantAccess<Operator>,
    State(state): State<Arc<AdminState>>,
    Params(deletion): Params<Deletion>,
) -> Result<StatusCode, Problem> {
    let TenantAccess { tenant, actor, .. } = access;
    let change = |action| {
        let change = state.change(&actor, action, tenant.name.as_str());
        change.with(Difference::removed(&kept(&tenant)))
    };
    let is_gone = match deletion.purge {
        true => {
            let purge = change("tenant.purge");
            state.lifecycle.purge_tenant(tenant.id, &purge).await?
        }
        false => {
            let delete = change("tenant.delete");
            state.lifecycle.delete_tenant(tenant.id, &delete).await?
        }
    };
    if !is_gone {
        return Err(Problem::not_found(Resource::Tenant));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Restores a deleted tenant. A tenant that is not deleted stays as it is.
#[utoipa::path(post, path = "/tenants/{tenant}/restore", tag = "tenants",
    responses((status = 200, body = TenantView)), security(("token" = ["operator"])))]
async fn restore(
    DeletedTenantAccess(access): DeletedTenantAccess<Operator>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<Json<TenantView>, Problem> {
    let TenantAccess { tenant, actor, .. } = access;
    if tenant.deleted_at.is_some() {
        let restore = state.change(&actor, "tenant.restore", tenant.name.as_str());
        if !state.lifecycle.restore_tenant(tenant.id, &restore).await? {
            return Err(Problem::not_found(Resource::Tenant));
        }
    }
    let restored = Tenant {
        deleted_at: None,
        ..tenant
    };
    Ok(Json(restored.into()))
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, change, delete))
        .routes(routes!(restore))
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        let Tenant {
            id,
            name,
            plan,
            limits,
            suspended,
            created_at,
            deleted_at,
        } = tenant;
        Self {
            id,
            name,
            plan,
            limits,
            suspended,
            created_at,
            deleted_at,
        }
    }
}

/// The content of a created or deleted tenant for the audit log.
fn kept(tenant: &Tenant) -> Value {
    json!({ "name": tenant.name, "plan": tenant.plan, "limits": tenant.limits, "suspended": tenant.suspended })
}

/// The differences between two states of a tenant, with the action of each.
fn differences(before: &Tenant, after: &Tenant) -> Vec<(&'static str, Difference)> {
    let mut changes = Vec::new();
    if before.plan != after.plan {
        let plan = |tenant: &Tenant| json!({ "plan": tenant.plan });
        changes.push(("tenant.plan", Difference::between(&plan(before), &plan(after))));
    }
    if before.limits != after.limits {
        let limits = |tenant: &Tenant| json!({ "limits": tenant.limits });
        changes.push((
            "tenant.limits",
            Difference::between(&limits(before), &limits(after)),
        ));
    }
    if before.suspended != after.suspended {
        let action = match after.suspended {
            true => "tenant.suspend",
            false => "tenant.resume",
        };
        let suspended = |tenant: &Tenant| json!({ "suspended": tenant.suspended });
        changes.push((action, Difference::between(&suspended(before), &suspended(after))));
    }
    changes
}

/// If the body names an unknown plan, the request is invalid, not its address.
fn or_no_such_plan(error: DbError, plan: Option<&PlanName>) -> Problem {
    match (error, plan) {
        (DbError::Missing(Resource::Plan), Some(plan)) => {
            invalid(format!("plan: there is no plan `{plan}`")).hint(Hint::Missing(Resource::Plan))
        }
        (error, _) => error.into(),
    }
}
