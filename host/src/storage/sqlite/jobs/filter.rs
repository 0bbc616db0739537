//! Statements for the jobs that a filter names, among the live ones and among those that ended.

use sqlx::{QueryBuilder, Sqlite};

use crate::domain::id::TenantId;
use crate::domain::job::JobState;
use crate::storage::JobFilter;

/// Which of the two tables of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// `jobs`.
    Live,
    /// `jobs_ended`.
    Past,
}

impl Table {
    /// Both tables.
    pub const BOTH: [Self; 2] = [Self::Live, Self::Past];

    fn has(self, state: JobState) -> bool {
        state.is_live() == (self == Self::Live)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Live => "jobs",
            Self::Past => "jobs_ended",
        }
    }
}

/// Begins a statement for a tenant's jobs in a table. `None` if none of them can match. More
/// conditions and the order may be added.
pub(super) fn select(table: Table, tenant: TenantId, filter: &JobFilter) -> Option<QueryBuilder<Sqlite>> {
    let states: Vec<_> = filter.states.iter().filter(|state| table.has(**state)).collect();
    if states.is_empty() && !filter.states.is_empty() {
        return None;
    }
    let mut query = QueryBuilder::new(format!("SELECT * FROM {} WHERE tenant = ", table.name()));
    query.push_bind(tenant.to_string());
    if let Some(plugin) = &filter.plugin {
        query.push(" AND plugin = ").push_bind(plugin.to_string());
    }
    if let Some(name) = &filter.name {
        query.push(" AND name = ").push_bind(name.to_string());
    }
    if let Some(from) = filter.from {
        query.push(" AND created_at >= ").push_bind(from.0);
    }
    if let Some(to) = filter.to {
        query.push(" AND created_at < ").push_bind(to.0);
    }
    if !states.is_empty() {
        query.push(" AND state IN (");
        let mut list = query.separated(", ");
        for state in states {
            list.push_bind(state.as_str());
        }
        query.push(")");
    }
    Some(query)
}
