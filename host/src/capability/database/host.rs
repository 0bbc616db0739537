//! The host calls of the database.

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::super::bindings::database;
use super::super::bindings::jobs::NewJob;
use super::super::{HasCapabilities, Invocation, unserved};
use super::{Answer, Cursor, DatabaseError, DatabaseState, Rows, Statement, Transaction, Value, Want};

/// What the database sees of its invocation.
pub struct DatabaseView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
    /// The database as this invocation uses it.
    pub state: &'a mut DatabaseState,
    /// Holds the open transactions and cursors.
    pub table: &'a mut ResourceTable,
}

struct Database;

impl HasData for Database {
    type Data<'a> = DatabaseView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    database::add_to_linker::<T, Database>(linker, |data| {
        let state = data.capabilities();
        DatabaseView {
            invocation: &mut state.invocation,
            state: &mut state.database,
            table: &mut state.table,
        }
    })
}

type Answered<T> = wasmtime::Result<Result<T, database::Error>>;

impl DatabaseView<'_> {
    /// Every call goes through here before it does anything.
    fn charge(&mut self) -> Result<(), DatabaseError> {
        self.invocation
            .charge_host_call()
            .map_err(|error| DatabaseError::Limit(error.to_string()))?;
        if !self.invocation.active.grants.database {
            return Err(DatabaseError::Unavailable(format!(
                "the plugin `{}` has no grant for the database; add [database] to the manifest and grant it",
                self.invocation.active.plugin
            )));
        }
        Ok(())
    }

    fn charge_statement(&mut self) -> Result<(), DatabaseError> {
        self.charge()?;
        let allowed = self.invocation.limits().sql_statements;
        if self.invocation.usage.sql_statements >= allowed {
            return Err(DatabaseError::Limit(format!(
                "this invocation has run its {allowed} SQL statements"
            )));
        }
        self.invocation.usage.sql_statements += 1;
        Ok(())
    }

    fn count_rows(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let rows = &mut self.invocation.usage.sql_rows;
        *rows = rows.saturating_add(count);
    }

    async fn run(&mut self, sql: String, params: Vec<Value>, want: Want) -> Result<Answer, DatabaseError> {
        self.charge_statement()?;
        let statement = Statement { sql, params };
        let may_write = !self.state.is_in_transaction();
        self.state
            .databases
            .run(&self.state.scope, statement, want, may_write)
            .await
    }

    async fn run_in(
        &mut self,
        transaction: &Resource<Transaction>,
        statement: Statement,
        want: Want,
    ) -> wasmtime::Result<Result<Answer, DatabaseError>> {
        let transaction = self.table.get_mut(transaction)?;
        Ok(transaction.run(&self.state.scope, statement, want).await)
    }

    async fn begun(&mut self) -> Result<Transaction, DatabaseError> {
        self.charge()?;
        if self.state.is_in_transaction() {
            return Err(DatabaseError::Invalid(
                "this invocation holds an open transaction already, and a second one would wait for it forever; \
                 commit or drop the first"
                    .to_owned(),
            ));
        }
        let mark = self.state.mark_transaction();
        self.state.databases.begin(&self.state.scope, mark).await
    }

    async fn opened(&mut self, sql: String, params: Vec<Value>) -> Result<Cursor, DatabaseError> {
        self.charge_statement()?;
        let statement = Statement { sql, params };
        self.state.databases.open(&self.state.scope, statement).await
    }

    fn rows_of(&mut self, answer: Result<Answer, DatabaseError>) -> Result<Rows, database::Error> {
        match answer? {
            Answer::Rows(rows) => {
                self.count_rows(rows.rows.len());
                Ok(rows)
            }
            Answer::Changed(_) => Ok(Rows {
                columns: Vec::new(),
                rows: Vec::new(),
            }),
        }
    }

    /// What a transaction does not carry yet, as long as it is open.
    fn unserved<T>(&mut self, transaction: &Resource<Transaction>, what: &str) -> Answered<T> {
        let transaction = self.table.get(transaction)?;
        let open = transaction.check_open();
        let refused = self
            .charge()
            .and(open)
            .err()
            .unwrap_or_else(|| DatabaseError::Unavailable(unserved::message(what)));
        Ok(Err(refused.into()))
    }
}

