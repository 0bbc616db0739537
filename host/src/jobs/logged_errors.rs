//! Logs a failure of background work once, and not again until the work has succeeded.

use std::collections::HashSet;
use std::error::Error;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::capability::database::DatabaseError;
use crate::causes::with_causes;
use crate::storage::DbError;

/// How long one query of background work may take. A query that takes longer does not keep the
/// other work waiting.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why background work failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    /// The control plane's database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A tenant's database failed.
    #[error("the database of the tenant failed: {0}")]
    Database(#[from] DatabaseError),
    /// The query took too long.
    #[error("a query took longer than {} s and was stopped", QUERY_TIMEOUT.as_secs())]
    TimedOut,
}

/// The kinds of work that fail now.
#[derive(Debug)]
pub(super) struct LoggedErrors<Kind>(Mutex<HashSet<Kind>>);

impl<Kind> Default for LoggedErrors<Kind> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Kind: Eq + Hash + Clone> LoggedErrors<Kind> {
    /// Whether `result` is news that the operator should read: the first failure of this kind of
    /// work since it succeeded. Returns the error with its causes.
    pub fn news<T, E: Error + 'static>(&self, kind: &Kind, result: &Result<T, E>) -> Option<String> {
        // Nothing panics while the lock is held.
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => {
                failing.remove(kind);
                None
            }
            Err(error) => failing.insert(kind.clone()).then(|| with_causes(error)),
        }
    }
}

/// Runs a query for at most [`QUERY_TIMEOUT`].
pub(super) async fn in_time<T, E>(query: impl Future<Output = Result<T, E>>) -> Result<T, WorkError>
where
    WorkError: From<E>,
{
    within(QUERY_TIMEOUT, query).await
}

async fn within<T, E>(limit: Duration, query: impl Future<Output = Result<T, E>>) -> Result<T, WorkError>
where
    WorkError: From<E>,
{
    match tokio::time::timeout(limit, query).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(WorkError::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_until_it_clears() {
        let logged_errors = LoggedErrors::default();
        let fails: Result<(), _> = Err(WorkError::TimedOut);
        assert!(logged_errors.news(&"promote", &fails).is_some());
        assert!(logged_errors.news(&"promote", &fails).is_none());
        assert!(logged_errors.news(&"reap", &fails).is_some());
        assert!(logged_errors.news(&"promote", &Ok::<_, WorkError>(())).is_none());
        assert!(logged_errors.news(&"promote", &fails).is_some());
    }

    #[tokio::test]
    async fn a_query_that_stalls_is_stopped() {
        let stalls = std::future::pending::<Result<(), DbError>>();
        let stopped = within(Duration::from_millis(1), stalls).await;
        assert!(matches!(stopped, Err(WorkError::TimedOut)));
        let fine = std::future::ready(Ok::<_, DbError>(7));
        assert_eq!(in_time(fine).await.unwrap(), 7);
    }
}
