//! Plans: named sets of limits.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::HostAccess;
use super::input::{At, Input};
use super::page::Items;
use super::state::AdminState;
use crate::domain::id::{PlanName, TenantId};
use crate::domain::limits::LimitOverrides;
use crate::domain::tenant::Plan;
use crate::http::problem::Problem;
use crate::storage::Page;

/// Tenants that are read at once when those on a plan are looked for.
const TENANTS_AT_ONCE: u32 = 500;

/// Lists all plans.
#[utoipa::path(get, path = "/plans", tag = "plans",
    responses((status = 200, body = Items<Plan>)), security(("token" = ["operator"])))]
async fn list(_: HostAccess, State(state): State<Arc<AdminState>>) -> Result<Json<Items<Plan>>, Problem> {
    Ok(Json(Items::all(state.db.plans().await?)))
}

/// Shows a plan.
#[utoipa::path(get, path = "/plans/{plan}", tag = "plans",
    responses((status = 200, body = Plan)), security(("token" = ["operator"])))]
async fn get(
    _: HostAccess,
    State(state): State<Arc<AdminState>>,
    At(name): At<PlanName>,
) -> Result<Json<Plan>, Problem> {
    let plan = state.db.plan(&name).await?;
    plan.map(Json).ok_or_else(|| Problem::not_found("plan"))
}

/// Makes or replaces a plan. The body holds what differs from the host's defaults.
#[utoipa::path(put, path = "/plans/{plan}", tag = "plans", request_body = LimitOverrides,
    responses((status = 200, body = Plan)), security(("token" = ["operator"])))]
async fn put(
    access: HostAccess,
    State(state): State<Arc<AdminState>>,
    At(name): At<PlanName>,
    Input(limits): Input<LimitOverrides>,
) -> Result<Json<Plan>, Problem> {
    let plan = Plan { name, limits };
    state.db.put_plan(&plan).await?;
    state
        .changed(&access.actor, None, "plan.put", plan.name.to_string())
        .await?;
    refresh_tenants_on(&state, &plan.name).await?;
    Ok(Json(plan))
}

/// Deletes a plan that no tenant is on.
#[utoipa::path(delete, path = "/plans/{plan}", tag = "plans",
    responses((status = 204, description = "It is gone")), security(("token" = ["operator"])))]
async fn delete(
    access: HostAccess,
    State(state): State<Arc<AdminState>>,
    At(name): At<PlanName>,
) -> Result<StatusCode, Problem> {
    if !state.db.delete_plan(&name).await? {
        return Err(Problem::not_found("plan"));
    }
    state
        .changed(&access.actor, None, "plan.delete", name.to_string())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, put, delete))
}

async fn refresh_tenants_on(state: &AdminState, plan: &PlanName) -> Result<(), Problem> {
    let mut page = Page::first(TENANTS_AT_ONCE);
    loop {
        let tenants = state.db.tenants(page).await?;
        let Some(last) = tenants.last() else { return Ok(()) };
        page = Page::after(last.name.clone(), TENANTS_AT_ONCE);
        let on_plan = tenants.iter().filter(|tenant| tenant.plan == *plan);
        let on_plan: Vec<TenantId> = on_plan.map(|tenant| tenant.id).collect();
        state.lifecycle.refresh_many(&on_plan).await;
    }
}
