//! The management API: tenants, plugins and everything that belongs to them, under `/api/v1`.
//!
//! | methods | path | least role |
//! | --- | --- | --- |
//! | GET | `/whoami` | any |
//! | GET POST | `/tenants` | operator |
//! | GET PATCH DELETE | `/tenants/{tenant}` | viewer; operator to change |
//! | POST | `/tenants/{tenant}/restore` | operator |
//! | GET PUT DELETE | `/plans`, `/plans/{plan}` | operator |
//! | GET PATCH DELETE | `/tenants/{tenant}/plugins`, `…/plugins/{plugin}` | viewer; developer to disable; owner to delete |
//! | POST | `…/plugins/{plugin}/restore` | owner |
//! | GET POST DELETE | `…/plugins/{plugin}/versions`, `…/versions/{version}` | viewer; developer to upload and delete |
//! | GET PUT POST | `…/plugins/{plugin}/activation`, `…/activation/back`, `…/activations` | viewer; developer to activate |
//! | GET PUT | `…/plugins/{plugin}/grants` | viewer; owner to grant |
//! | GET PUT DELETE | `…/plugins/{plugin}/config`, `…/config/{setting}` | viewer; developer to set |
//! | GET | `/tenants/{tenant}/limits`, `…/plugins/{plugin}/limits` | viewer |
//! | GET PUT DELETE | `/tenants/{tenant}/secrets`, `…/secrets/{name}` | viewer for names; owner to set |
//! | GET POST DELETE | `/tenants/{tenant}/api-keys`, `…/api-keys/{api_key}` | viewer; owner to create and revoke |
//! | GET POST DELETE | `/tenants/{tenant}/tokens`, `…/tokens/{token}` | owner |
//! | GET | `/tenants/{tenant}/invocations`, `…/invocations/{invocation}`, `…/usage` | viewer |
//! | GET | `…/plugins/{plugin}/calls` | viewer |
//! | GET DELETE POST | `/tenants/{tenant}/jobs`, `…/jobs/{id}`, `…/jobs/{id}/retry`, `…/jobs/{id}/cancel` | viewer; developer to change |
//! | GET | `…/jobs/summary`, `…/jobs/export` | viewer; developer to export |
//! | POST DELETE | `…/plugins/{plugin}/jobs/pause`, `…/plugins/{plugin}/jobs/{job}/pause` | developer |
//! | GET DELETE POST | `/tenants/{tenant}/dead-letters`, `…/dead-letters/retry` | viewer; developer to change |
//! | GET POST | `/tenants/{tenant}/schedules`, `…/plugins/{plugin}/schedules/{schedule}/run` | viewer; developer to run |
//! | GET POST PATCH DELETE | `/tenants/{tenant}/webhooks/endpoints`, `…/endpoints/{endpoint}` | developer; owner to change |
//! | POST | `…/endpoints/{endpoint}/rotate`, `…/test`, `…/replay` | owner to rotate; developer |
//! | GET DELETE POST | `/tenants/{tenant}/webhooks/deliveries`, `…/deliveries/{delivery}`, `…/replay`, `…/export` | developer |
//! | GET DELETE POST | `/tenants/{tenant}/mail`, `…/mail/{mail}`, `…/mail/{mail}/resend` | viewer; developer to change |
//! | GET | `…/mail/search`, `…/mail/export`, `…/mail/{mail}/source`, `…/text`, `…/html` | developer |
//! | GET POST PUT DELETE | `…/mail/suppressions`, `…/mail/suppressions/{address}`, `…/mail/failures` | developer |
//! | GET PUT DELETE | `…/mail/sender-domains`, `…/mail/smtp` | viewer; operator, owner to change |
//! | GET | `/tenants/{tenant}/webhooks`, `…/webhooks/received` | viewer |
//! | GET DELETE POST | `…/webhooks/received/{received}`, `…/received/{received}/replay` | viewer; developer to change |
//! | GET | `/tenants/{tenant}/logs`, also `?follow=true` | viewer |
//! | GET | `/tenants/{tenant}/audit` | viewer |
//! | GET POST DELETE | `/tokens`, `/tokens/{token}` | operator |
//! | GET | `/audit`, `/components`, `/components/audit`, `/node` | operator |
//! | GET | `/metrics` (not under `/api/v1`) | metrics, or operator |
//! | GET | `/-/healthz`, `/-/readyz` (not under `/api/v1`) | none |
//!
//! The OpenAPI document is generated from the handlers and served at `/api/v1/openapi.json`. The
//! page `/docs` shows it. Every change is written to the audit log, and served before the response.

mod access;
mod activations;
mod api_keys;
mod audit;
mod bounds;
mod calls;
mod components;
mod dead_letters;
mod error;
mod input;
mod invocations;
mod jobs;
mod limits;
mod logs;
mod mail;
mod node;
pub mod observer;
mod openapi;
mod page;
mod plans;
mod plugins;
mod schedules;
mod secrets;
mod settings;
pub mod shares;
mod state;
mod tenants;
mod tokens;
mod versions;
mod webhooks;
mod webhooks_out;

#[cfg(test)]
pub(crate) mod tests;

pub use state::{AdminState, JobTasks};

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::http::problem::{self, Problem};

/// Builds the router of the admin API.
pub fn router(state: AdminState) -> Router {
    let (router, document) = routes().split_for_parts();
    let state = Arc::new(state);
    router
        .merge(SwaggerUi::new("/docs").url(openapi::PATH, document))
        .fallback(|| async { Problem::not_found(Resource::Address) })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                Code::MethodNotAllowed,
                "this address has other methods; see `Allow`",
            )
        })
        .with_state(state)
        // Each handler reads its body with a limit of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(finish))
        .layer(from_fn(add_hint))
        .layer(CatchPanicLayer::custom(problem::from_panic))
        .layer(from_fn(problem::render))
}

fn routes() -> OpenApiRouter<Arc<AdminState>> {
    let resources = OpenApiRouter::new()
        .merge(tenants::router())
        .merge(plans::router())
        .merge(limits::router())
        .merge(plugins::router())
        .merge(versions::router())
        .merge(activations::router())
        .merge(settings::router())
        .merge(secrets::router())
        .merge(api_keys::router())
        .merge(tokens::router())
        .merge(invocations::router())
        .merge(calls::router())
        .merge(jobs::router())
        .merge(dead_letters::router())
        .merge(schedules::router())
        .merge(webhooks_out::router())
        .merge(mail::router())
        .merge(webhooks::router())
        .merge(logs::router())
        .merge(audit::router())
        .merge(components::router())
        .merge(node::router());
    let mut routes = OpenApiRouter::with_openapi(openapi::base())
        .nest("/api/v1", resources)
        .merge(node::watch_router());
    openapi::complete(routes.get_openapi_mut());
    routes
}

/// Adds a hint to each problem response. As a layer around all handlers, it cannot be forgotten.
async fn add_hint(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response.extensions_mut().insert(problem.with_hint());
    }
    response
}

/// Runs a change in a task of its own, so that it completes with its audit entry although the
/// caller disconnects. hyper would drop the future of the request.
async fn finish(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => problem::from_panic(panic),
            Err(error) => Problem::internal(error).into_response(),
        },
    }
}