fn count_of(answer: Result<Answer, DatabaseError>) -> Result<u64, database::Error> {
    match answer? {
        Answer::Changed(count) => Ok(count),
        Answer::Rows(_) => Ok(0),
    }
}

impl database::Host for DatabaseView<'_> {
    async fn query(&mut self, sql: String, params: Vec<Value>) -> Answered<Rows> {
        let answer = self.run(sql, params, Want::Rows).await;
        Ok(self.rows_of(answer))
    }

    async fn execute(&mut self, sql: String, params: Vec<Value>) -> Answered<u64> {
        Ok(count_of(self.run(sql, params, Want::Count).await))
    }

    async fn begin(&mut self) -> Answered<Resource<Transaction>> {
        match self.begun().await {
            Ok(transaction) => Ok(Ok(self.table.push(transaction)?)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn open(&mut self, sql: String, params: Vec<Value>) -> Answered<Resource<Cursor>> {
        match self.opened(sql, params).await {
            Ok(cursor) => Ok(Ok(self.table.push(cursor)?)),
            Err(error) => Ok(Err(error.into())),
        }
    }
}

impl database::HostTransaction for DatabaseView<'_> {
    async fn query(
        &mut self,
        transaction: Resource<Transaction>,
        sql: String,
        params: Vec<Value>,
    ) -> Answered<Rows> {
        if let Err(error) = self.charge_statement() {
            return Ok(Err(error.into()));
        }
        let answer = self
            .run_in(&transaction, Statement { sql, params }, Want::Rows)
            .await?;
        Ok(self.rows_of(answer))
    }

    async fn execute(
        &mut self,
        transaction: Resource<Transaction>,
        sql: String,
        params: Vec<Value>,
    ) -> Answered<u64> {
        if let Err(error) = self.charge_statement() {
            return Ok(Err(error.into()));
        }
        let answer = self
            .run_in(&transaction, Statement { sql, params }, Want::Count)
            .await?;
        Ok(count_of(answer))
    }

    async fn enqueue(&mut self, transaction: Resource<Transaction>, _: NewJob) -> Answered<String> {
        self.unserved(&transaction, "jobs")
    }

    async fn publish(&mut self, transaction: Resource<Transaction>, _: String, _: String) -> Answered<()> {
        self.unserved(&transaction, "events")
    }

    async fn commit(&mut self, transaction: Resource<Transaction>) -> Answered<()> {
        if let Err(error) = self.charge() {
            return Ok(Err(error.into()));
        }
        let transaction = self.table.get_mut(&transaction)?;
        Ok(transaction.commit(&self.state.scope).await.map_err(Into::into))
    }

    async fn rollback(&mut self, transaction: Resource<Transaction>) -> Answered<()> {
        if let Err(error) = self.charge() {
            return Ok(Err(error.into()));
        }
        let transaction = self.table.get_mut(&transaction)?;
        Ok(transaction.rollback(&self.state.scope).await.map_err(Into::into))
    }

    async fn drop(&mut self, transaction: Resource<Transaction>) -> wasmtime::Result<()> {
        self.table.delete(transaction)?;
        Ok(())
    }
}

impl database::HostCursor for DatabaseView<'_> {
    async fn columns(&mut self, cursor: Resource<Cursor>) -> wasmtime::Result<Vec<String>> {
        self.invocation.charge_host_call()?;
        Ok(self.table.get(&cursor)?.columns().to_vec())
    }

    async fn next(&mut self, cursor: Resource<Cursor>, max: u32) -> Answered<Vec<Vec<Value>>> {
        if let Err(error) = self.charge() {
            return Ok(Err(error.into()));
        }
        // The guest chooses `max`: none would look like the end, and the upper bound is that of any result.
        let max = usize::try_from(max.clamp(1, self.invocation.limits().sql_rows.max(1))).unwrap_or(1);
        let result = self.table.get_mut(&cursor)?.next(&self.state.scope, max).await;
        if let Ok(rows) = &result {
            self.count_rows(rows.len());
        }
        Ok(result.map_err(Into::into))
    }

    async fn drop(&mut self, cursor: Resource<Cursor>) -> wasmtime::Result<()> {
        self.table.delete(cursor)?;
        Ok(())
    }
}
