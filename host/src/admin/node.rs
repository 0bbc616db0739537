//! The running host itself: what it is, whether it lives, and whether it takes requests.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{HostAccess, MetricsAccess};
use super::input::NoParams;
use super::state::AdminState;
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantName};
use crate::http::problem::{Code, Problem};
use crate::lifecycle::UnreadableSecret;
use crate::metrics::{self, Gauges};
use crate::storage::set_aside;

/// Secrets that are listed.
const MAX_UNREADABLE_SECRETS: usize = 1_000;

/// This host.
#[derive(Serialize, ToSchema)]
pub struct NodeView {
    /// The version of mortise.
    version: &'static str,
    /// When it started.
    started_at: Timestamp,
    /// Seconds since then.
    uptime_seconds: u64,
    /// Whether it is shutting down.
    draining: bool,
    /// What was written of what ran, since the start.
    ledger: LedgerView,
    /// What it holds at this moment.
    gauges: Gauges,
    /// Tenants whose databases were found damaged. They are not used until a copy is put in their place.
    damaged_databases: Vec<DamagedDatabase>,
    /// Tenants and plugins that answer 503, since what the host stores of them cannot be read. The host tries
    /// again by itself.
    unavailable: Vec<UnavailableView>,
    /// Rows that cannot be read and stop no tenant: an API key that does not work, for instance.
    unreadable_rows: Vec<String>,
    /// Secrets that do not open under the host's key, at most 1,000. An owner has to set them
    /// again.
    unreadable_secrets: Vec<UnreadableSecretView>,
    /// Files in `set-aside`, at most 1,000: no tenant or version was known that they belong to.
    set_aside: Vec<String>,
}

/// What cannot be served.
#[derive(Serialize, ToSchema)]
pub struct UnavailableView {
    /// Whose.
    tenant: TenantName,
    /// Which plugin; absent if none of the tenant's can be served.
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<PluginName>,
    /// Why.
    reason: String,
}

/// A secret that has to be set again.
#[derive(Serialize, ToSchema)]
pub struct UnreadableSecretView {
    /// Whose.
    tenant: TenantName,
    /// Its name.
    name: String,
}

/// A tenant's database that has to be restored.
#[derive(Serialize, ToSchema)]
pub struct DamagedDatabase {
    /// Whose it is.
    tenant: TenantName,
    /// Its file, in the folder `databases`.
    file: String,
}

/// What became of the records of invocations.
#[derive(Serialize, ToSchema)]
pub struct LedgerView {
    /// Written.
    written: u64,
    /// Dropped because too many waited.
    dropped: u64,
    /// Written without their log lines because too many bytes of them waited.
    without_lines: u64,
    /// Given up because the database refused them.
    lost: u64,
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
        // A tenant that was deleted meanwhile has nothing to restore.
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
        version: env!("CARGO_PKG_VERSION"),
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
        unreadable_rows: state.lifecycle.unreadable_rows(),
        unreadable_secrets: unreadable_secrets.take(MAX_UNREADABLE_SECRETS).collect(),
        set_aside: set_aside.iter().map(|path| path.display().to_string()).collect(),
        gauges: state.observer.gauges().await,
    }))
}

/// What the host holds and what it has done, for Prometheus.
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

/// Whether the host lives.
#[utoipa::path(get, path = "/-/healthz", tag = "node",
    responses((status = 200, body = String)), security(()))]
async fn healthz() -> &'static str {
    "ok"
}

/// Whether the host takes requests: its database answers and it is not shutting down. The second line says
/// how many tenants and plugins cannot be served; `/api/v1/node` names them.
#[utoipa::path(get, path = "/-/readyz", tag = "node",
    responses((status = 200, body = String)), security(()))]
async fn readyz(State(state): State<Arc<AdminState>>) -> Result<String, Problem> {
    if state.draining.is_cancelled() {
        return Err(Problem::new(Code::Draining, "the host is shutting down"));
    }
    state.db.plans().await?;
    Ok(match state.lifecycle.all_unavailable().len() {
        0 => "ready".to_owned(),
        count => format!("ready\nunavailable: {count}; see /api/v1/node"),
    })
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new().routes(routes!(node))
}

/// What watches a host must not break when the API moves on, so this has no version.
pub fn watch_router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
}
