//! Endpoints of the admin API for outbound webhooks: where they go, and what became of them.

mod deliveries;
mod endpoints;
mod export;
mod replay;
mod secrets;
mod selection;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Right, TenantAccess};
use super::state::AdminState;
use crate::capability::jobs::QueueError;
use crate::domain::id::EndpointId;
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::domain::webhook_out::Endpoint;
use crate::http::hint::Hint;
use crate::http::problem::Problem;

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(endpoints::list_endpoints, endpoints::create_endpoint))
        .routes(routes!(
            endpoints::get_endpoint,
            endpoints::change_endpoint,
            endpoints::delete_endpoint
        ))
        .routes(routes!(secrets::rotate_secret))
        .routes(routes!(replay::test_endpoint))
        .routes(routes!(replay::replay_endpoint))
        .routes(routes!(
            deliveries::list_deliveries,
            deliveries::delete_deliveries
        ))
        .routes(routes!(export::export_deliveries))
        .routes(routes!(deliveries::get_delivery))
        .routes(routes!(replay::replay_delivery))
}

/// An endpoint of the tenant.
async fn known<R: Right>(
    state: &AdminState,
    access: &TenantAccess<R>,
    id: EndpointId,
) -> Result<Endpoint, Problem> {
    let found = state.db.endpoint(access.tenant.id, id).await?;
    found.ok_or_else(|| Problem::not_found(Resource::Endpoint))
}

/// The problem for jobs that cannot be added.
fn not_added(error: QueueError) -> Problem {
    match error {
        QueueError::Full { .. } => Problem::new(Code::Conflict, error.to_string()).hint(Hint::BacklogFull),
        QueueError::Unavailable => Problem::unavailable(error),
    }
}
