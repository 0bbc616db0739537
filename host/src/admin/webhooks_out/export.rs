//! The export of a tenant's deliveries, one JSON object per line.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use super::super::access::{Developer, TenantAccess};
use super::super::input::Params;
use super::super::state::AdminState;
use super::deliveries::detail;
use super::selection::DeliverySelection;
use crate::domain::id::TenantId;
use crate::domain::problem::Code;
use crate::http::problem::Problem;
use crate::storage::{DbError, DeliveryFilter, DeliveryPosition, Page};
use crate::tenants::budget::{Charge, Exhausted};
use crate::wire::webhooks_out::DeliveryDetail;

const MEDIA_TYPE: &str = "application/x-ndjson";

/// Deliveries that are in memory at once, with their bodies.
const AT_ONCE: u32 = 20;

/// `Retry-After` if too many exports run.
const RETRY: Duration = Duration::from_secs(5);

/// The state of an export.
struct Export {
    state: Arc<AdminState>,
    tenant: TenantId,
    filter: DeliveryFilter,
    /// The last delivery that was written.
    after: Option<DeliveryPosition>,
    /// Whether deliveries may be left.
    more: bool,
    _held: Charge,
}

/// Exports deliveries with bodies and attempts, the newest first: one JSON object per line, each in
/// the form of `GET …/deliveries/{delivery}`. Without a filter, all of the tenant. The body ends
/// early if the database fails.
#[utoipa::path(get, path = "/tenants/{tenant}/webhooks/deliveries/export", tag = "webhooks",
    params(DeliverySelection),
    responses((status = 200, body = DeliveryDetail, content_type = "application/x-ndjson")),
    security(("token" = ["developer"])))]
pub async fn export_deliveries(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    Params(selection): Params<DeliverySelection>,
) -> Result<Response, Problem> {
    let filter = selection.read()?;
    let held = state.shares.of(access.holder).exports.charge(1);
    let held = held.map_err(|exhausted| {
        let detail = match exhausted {
            Exhausted::Tenant => {
                "the tenant or the operator's token has as many exports under way as allowed"
            }
            Exhausted::Shared => "this host has as many exports under way as allowed",
        };
        Problem::new(Code::Overloaded, detail).retry_after(RETRY)
    })?;
    let mut export = Export {
        tenant: access.tenant.id,
        state,
        filter,
        after: None,
        more: true,
        _held: held,
    };
    // The first lines are read before the response begins, so that a failure is still a problem.
    let first = export.next().await?;
    let rest = stream::try_unfold((Some(first), export), |(first, mut export)| async move {
        let lines = match first {
            Some(first) => first,
            None if export.more => export.next().await?,
            None => return Ok::<_, DbError>(None),
        };
        Ok(Some((Bytes::from(lines), (None, export))))
    });
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], Body::from_stream(rest)).into_response())
}

impl Export {
    /// The next lines.
    async fn next(&mut self) -> Result<Vec<u8>, DbError> {
        let page = Page {
            after: self.after,
            limit: AT_ONCE,
        };
        let db = self.state.db.clone();
        let listed = db.deliveries(self.tenant, &self.filter, page).await?;
        self.more = listed.len() >= usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
        self.after = listed.last().map(|last| DeliveryPosition(last.id)).or(self.after);
        let mut lines = Vec::new();
        for delivery in listed {
            // The delivery may have been deleted meanwhile.
            let Some(detail) = detail(&*db, self.tenant, delivery.id).await? else {
                continue;
            };
            // Views always have a JSON form, which has no line breaks.
            serde_json::to_writer(&mut lines, &detail)
                .map_err(|error| DbError::corrupt("webhook_deliveries", error))?;
            lines.push(b'\n');
        }
        Ok(lines)
    }
}
