//! Serves the host's own paths below a tenant: `/{tenant}/-/…`. No plugin can have the name `-`.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use axum::http::request::Parts;

use super::path::PluginPath;
use super::{Gateway, webhooks};
use crate::domain::problem::Code;
use crate::http::problem::Problem;

/// The segment below which the host's paths are.
pub const HOST: &str = "-";

/// Serves a request for a path of the host.
pub async fn serve(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: Body,
    path: &PluginPath<'_>,
) -> Result<Response<Body>, Problem> {
    let below = path.rest.strip_prefix('/').unwrap_or_default();
    match below.split_once('/') {
        Some(("webhooks", below)) => webhooks::receive(gateway, parts, body, &path.tenant, below).await,
        _ => Err(Problem::new(
            Code::NotFound,
            "there is no such address below `/-/`",
        )),
    }
}
