//! The host calls of the database. Those of a transaction that do more than SQL are in
//! `effects.rs`.

use std::sync::Arc;

use tokio::time::Instant;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::super::bindings::types::Content;
use super::super::bindings::{v0_1, v0_2};
use super::super::jobs::JobQueue;
use super::super::{HasCapabilities, Invocation, unavailable};
use super::{
    Answer, Cursor, DatabaseError, DatabaseState, Rows, Statement, Transaction, Value, Want, rows_weight,
};
use crate::domain::units::{as_u64, microseconds};

/// The part of the invocation that the database may use.
pub struct DatabaseView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
    /// The database session of this invocation.
    pub state: &'a mut DatabaseState,
    /// Holds the open transactions and cursors.
    pub table: &'a mut ResourceTable,
    /// The job queue.
    pub jobs: &'a Arc<dyn JobQueue>,
}

struct Database;

impl HasData for Database {
    type Data<'a> = DatabaseView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::database::add_to_linker::<T, Database>(linker, view)?;
    v0_2::database::add_to_linker::<T, Database>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> DatabaseView<'_> {
    let state = data.capabilities();
    let make = || DatabaseState::new(state.services.databases.clone(), &state.invocation);
    DatabaseView {
        state: state.database.get_or_insert_with(make),
        invocation: &mut state.invocation,
        table: &mut state.table,
        jobs: &state.services.jobs,
    }
}

/// The result of a host call with the error type of the contract.
pub(super) type Answered<T, E> = wasmtime::Result<Result<T, E>>;

impl DatabaseView<'_> {
    /// Counts a host call and checks the grant. Every call does this first.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), DatabaseError> {
        self.invocation
            .charge_host_call(bytes)
            .map_err(|error| DatabaseError::Limit(error.to_string()))?;
        if !self.invocation.active.grants.database {
            return Err(DatabaseError::Unavailable(format!(
                "the plugin `{}` has no grant for the database; add [database] to the manifest and grant it",
                self.invocation.active.plugin
            )));
        }
        Ok(())
    }

    fn charge_statement(&mut self, statement: &Statement) -> Result<(), DatabaseError> {
        self.charge(statement.bytes())?;
        let allowed = self.invocation.limits().sql_statements;
        if self.invocation.usage.sql_statements >= allowed {
            return Err(DatabaseError::Limit(format!(
                "this invocation has run its {allowed} SQL statements"
            )));
        }
        self.invocation.usage.sql_statements += 1;
        Ok(())
    }

    fn count_rows(&mut self, rows: &[Vec<Value>]) {
        let (count, bytes) = (as_u64(rows.len()), as_u64(rows_weight(rows)));
        let usage = &mut self.invocation.usage;
        usage.sql_rows = usage.sql_rows.saturating_add(count);
        usage.sql_result_rows = usage.sql_result_rows.max(count);
        usage.sql_bytes = usage.sql_bytes.saturating_add(bytes);
        usage.sql_result_bytes = usage.sql_result_bytes.max(bytes);
    }

    /// Records the time and the memory of a call that ran SQL.
    pub(super) fn count_time(&mut self, began: Instant) {
        let took = microseconds(began.elapsed());
        let size = self.state.session().size();
        let usage = &mut self.invocation.usage;
        usage.sql_us = usage.sql_us.saturating_add(took);
        usage.sql_statement_us = usage.sql_statement_us.max(took);
        usage.database_bytes = size.stored;
        usage.sql_memory_bytes = usage.sql_memory_bytes.max(size.memory);
    }

    async fn run(&mut self, sql: String, params: Vec<Value>, want: Want) -> Result<Answer, DatabaseError> {
        let statement = Statement { sql, params };
        self.charge_statement(&statement)?;
        let began = Instant::now();
        let answer = self.state.session().run(statement, want).await;
        self.count_time(began);
        answer
    }

    async fn run_in(
        &mut self,
        transaction: &Resource<Transaction>,
        sql: String,
        params: Vec<Value>,
        want: Want,
    ) -> wasmtime::Result<Result<Answer, DatabaseError>> {
        let statement = Statement { sql, params };
        if let Err(error) = self.charge_statement(&statement) {
            return Ok(Err(error));
        }
        let began = Instant::now();
        let transaction = self.table.get_mut(transaction)?;
        let answer = transaction.run(statement, want).await;
        self.count_time(began);
        Ok(answer)
    }

    async fn begun(&mut self) -> Result<Resource<Transaction>, DatabaseError> {
        self.charge(0)?;
        let transaction = self.state.session().begin().await?;
        Ok(self.invocation.hold(self.table, transaction)?)
    }

    async fn opened(&mut self, sql: String, params: Vec<Value>) -> Result<Resource<Cursor>, DatabaseError> {
        let statement = Statement { sql, params };
        self.charge_statement(&statement)?;
        let began = Instant::now();
        let cursor = self.state.session().open(statement).await;
        self.count_time(began);
        Ok(self.invocation.hold(self.table, cursor?)?)
    }

    fn rows_of(&mut self, answer: Result<Answer, DatabaseError>) -> Result<Rows, DatabaseError> {
        match answer? {
            Answer::Rows(rows) => {
                self.count_rows(&rows.rows);
                Ok(rows)
            }
            Answer::Changed(_) => Ok(Rows {
                columns: Vec::new(),
                rows: Vec::new(),
            }),
        }
    }
}

