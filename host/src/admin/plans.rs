//! Endpoints for plans, which are named sets of limits.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::HostAccess;
use super::error::invalid;
use super::input::{At, NoParams, json_body, parse};
use super::state::AdminState;
use crate::domain::audit::Difference;
use crate::domain::id::PlanName;
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::domain::tenant::Plan;
use crate::http::hint::Hint;
use crate::http::problem::Problem;
use crate::wire::page::Items;
use crate::wire::plans::NewPlan;

/// The body of a plan, with or without `limits` around the limits.
struct PlanBody(NewPlan);

impl FromRequest<Arc<AdminState>> for PlanBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<AdminState>) -> Result<Self, Problem> {
        let body = json_body(request, state).await?;
        let members = serde_json::from_slice::<Map<String, Value>>(&body).unwrap_or_default();
        // No limit has one of these names.
        if members.contains_key("limits") || members.contains_key("name") {
            return parse(&body).map(Self);
        }
        Ok(Self(NewPlan {
            name: None,
            limits: parse(&body)?,
        }))
    }
}

/// Lists all plans.
#[utoipa::path(get, path = "/plans", tag = "plans",
    responses((status = 200, body = Items<Plan>)), security(("token" = ["operator"])))]
async fn list(
    _: HostAccess,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<Json<Items<Plan>>, Problem> {
    Ok(Json(Items::all(state.db.plans().await?)))
}

/// Shows a plan.
#[utoipa::path(get, path = "/plans/{plan}", tag = "plans",
    responses((status = 200, body = Plan)), security(("token" = ["operator"])))]
async fn get(
    _: HostAccess,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(name): At<PlanName>,
) -> Result<Json<Plan>, Problem> {
    let plan = state.db.plan(&name).await?;
    plan.map(Json).ok_or_else(|| Problem::not_found(Resource::Plan))
}

/// Creates or replaces a plan. The body has the form of the response to `GET`, with changes to the
/// host's defaults. The limits alone, without `limits` around them, are accepted too.
#[utoipa::path(put, path = "/plans/{plan}", tag = "plans", request_body = NewPlan,
    responses((status = 200, body = Plan)), security(("token" = ["operator"])))]
async fn put(
    access: HostAccess,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(name): At<PlanName>,
    PlanBody(input): PlanBody,
) -> Result<Json<Plan>, Problem> {
    if let Some(other) = input.name.filter(|other| *other != name) {
        return Err(invalid(format!(
            "name: it is `{other}`, but the address names the plan `{name}`"
        )));
    }
    state.limits.check("limits.", &input.limits)?;
    let plan = Plan {
        name,
        limits: input.limits,
    };
    let change = |former: Option<&Plan>| {
        let difference = Difference::between(&former.map(limits_of), &limits_of(&plan));
        let change = state.change(&access.actor, "plan.put", plan.name.as_str());
        change.with(difference)
    };
    let tenants = state.db.put_plan(&plan, &change).await?;
    state.lifecycle.refresh_many(&tenants).await;
    Ok(Json(plan))
}

/// Deletes a plan that no tenant is on. The default plan cannot be deleted.
#[utoipa::path(delete, path = "/plans/{plan}", tag = "plans",
    responses((status = 204, description = "Deleted")), security(("token" = ["operator"])))]
async fn delete(
    access: HostAccess,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(name): At<PlanName>,
) -> Result<StatusCode, Problem> {
    if name.as_str() == Plan::DEFAULT {
        let detail =
            format!("`{name}` is the plan of tenants that are created without one, and cannot be deleted");
        return Err(Problem::new(Code::Conflict, detail).hint(Hint::DefaultPlan));
    }
    let change = |former: Option<&Plan>| {
        let change = state.change(&access.actor, "plan.delete", name.as_str());
        change.with(Difference::removed(&former.map(limits_of)))
    };
    if !state.db.delete_plan(&name, &change).await? {
        return Err(Problem::not_found(Resource::Plan));
    }
    Ok(StatusCode::NO_CONTENT)
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, put, delete))
}

/// The content of a plan for the audit log.
fn limits_of(plan: &Plan) -> Value {
    json!({ "limits": plan.limits })
}
