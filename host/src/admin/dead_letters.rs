//! Endpoints for dead letters: jobs that failed for good. `…/jobs/{id}` shows, retries and deletes
//! single ones.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Developer, TenantAccess, Viewer};
use super::input::Params;
use super::jobs::filter::{DeadLetterQuery, DeadLetterSelection};
use super::jobs::{listed, purge_matching, retry_matching};
use super::state::AdminState;
use crate::http::problem::Problem;
use crate::wire::jobs::{JobView, PurgedView, RetriedView};
use crate::wire::page::Items;

/// Lists dead letters, those of the newest jobs first. Viewers do not see keys and error texts.
#[utoipa::path(get, path = "/tenants/{tenant}/dead-letters", tag = "dead-letters", params(DeadLetterQuery),
    responses((status = 200, body = Items<JobView>)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<DeadLetterQuery>,
) -> Result<Json<Items<JobView>>, Problem> {
    let (filter, paging) = query.read()?;
    listed(&state, &access, &filter, &paging).await
}

/// Runs the dead letters that match again, each with as many attempts as it had in the beginning;
/// without a filter, all of the tenant. Those whose unique key a live job has stay. Answers how
/// many run again.
#[utoipa::path(post, path = "/tenants/{tenant}/dead-letters/retry", tag = "dead-letters",
    params(DeadLetterSelection),
    responses((status = 200, body = RetriedView)), security(("token" = ["developer"])))]
async fn retry(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    Params(selection): Params<DeadLetterSelection>,
) -> Result<Json<RetriedView>, Problem> {
    retry_matching(&state, &access, selection.read()?, "dead-letter.retry").await
}

/// Deletes the dead letters that match, with their payloads and attempts; without a filter, all of
/// the tenant. Answers how many.
#[utoipa::path(delete, path = "/tenants/{tenant}/dead-letters", tag = "dead-letters",
    params(DeadLetterSelection),
    responses((status = 200, body = PurgedView)), security(("token" = ["developer"])))]
async fn purge(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    Params(selection): Params<DeadLetterSelection>,
) -> Result<Json<PurgedView>, Problem> {
    purge_matching(&state, &access, selection.read()?, "dead-letter.purge").await
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list, purge))
        .routes(routes!(retry))
}
