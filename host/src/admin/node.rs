//! Endpoints for the state of this host: `/node`, metrics, liveness and readiness.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{HostAccess, MetricsAccess};
use super::input::NoParams;
use super::state::AdminState;
use crate::domain::problem::Code;
use crate::http::problem::Problem;
use crate::lifecycle::{FailedRecompile, RecompileProgress, UnreadableSecret};
use crate::metrics;
use crate::storage::set_aside;
use crate::wire::node::{
    DamagedDatabase, FailedRecompileView, LedgerView, NodeView, RecompileView, UnavailableView,
    UnreadableSecretView,
};

/// The most unreadable secrets that are listed.
const MAX_UNREADABLE_SECRETS: usize = 1_000;

impl From<RecompileProgress> for RecompileView {
    fn from(progress: RecompileProgress) -> Self {
        let failures = progress.failures.into_iter();
        let view = |failed: FailedRecompile| FailedRecompileView {
            version: failed.version,
            reason: failed.reason,
        };
        Self {
            to_do: progress.to_do,
            done: progress.done,
            failed: progress.failed,
            failures: failures.map(view).collect(),
        }
    }
}

/// Shows this host.
#[utoipa::path(get, path = "/node", tag = "node",
    responses((status = 200, body = NodeView)), security(("token" = ["operator"])))]
async fn node(
    _: HostAccess,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<Json<NodeView>, Problem> {
    let counts = state.ledger.counts();
    let mut damaged_databases = Vec::new();
    for id in state.lifecycle.damaged_databases() {
        // The tenant may have been deleted meanwhile.
        if let Some(tenant) = state.db.tenant(id).await? {
            damaged_databases.push(DamagedDatabase {
                tenant: tenant.name,
                file: format!("{id}.db"),
            });
        }
    }
    let plugin = state.lifecycle.all_unavailable().into_iter();
    let unavailable = plugin.map(|plugin| UnavailableView {
        tenant: plugin.tenant,
        plugin: plugin.plugin,
        reason: plugin.reason,
    });
    let unreadable_secrets = state.lifecycle.unreadable_secrets().into_iter();
    let unreadable_secrets =
        unreadable_secrets.map(|UnreadableSecret { tenant, name }| UnreadableSecretView { tenant, name });
    let data = state.data.clone();
    let set_aside = tokio::task::spawn_blocking(move || set_aside::listed(&data)).await;
    let set_aside = set_aside
        .map_err(Problem::internal)?
        .map_err(Problem::unavailable)?;
    Ok(Json(NodeView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: state.started_at,
        uptime_seconds: state.clock.now().since(state.started_at).as_secs(),
        draining: state.draining.is_cancelled(),
        ledger: LedgerView {
            written: counts.written,
            dropped: counts.dropped,
            without_lines: counts.without_lines,
            lost: counts.lost,
        },
        damaged_databases,
        unavailable: unavailable.collect(),
        recompile: state.lifecycle.recompile_progress().into(),
        unreadable_rows: state.lifecycle.unreadable_rows(),
        unreadable_secrets: unreadable_secrets.take(MAX_UNREADABLE_SECRETS).collect(),
        set_aside: set_aside.iter().map(|path| path.display().to_string()).collect(),
        gauges: state.observer.gauges().await,
    }))
}

/// Shows the metrics of the host for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "node",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")),
    security(("token" = ["metrics"])))]
async fn metrics(
    _: MetricsAccess,
    State(state): State<Arc<AdminState>>,
) -> Result<impl IntoResponse, Problem> {
    let text = state.observer.text().await.map_err(Problem::internal)?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}

/// Liveness: the host runs.
#[utoipa::path(get, path = "/-/healthz", tag = "node",
    responses((status = 200, body = String)), security(()))]
async fn healthz() -> &'static str {
    "ok"
}

/// Readiness: the database answers, and the host is not shutting down. Further lines count the
/// tenants and plugins that cannot be served, and show the progress of compiling active versions
/// again. `/api/v1/node` has the details.
#[utoipa::path(get, path = "/-/readyz", tag = "node",
    responses((status = 200, body = String)), security(()))]
async fn readyz(State(state): State<Arc<AdminState>>) -> Result<String, Problem> {
    if state.draining.is_cancelled() {
        return Err(Problem::new(Code::Draining, "the host is shutting down"));
    }
    state.db.plans().await?;
    let mut lines = "ready".to_owned();
    let unavailable = state.lifecycle.all_unavailable().len();
    if unavailable > 0 {
        lines += &format!("\nunavailable: {unavailable}; see /api/v1/node");
    }
    let RecompileProgress {
        to_do, done, failed, ..
    } = state.lifecycle.recompile_progress();
    if to_do > 0 || failed > 0 {
        lines += &format!("\nrecompile: {to_do} to do, {done} done, {failed} failed; see /api/v1/node");
    }
    Ok(lines)
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new().routes(routes!(node))
}

/// Routes for monitoring. They have no API version, since monitoring must not break when the API
/// changes.
pub fn watch_router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
}
