//! Query parameters that say which deliveries are meant.

use serde::Deserialize;
use utoipa::IntoParams;

use super::super::error::invalid;
use super::super::page::{Paging, limit};
use crate::domain::clock::Timestamp;
use crate::domain::event::Topic;
use crate::domain::id::EndpointId;
use crate::domain::webhook_out::DeliveryState;
use crate::http::problem::Problem;
use crate::storage::DeliveryFilter;

/// Which deliveries are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveryQuery {
    /// Deliveries to this endpoint.
    endpoint: Option<EndpointId>,
    /// Deliveries in this state.
    state: Option<DeliveryState>,
    /// Deliveries of events with this topic.
    #[param(value_type = Option<String>)]
    topic: Option<Topic>,
    /// Deliveries that were added at this time or later.
    from: Option<Timestamp>,
    /// Deliveries that were added before this time.
    to: Option<Timestamp>,
    /// `next` of the previous page; absent for the first page.
    cursor: Option<String>,
    /// Items per page: 1 to 200; 50 by default.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// Which deliveries are exported or deleted: all of the tenant without a filter.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliverySelection {
    /// Deliveries to this endpoint.
    endpoint: Option<EndpointId>,
    /// Deliveries in this state.
    state: Option<DeliveryState>,
    /// Deliveries of events with this topic.
    #[param(value_type = Option<String>)]
    topic: Option<Topic>,
    /// Deliveries that were added at this time or later.
    from: Option<Timestamp>,
    /// Deliveries that were added before this time.
    to: Option<Timestamp>,
}

/// Which deliveries of an endpoint are replayed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReplaySelection {
    /// Deliveries that were added at this time or later.
    from: Option<Timestamp>,
    /// Deliveries that were added before this time.
    to: Option<Timestamp>,
    /// Whether only deliveries that failed or were cancelled are replayed; `true` by default.
    failed: Option<bool>,
}

impl DeliveryQuery {
    /// The filter and the page.
    pub fn read(self) -> Result<(DeliveryFilter, Paging), Problem> {
        let paging = Paging {
            cursor: self.cursor,
            limit: self.limit,
        };
        let states = self.state.into_iter().collect();
        let filter = filter(self.endpoint, states, self.topic, self.from, self.to)?;
        Ok((filter, paging))
    }
}

impl DeliverySelection {
    /// The filter.
    pub fn read(self) -> Result<DeliveryFilter, Problem> {
        let states = self.state.into_iter().collect();
        filter(self.endpoint, states, self.topic, self.from, self.to)
    }
}

impl ReplaySelection {
    /// The filter for the deliveries of an endpoint.
    pub fn read(self, endpoint: EndpointId) -> Result<DeliveryFilter, Problem> {
        let states = match self.failed.unwrap_or(true) {
            true => vec![DeliveryState::Failed, DeliveryState::Cancelled],
            false => Vec::new(),
        };
        filter(Some(endpoint), states, None, self.from, self.to)
    }
}

fn filter(
    endpoint: Option<EndpointId>,
    states: Vec<DeliveryState>,
    topic: Option<Topic>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<DeliveryFilter, Problem> {
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(invalid("from: it must lie before `to`"));
    }
    Ok(DeliveryFilter {
        endpoint,
        states,
        topic,
        from,
        to,
    })
}

/// A filter as a text for the audit log.
pub fn subject(filter: &DeliveryFilter) -> String {
    let mut parts = Vec::new();
    parts.extend(filter.endpoint.map(|endpoint| format!("endpoint={endpoint}")));
    parts.extend(filter.topic.as_ref().map(|topic| format!("topic={topic}")));
    if !filter.states.is_empty() {
        let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        parts.push(format!("state={}", states.join(",")));
    }
    parts.extend(filter.from.map(|from| format!("from={from}")));
    parts.extend(filter.to.map(|to| format!("to={to}")));
    match parts.is_empty() {
        true => "all".to_owned(),
        false => parts.join(" "),
    }
}

/// The filter without deliveries that are added from `now` on, so that a change of many ends.
pub fn until(filter: DeliveryFilter, now: Timestamp) -> DeliveryFilter {
    let end = Timestamp(now.0.saturating_add(1));
    DeliveryFilter {
        to: Some(filter.to.map_or(end, |to| to.min(end))),
        ..filter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_log_names_the_filter() {
        assert_eq!(subject(&DeliveryFilter::default()), "all");
        let filter = DeliveryFilter {
            topic: Some("order.created".parse().unwrap()),
            states: vec![DeliveryState::Failed, DeliveryState::Cancelled],
            ..until(DeliveryFilter::default(), Timestamp(-1))
        };
        assert_eq!(
            subject(&filter),
            "topic=order.created state=failed,cancelled to=1970-01-01T00:00:00.000Z"
        );
    }
}
