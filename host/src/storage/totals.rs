//! Totals of invocations: usage by hour, and calls of routes by day.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::Method;

use crate::domain::clock::{DAY, HOUR, Timestamp};
use crate::domain::id::{PluginName, TenantId};
use crate::domain::invocation::{InvocationRecord, UsageSum};
use crate::domain::principal::PrincipalId;

/// What is added up of some invocations.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// The usage by hour.
    pub usage: HourlyUsage,
    /// The calls by day.
    pub calls: DailyCalls,
}

/// The usage of the plugins of all tenants, by hour.
#[derive(Clone, Debug, Default)]
pub struct HourlyUsage(BTreeMap<(TenantId, Timestamp, PluginName), UsageSum>);

/// The calls of each route and caller, by day (UTC).
#[derive(Clone, Debug, Default)]
pub struct DailyCalls(HashMap<RouteDay, Calls>);

/// A route, a caller and a day.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteDay {
    /// The tenant.
    pub tenant: TenantId,
    /// The beginning of the day.
    pub day: Timestamp,
    /// The plugin.
    pub plugin: PluginName,
    /// The method of the requests.
    pub method: Method,
    /// The route that matched.
    pub route: Arc<str>,
    /// The caller, if it is known.
    pub principal: Option<PrincipalId>,
}

/// Counts of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Number of invocations.
    pub invocations: u64,
    /// Number of failures: see [`InvocationRecord::has_failed`].
    pub failures: u64,
}

impl Totals {
    /// Adds an invocation to the hour and the day in which it began.
    pub fn add(&mut self, record: &InvocationRecord) {
        self.usage.add(record);
        self.calls.add(record);
    }

    /// Adds other totals.
    pub fn merge(&mut self, other: Self) {
        self.usage.merge(other.usage);
        self.calls.merge(other.calls);
    }

    /// Whether there are no invocations.
    pub fn is_empty(&self) -> bool {
        self.usage.is_empty()
    }
}

impl HourlyUsage {
    fn add(&mut self, record: &InvocationRecord) {
        let hour = record.started_at.beginning_of(HOUR);
        let sum = || UsageSum::none(record.plugin.clone());
        self.0
            .entry((record.tenant, hour, record.plugin.clone()))
            .or_insert_with(sum)
            .add(record);
    }

    fn merge(&mut self, other: Self) {
        for (key, sum) in other.0 {
            match self.0.entry(key) {
                Place::Vacant(vacant) => drop(vacant.insert(sum)),
                Place::Occupied(mut known) => known.get_mut().merge(&sum),
            }
        }
    }

    /// The sum of each tenant, hour and plugin. The hour is given by its beginning.
    pub fn sums(&self) -> impl Iterator<Item = (TenantId, Timestamp, &UsageSum)> {
        self.0
            .iter()
            .map(|((tenant, hour, _), sum)| (*tenant, *hour, sum))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl DailyCalls {
    fn add(&mut self, record: &InvocationRecord) {
        // Nobody calls a job.
        let Some(method) = record.triggered.called_with() else {
            return;
        };
        let key = RouteDay {
            tenant: record.tenant,
            day: record.started_at.beginning_of(DAY),
            plugin: record.plugin.clone(),
            method,
            route: record.triggered.path(),
            principal: record.principal,
        };
        self.0.entry(key).or_default().merge(Calls {
            invocations: 1,
            failures: u64::from(record.has_failed()),
        });
    }

    fn merge(&mut self, other: Self) {
        for (key, calls) in other.0 {
            self.0.entry(key).or_default().merge(calls);
        }
    }

    /// The counts of each route, caller and day.
    pub fn calls(&self) -> impl Iterator<Item = (&RouteDay, Calls)> {
        self.0.iter().map(|(key, calls)| (key, *calls))
    }
}

impl Calls {
    /// Adds other counts.
    pub fn merge(&mut self, other: Self) {
        self.invocations += other.invocations;
        self.failures += other.failures;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::invocation::Usage;
    use crate::storage::conformance::entry;

    #[test]
    fn sums_that_are_merged_have_everything_twice() {
        let Ok(Value::Object(mut used)) = serde_json::to_value(Usage::default()) else {
            panic!("usage is an object");
        };
        used.values_mut().for_each(|figure| *figure = 3.into());
        let mut record = entry(TenantId::generate(), "orders", 1, &[]).record;
        record.usage = serde_json::from_value(used.into()).unwrap();
        record.code = Some("plugin-trapped".into());
        let mut once = Totals::default();
        once.add(&record);
        let mut twice = once.clone();
        twice.merge(once.clone());
        let figures = |totals: &Totals| -> Vec<u64> {
            let (.., sum) = totals.usage.sums().next().unwrap();
            sum.numbers().collect()
        };
        let doubled: Vec<u64> = figures(&once).iter().map(|figure| 2 * figure).collect();
        assert_eq!(figures(&twice), doubled);
        assert!(doubled.iter().all(|figure| *figure > 0), "{doubled:?}");
        let calls: Vec<Calls> = twice.calls.calls().map(|(_, calls)| calls).collect();
        let both = Calls {
            invocations: 2,
            failures: 2,
        };
        assert_eq!(calls, [both]);
    }
}
