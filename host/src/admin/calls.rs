//! How often the routes and functions of a plugin were called, day by day.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{TenantAccess, Viewer};
use super::error::invalid;
use super::input::{At, Params};
use super::logs::require_plugin;
use super::page::{Paging, limit};
use super::state::AdminState;
use crate::domain::clock::{DAY, Timestamp};
use crate::domain::id::PluginName;
use crate::http::problem::Problem;
use crate::storage::{CallFilter, Caller, CountedCalls};
use crate::wire::calls::CallsView;
use crate::wire::page::Items;

/// Days that are shown by default.
const DAYS_SHOWN: u32 = 7;

/// Which calls are wanted. Both ends are widened to whole days (UTC).
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CallQuery {
    /// Of the route with this pattern, such as `/orders/{id}`, or of the function with this
    /// address, such as `/-/functions/price.adjust`.
    route: Option<String>,
    /// The first moment; a week before `to` by default.
    from: Option<Timestamp>,
    /// The first moment that no longer counts; now by default.
    to: Option<Timestamp>,
    /// `next` of the page before; none for the first page.
    cursor: Option<String>,
    /// Items of a page: 1 to 200; 50 by default.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// Counts the calls of a plugin by day, method, route and caller, the oldest first. Counts are kept
/// for 35 days, also if the records of the invocations are deleted earlier.
#[utoipa::path(get, path = "/tenants/{tenant}/plugins/{plugin}/calls", tag = "invocations", params(CallQuery),
    responses((status = 200, body = Items<CallsView>)), security(("token" = ["viewer"])))]
async fn calls(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    Params(query): Params<CallQuery>,
) -> Result<Json<Items<CallsView>>, Problem> {
    let paging = Paging {
        cursor: query.cursor,
        limit: query.limit,
    };
    let page = paging.page()?;
    let to = query.to.unwrap_or_else(|| state.clock.now());
    let from = query.from.unwrap_or(to.saturating_sub(DAYS_SHOWN * DAY));
    if from >= to {
        return Err(invalid("from: it must lie before `to`"));
    }
    let filter = CallFilter {
        plugin,
        route: query.route,
        from: from.beginning_of(DAY),
        to,
    };
    let found = state.db.calls(access.tenant.id, &filter, page.clone()).await?;
    if found.is_empty() && page.after.is_none() {
        require_plugin(&state, access.tenant.id, Some(&filter.plugin)).await?;
    }
    Ok(Json(Items::new(
        found,
        &page,
        CountedCalls::position,
        CallsView::from,
    )))
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new().routes(routes!(calls))
}

impl From<CountedCalls> for CallsView {
    fn from(counted: CountedCalls) -> Self {
        let CountedCalls {
            day,
            method,
            route,
            caller,
            calls,
        } = counted;
        Self {
            day,
            method,
            route,
            caller: match caller {
                Caller::Anyone => None,
                Caller::Principal(_) | Caller::Others => Some(caller.to_string()),
            },
            invocations: calls.invocations,
            failures: calls.failures,
        }
    }
}
