//! The rotation of the secrets of endpoints.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::super::access::{Owner, TenantAccess};
use super::super::error::invalid;
use super::super::input::{At, Input, NoParams};
use super::super::state::AdminState;
use super::known;
use crate::domain::audit::Difference;
use crate::domain::id::EndpointId;
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::domain::webhook_out::MOST_SECRETS;
use crate::http::problem::Problem;
use crate::storage::secret_name;
use crate::webhooks_out::SigningSecret;
use crate::wire::webhooks_out::{RotatedSecret, SecretRotation};

/// The longest time for which a former secret signs.
const LONGEST_GRACE: Duration = Duration::from_secs(720 * 60 * 60);

/// Replaces the secret of an endpoint. The former one signs beside it until the grace period ends.
/// Only this response contains the new secret.
#[utoipa::path(post, path = "/tenants/{tenant}/webhooks/endpoints/{endpoint}/rotate", tag = "webhooks",
    request_body = SecretRotation,
    responses((status = 200, body = RotatedSecret)), security(("token" = ["owner"])))]
pub async fn rotate_secret(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<EndpointId>,
    Input(input): Input<SecretRotation>,
) -> Result<Json<RotatedSecret>, Problem> {
    let tenant = access.tenant.id;
    if input.grace.0 > LONGEST_GRACE {
        return Err(invalid("grace: at most 720h"));
    }
    let secret = signing_secret(input.secret.as_deref())?.reveal();
    known(&state, &access, id).await?;
    let now = state.clock.now();
    let valid = state.db.endpoint_secrets(tenant, id, now).await?;
    if valid.len() >= MOST_SECRETS {
        let detail =
            format!("the endpoint has {MOST_SECRETS} secrets that sign; wait until the oldest has expired");
        return Err(Problem::new(Code::Conflict, detail));
    }
    let sealed = state.vault.seal(tenant, &secret_name(id), &secret)?;
    let former_until = now.saturating_add(input.grace.0);
    let change = state.change(&access.actor, "webhook.endpoint.rotate", id.to_string());
    let change = change.with(Difference::made(&json!({ "former_until": former_until })));
    let rotated = state
        .db
        .rotate_secret(tenant, id, &sealed, former_until, &change)
        .await?;
    if !rotated {
        return Err(Problem::not_found(Resource::Endpoint));
    }
    Ok(Json(RotatedSecret {
        secret: secret.expose_secret().to_owned(),
        former_until,
    }))
}

/// The secret that the caller chose, or a new one.
pub fn signing_secret(text: Option<&str>) -> Result<SigningSecret, Problem> {
    match text {
        Some(text) => SigningSecret::parse(text).map_err(|error| invalid(format!("secret: {error}"))),
        None => SigningSecret::generate().map_err(Problem::internal),
    }
}
