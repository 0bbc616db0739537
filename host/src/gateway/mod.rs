//! The public API: passes requests to plugins and returns their responses.
//!
//! A request is located, authenticated, rate-limited, read and validated, in this order. A rejected
//! request never occupies an instance. All data for these steps is in memory.

mod answer;
mod authenticate;
mod dispatch;
mod locate;
mod measure;
mod path;
mod plugin_request;
mod problem_page;
mod refusals;
mod respond;
mod trace_context;
mod unsubscribe;
mod validate;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::domain::clock::SharedClock;
use crate::domain::problem::Code;
use crate::domain::public_url::PublicUrl;
use crate::http::problem::Problem;
use crate::invoke::Invoker;
use crate::metrics::{MailCounters, Requests};
use crate::server::body::Pace;
use crate::storage::Repository;
use crate::tenants::Routing;
use unsubscribe::Unsubscriptions;

/// The public API with its dependencies.
pub struct Gateway {
    routing: Arc<Routing>,
    invoker: Arc<Invoker>,
    clock: SharedClock,
    pace: Pace,
    draining: CancellationToken,
    requests: Arc<Requests>,
    public_url: Arc<PublicUrl>,
    unsubscriptions: Option<Unsubscriptions>,
}

impl Gateway {
    /// A gateway to the plugins in `routing`, which `invoker` runs. Bodies must arrive at `pace`.
    /// After `draining` is cancelled, the host reports that it is not ready, but still serves
    /// requests. Plugins are told that they are reachable below `public_url`.
    pub fn new(
        routing: Arc<Routing>,
        invoker: Arc<Invoker>,
        clock: SharedClock,
        pace: Pace,
        draining: CancellationToken,
        public_url: Arc<PublicUrl>,
    ) -> Self {
        Self {
            routing,
            requests: invoker.requests().clone(),
            invoker,
            clock,
            pace,
            draining,
            public_url,
            unsubscriptions: None,
        }
    }

    /// Stores unsubscriptions in `db`. Without it, their links are not found.
    pub fn with_unsubscriptions(self, db: Arc<dyn Repository>, counters: Arc<MailCounters>) -> Self {
        Self {
            unsubscriptions: Some(Unsubscriptions { db, counters }),
            ..self
        }
    }

    /// The counters of the requests.
    pub fn requests(&self) -> Arc<Requests> {
        self.requests.clone()
    }
}

/// The public routes.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/-/healthz", get(async || "alive\n"))
        .route("/-/readyz", get(readyz))
        .route("/-/problems/{code}", get(problem_page::show))
        .route(
            unsubscribe::ROUTE,
            get(unsubscribe::show)
                .post(unsubscribe::unsubscribe)
                .fallback(unsubscribe::other_methods),
        )
        .layer(from_fn_with_state(gateway.clone(), measure::measure))
        // Not a layer, because a layer allocates several times per request.
        .fallback(plugins)
        .with_state(gateway)
}

/// Handles the requests that are not for the host itself.
async fn plugins(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    measure::measured(gateway, request, async |gateway, id, request| {
        dispatch::dispatch(gateway, id, request).await.into_response()
    })
    .await
}

async fn readyz(State(gateway): State<Arc<Gateway>>) -> Result<&'static str, Problem> {
    if gateway.draining.is_cancelled() {
        return Err(Problem::new(Code::Draining, "this host is shutting down"));
    }
    Ok("ready\n")
}