fn count_of(answer: Result<Answer, DatabaseError>) -> Result<u64, DatabaseError> {
    match answer? {
        Answer::Changed(count) => Ok(count),
        Answer::Rows(_) => Ok(0),
    }
}

/// Converts values from one version of the contract to another.
fn values<A, B: From<A>>(values: Vec<A>) -> Vec<B> {
    values.into_iter().map(B::from).collect()
}

macro_rules! serve {
    ($contract:ident, published: $published:ty = $convert:path, newer: { $($newer:tt)* }) => {
        impl $contract::database::Host for DatabaseView<'_> {
            async fn query(
                &mut self,
                sql: String,
                params: Vec<$contract::database::Value>,
            ) -> Answered<$contract::database::Rows, $contract::database::Error> {
                self.invocation.last_calls.note("db.query");
                let answer = self.run(sql, values(params), Want::Rows).await;
                Ok(self.rows_of(answer).map(Into::into).map_err(Into::into))
            }

            async fn execute(
                &mut self,
                sql: String,
                params: Vec<$contract::database::Value>,
            ) -> Answered<u64, $contract::database::Error> {
                self.invocation.last_calls.note("db.execute");
                let answer = self.run(sql, values(params), Want::Count).await;
                Ok(count_of(answer).map_err(Into::into))
            }

            async fn begin(&mut self) -> Answered<Resource<Transaction>, $contract::database::Error> {
                self.invocation.last_calls.note("db.begin");
                Ok(self.begun().await.map_err(Into::into))
            }

            async fn open(
                &mut self,
                sql: String,
                params: Vec<$contract::database::Value>,
            ) -> Answered<Resource<Cursor>, $contract::database::Error> {
                self.invocation.last_calls.note("db.open");
                Ok(self.opened(sql, values(params)).await.map_err(Into::into))
            }
        }

        impl $contract::database::HostTransaction for DatabaseView<'_> {
            async fn query(
                &mut self,
                transaction: Resource<Transaction>,
                sql: String,
                params: Vec<$contract::database::Value>,
            ) -> Answered<$contract::database::Rows, $contract::database::Error> {
                self.invocation.last_calls.note("db.query");
                let answer = self
                    .run_in(&transaction, sql, values(params), Want::Rows)
                    .await?;
                Ok(self.rows_of(answer).map(Into::into).map_err(Into::into))
            }

            async fn execute(
                &mut self,
                transaction: Resource<Transaction>,
                sql: String,
                params: Vec<$contract::database::Value>,
            ) -> Answered<u64, $contract::database::Error> {
                self.invocation.last_calls.note("db.execute");
                let answer = self
                    .run_in(&transaction, sql, values(params), Want::Count)
                    .await?;
                Ok(count_of(answer).map_err(Into::into))
            }

            async fn enqueue(
                &mut self,
                transaction: Resource<Transaction>,
                job: $contract::jobs::NewJob,
            ) -> Answered<String, $contract::database::Error> {
                self.invocation.last_calls.note("db.enqueue");
                let added = self.enqueue_in(&transaction, job.into()).await?;
                Ok(added.map_err(Into::into))
            }

            async fn publish(
                &mut self,
                transaction: Resource<Transaction>,
                topic: String,
                payload: String,
            ) -> Answered<$published, $contract::database::Error> {
                self.invocation.last_calls.note("db.publish");
                let published = self.publish_in(&transaction, &topic, payload).await?;
                Ok(published.map($convert).map_err(Into::into))
            }

            $($newer)*

            async fn commit(
                &mut self,
                transaction: Resource<Transaction>,
            ) -> Answered<(), $contract::database::Error> {
                self.invocation.last_calls.note("db.commit");
                Ok(self.commit_in(&transaction).await?.map_err(Into::into))
            }

            async fn rollback(
                &mut self,
                transaction: Resource<Transaction>,
            ) -> Answered<(), $contract::database::Error> {
                self.invocation.last_calls.note("db.rollback");
                if let Err(error) = self.charge(0) {
                    return Ok(Err(error.into()));
                }
                let transaction = self.table.get_mut(&transaction)?;
                Ok(transaction.rollback().await.map_err(Into::into))
            }

            async fn drop(&mut self, transaction: Resource<Transaction>) -> wasmtime::Result<()> {
                self.invocation.release(self.table, transaction)?;
                Ok(())
            }
        }

        impl $contract::database::HostCursor for DatabaseView<'_> {
            async fn columns(&mut self, cursor: Resource<Cursor>) -> wasmtime::Result<Vec<String>> {
                self.invocation.charge_host_call(0)?;
                Ok(self.table.get(&cursor)?.columns().to_vec())
            }

            async fn next(
                &mut self,
                cursor: Resource<Cursor>,
                max: u32,
            ) -> Answered<Vec<Vec<$contract::database::Value>>, $contract::database::Error> {
                self.invocation.last_calls.note("db.next");
                if let Err(error) = self.charge(0) {
                    return Ok(Err(error.into()));
                }
                // The guest chooses `max`. Zero rows would look like the end, and the upper bound
                // is the one of any result.
                let max =
                    usize::try_from(max.clamp(1, self.invocation.limits().sql_rows.max(1))).unwrap_or(1);
                let began = Instant::now();
                let result = self.table.get_mut(&cursor)?.next(max).await;
                self.count_time(began);
                if let Ok(rows) = &result {
                    self.count_rows(rows);
                }
                Ok(result
                    .map(|rows| rows.into_iter().map(values).collect())
                    .map_err(Into::into))
            }

            async fn drop(&mut self, cursor: Resource<Cursor>) -> wasmtime::Result<()> {
                self.invocation.release(self.table, cursor)?;
                Ok(())
            }
        }

        impl From<DatabaseError> for $contract::database::Error {
            fn from(error: DatabaseError) -> Self {
                match error {
                    DatabaseError::Constraint { kind, name } => {
                        Self::Constraint($contract::database::ConstraintViolation {
                            kind: kind.into(),
                            name,
                        })
                    }
                    DatabaseError::Invalid(message) => Self::Invalid(message),
                    DatabaseError::Conflict(message) => Self::Conflict(message),
                    DatabaseError::Denied(message) => Self::Denied(message),
                    DatabaseError::Limit(message) => Self::Limit(message),
                    DatabaseError::Unavailable(message) => Self::Unavailable(message),
                }
            }
        }
    };
}

serve!(v0_1, published: () = drop, newer: {});
serve!(v0_2, published: String = std::convert::identity, newer: {
    async fn publish_live(
        &mut self,
        transaction: Resource<Transaction>,
        _: String,
        _: Content,
    ) -> Answered<(), v0_2::database::Error> {
        self.invocation.last_calls.note("db.publish_live");
        let charged = self.charge_in(&transaction, 0)?;
        let refused = charged.err().unwrap_or_else(|| {
            DatabaseError::Unavailable(unavailable::message("realtime"))
        });
        Ok(Err(refused.into()))
    }

    async fn complete(
        &mut self,
        transaction: Resource<Transaction>,
    ) -> Answered<(), v0_2::database::Error> {
        self.invocation.last_calls.note("db.complete");
        Ok(self.complete_in(&transaction).await?.map_err(Into::into))
    }

    async fn store_step(
        &mut self,
        transaction: Resource<Transaction>,
        name: String,
        result: String,
    ) -> Answered<(), v0_2::database::Error> {
        self.invocation.last_calls.note("db.store_step");
        let stored = self.store_step_in(&transaction, name, result).await?;
        Ok(stored.map_err(Into::into))
    }
});
