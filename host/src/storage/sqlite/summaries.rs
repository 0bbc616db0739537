//! Summaries of blocks: the paths, statuses, principals and earliest start of their records. A
//! query only reads blocks whose summaries may match.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::blocks::Block;
use super::unavailable;
use crate::domain::function;
use crate::domain::job;
use crate::domain::principal::PrincipalId;
use crate::storage::{DbError, InvocationFilter, StatusFilter};

/// Adds the summaries of new blocks.
pub(super) async fn insert(connection: &mut SqliteConnection, blocks: &[Block<'_>]) -> Result<(), DbError> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO block_summaries (tenant, last_id, first_id, started_first, routes, statuses, principals) ",
    );
    query.push_values(blocks, |mut values, block| {
        let started_first = block.records().map(|record| record.started_at.0).min();
        let routes: BTreeSet<Arc<str>> = block.records().map(|record| record.triggered.path()).collect();
        let statuses: BTreeSet<u16> = block.records().map(|record| record.status).collect();
        let principals = block.records().filter_map(|record| record.principal);
        let principals: BTreeSet<[u8; 4]> = principals.map(hash).collect();
        values
            .push_bind(block.first().tenant.to_string())
            .push_bind(block.last().id.to_string())
            .push_bind(block.first().id.to_string())
            .push_bind(started_first)
            .push_bind(between('\n', routes))
            .push_bind(between(',', statuses))
            .push_bind(principals.into_iter().flatten().collect::<Vec<u8>>());
    });
    // Statements with several rows differ in their number of rows, so they are not cached.
    let query = query.build().persistent(blocks.len() == 1);
    query.execute(connection).await.map_err(unavailable)?;
    Ok(())
}

/// Excludes blocks `b` without matching records, according to their summaries `s`.
pub(super) fn push_wanted(query: &mut QueryBuilder<Sqlite>, filter: &InvocationFilter) {
    query.push(" AND (s.tenant IS NULL OR (TRUE");
    if let Some(until) = filter.until {
        query.push(" AND s.started_first < ").push_bind(until.0);
    }
    let function = filter.function.as_ref().map(function::path);
    let job = filter.job.as_ref().map(job::path);
    for path in filter.route.iter().chain(&function).chain(&job) {
        query
            .push(" AND instr(s.routes, ")
            .push_bind(format!("\n{path}\n"))
            .push(") > 0");
    }
    if let Some(status) = filter.status {
        let wanted = match status {
            StatusFilter::Exactly(status) => format!(",{status},"),
            StatusFilter::Class(class) => format!(",{class}"),
        };
        query
            .push(" AND instr(s.statuses, ")
            .push_bind(wanted)
            .push(") > 0");
    }
    if let Some(principal) = filter.principal {
        // The bytes may also match across two hashes. Then a block is read unnecessarily.
        let wanted = hash(principal).to_vec();
        query
            .push(" AND instr(s.principals, ")
            .push_bind(wanted)
            .push(") > 0");
    }
    query.push("))");
}

/// Joins values with a separator before, between and after them.
fn between(separator: char, values: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let mut text = String::from(separator);
    for value in values {
        text.push_str(&value.to_string());
        text.push(separator);
    }
    text
}

fn hash(principal: PrincipalId) -> [u8; 4] {
    let hash = blake3::hash(principal.to_string().as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_between_separators() {
        assert_eq!(between(',', [200, 404]), ",200,404,");
        assert_eq!(between('\n', ["/a"]), "\n/a\n");
    }
}
