//! Endpoints for invocation records and usage.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{TenantAccess, Viewer};
use super::error::invalid;
use super::input::{At, NoParams, Params};
use super::logs::require_plugin;
use super::page::{Paging, limit};
use super::state::AdminState;
use crate::domain::clock::{DAY, HOUR, Timestamp};
use crate::domain::id::{FunctionName, InvocationId, JobName, PluginName};
use crate::domain::invocation::{InvocationRecord, Trigger};
use crate::domain::resource::Resource;
use crate::http::problem::Problem;
use crate::storage::InvocationFilter;
use crate::wire::invocations::{InvocationView, UsageView};
use crate::wire::page::Items;

/// Which invocations are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InvocationQuery {
    /// Invocations of this plugin.
    plugin: Option<PluginName>,
    /// Requests to the route with this pattern, such as `/orders/{id}`.
    route: Option<String>,
    /// Invocations with this status, such as `404`, or with this class of statuses, such as `4xx`.
    status: Option<String>,
    /// Invocations by this caller: `api-key:…`.
    principal: Option<String>,
    /// Invocations that began at this time or later.
    since: Option<Timestamp>,
    /// Invocations that began before this time.
    until: Option<Timestamp>,
    /// Only failed invocations: the host answered with a problem, or the plugin with a status of
    /// 5xx.
    #[serde(default)]
    failed: bool,
    /// Only invocations with this trigger.
    trigger: Option<Trigger>,
    /// Only calls of this function.
    function: Option<FunctionName>,
    /// Only attempts to run jobs of this kind.
    job: Option<JobName>,
    /// `next` of the previous page.
    cursor: Option<String>,
    /// Items per page: 1 to 200.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// The period. Both ends are widened to whole hours.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// Start of the period; by default a day before `to`.
    from: Option<Timestamp>,
    /// End of the period, exclusive; by default now.
    to: Option<Timestamp>,
}

/// Lists invocations, the newest first.
#[utoipa::path(get, path = "/tenants/{tenant}/invocations", tag = "invocations", params(InvocationQuery),
    responses((status = 200, body = Items<InvocationView>)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<InvocationQuery>,
) -> Result<Json<Items<InvocationView>>, Problem> {
    let paging = Paging {
        cursor: query.cursor,
        limit: query.limit,
    };
    let filter = InvocationFilter {
        plugin: query.plugin,
        route: query.route,
        status: parsed("status", query.status.as_deref())?,
        principal: parsed("principal", query.principal.as_deref())?,
        since: query.since,
        until: query.until,
        failed: query.failed,
        trigger: query.trigger,
        function: query.function,
        job: query.job,
    };
    if let (Some(since), Some(until)) = (filter.since, filter.until)
        && since >= until
    {
        return Err(invalid("since: it must lie before `until`"));
    }
    let page = paging.page()?;
    // The caller expects records of the latest invocations.
    state.ledger.flush().await;
    let found = state
        .db
        .invocations(access.tenant.id, &filter, page.clone())
        .await?;
    if found.is_empty() && page.after.is_none() {
        require_plugin(&state, access.tenant.id, filter.plugin.as_ref()).await?;
    }
    Ok(Json(Items::new(
        found,
        &page,
        |record| record.id,
        InvocationView::from,
    )))
}

/// Shows an invocation.
#[utoipa::path(get, path = "/tenants/{tenant}/invocations/{invocation}", tag = "invocations",
    responses((status = 200, body = InvocationView)), security(("token" = ["viewer"])))]
async fn get(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<InvocationId>,
) -> Result<Json<InvocationView>, Problem> {
    let record = state.db.invocation(access.tenant.id, id).await?;
    record
        .map(|record| Json(record.into()))
        .ok_or_else(|| Problem::not_found(Resource::Invocation))
}

/// Sums the usage of each plugin by hour. The sums are kept when invocation records are deleted.
#[utoipa::path(get, path = "/tenants/{tenant}/usage", tag = "invocations", params(UsageQuery),
    responses((status = 200, body = UsageView)), security(("token" = ["viewer"])))]
async fn usage(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<UsageQuery>,
) -> Result<Json<UsageView>, Problem> {
    let to = query.to.unwrap_or_else(|| state.clock.now());
    let from = query.from.unwrap_or(to.saturating_sub(DAY));
    if from >= to {
        return Err(invalid("from: it must lie before `to`"));
    }
    let from = from.beginning_of(HOUR);
    let to = match to.beginning_of(HOUR) {
        hour if hour == to => to,
        hour => hour.saturating_add(HOUR),
    };
    let plugins = state.db.usage(access.tenant.id, from, to).await?;
    let kept = state.db.kept(access.tenant.id).await?;
    let counts = state.db.counts(access.tenant.id, state.clock.now()).await?;
    Ok(Json(UsageView {
        from,
        to,
        plugins,
        kept,
        counts,
    }))
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(usage))
}

/// Parses a query parameter that may be absent.
fn parsed<T: FromStr<Err: Display>>(name: &str, text: Option<&str>) -> Result<Option<T>, Problem> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|error| invalid(format!("{name}: {error}")))
}

impl From<InvocationRecord> for InvocationView {
    fn from(record: InvocationRecord) -> Self {
        let InvocationRecord {
            id,
            tenant: _,
            plugin,
            version,
            triggered,
            status,
            code,
            blame,
            principal,
            started_at,
            usage,
        } = record;
        Self {
            id,
            plugin,
            version,
            trigger: triggered.trigger(),
            method: triggered.method().map(ToString::to_string),
            route: triggered.route().map(str::to_owned),
            function: triggered.function().cloned(),
            job: triggered.job().cloned(),
            job_id: triggered.job_id(),
            attempt: triggered.attempt(),
            outcome: match triggered.job_outcome() {
                Some(outcome) => Some(outcome.into()),
                None => triggered.function_outcome().map(Into::into),
            },
            status,
            code: code.map(|code| code.to_string()),
            blame,
            principal: principal.map(|principal| principal.to_string()),
            started_at,
            usage,
        }
    }
}
