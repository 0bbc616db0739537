//! Tests of the database host calls without WebAssembly, on real files.

mod attacks;
mod cancellation;
mod clock;
mod completed;
mod corpus;
mod cursors;
mod damage;
mod depth;
mod fairness;
mod limits;
mod memory;
mod migrations;
mod outbox;
mod outbox_room;
mod room;
mod statements;
mod steps;
mod tenants;
mod transactions;

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use wasmtime::component::{Resource, ResourceTable};

use super::super::bindings::database::{self, Error, Host as _, HostTransaction as _};
use super::super::bindings::jobs::{Due, NewJob};
use super::super::jobs::JobQueue;
use super::super::testing::{self, QueueInMemory};
use super::super::{Invocation, RunningJob};
use super::{DatabaseEngine as _, DatabaseState, DatabaseView, Rows, SqliteDatabases, Transaction, Value};
use crate::domain::clock::{ManualClock, Timestamp};
use crate::domain::grant::Grants;
use crate::domain::id::{JobId, TenantId};
use crate::domain::limits::Limits;
use crate::domain::manifest::Contract;
use crate::domain::migration::Migration;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// File descriptors for databases that stay open.
const DESCRIPTORS: u64 = 60;

/// One host with one tenant.
struct Fixture {
    folder: tempfile::TempDir,
    databases: Arc<SqliteDatabases>,
    call: Call,
}

/// One invocation.
struct Call {
    invocation: Invocation,
    state: DatabaseState,
    table: ResourceTable,
    queue: Arc<QueueInMemory>,
    jobs: Arc<dyn JobQueue>,
}

/// A `SqliteDatabases` that keeps few databases open.
fn databases_in(folder: &Path) -> Arc<SqliteDatabases> {
    let clock = Arc::new(ManualClock::new(NOW));
    Arc::new(SqliteDatabases::new(folder, DESCRIPTORS, Handle::current(), clock).unwrap())
}

/// A tenant with the schema `sql`.
async fn fixture(limits: Limits, sql: &str) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let databases = databases_in(folder.path());
    let call = call(&databases, None, limits);
    let fixture = Fixture {
        folder,
        databases,
        call,
    };
    if !sql.is_empty() {
        fixture.migrate(&[migration(1, sql)]).await.unwrap();
    }
    fixture
}

fn call(databases: &Arc<SqliteDatabases>, tenant: Option<TenantId>, limits: Limits) -> Call {
    let grants = Grants {
        database: true,
        ..Default::default()
    };
    let mut invocation = testing::invocation(limits, grants);
    if let Some(tenant) = tenant {
        Arc::make_mut(&mut invocation.active).tenant = tenant;
    }
    testing::declare_jobs(
        &mut invocation,
        &["name = 'a'", "name = 'b'\nconcurrency = { limit = 1 }"],
    );
    let state = DatabaseState::new(databases.clone(), &invocation);
    let queue = Arc::<QueueInMemory>::default();
    Call {
        invocation,
        state,
        table: ResourceTable::new(),
        jobs: queue.clone(),
        queue,
    }
}

/// A job of the kind `a`.
fn job() -> NewJob {
    NewJob {
        name: "a".to_owned(),
        payload: "{}".to_owned(),
        due: Due::Now,
        priority: 0,
        unique_key: None,
        concurrency_key: None,
    }
}

fn borrowed(transaction: &Resource<Transaction>) -> Resource<Transaction> {
    Resource::new_borrow(transaction.rep())
}

fn migration(number: u64, sql: &str) -> Migration {
    Migration::parse(&format!("{number:04}_test.sql"), sql).unwrap()
}

impl Fixture {
    fn tenant(&self) -> TenantId {
        self.call.invocation.active.tenant
    }

    /// Another invocation for the same tenant, with the same limits and the same queue.
    fn another(&self) -> Call {
        let another = call(
            &self.databases,
            Some(self.tenant()),
            self.call.invocation.limits().clone(),
        );
        another.with_queue(&self.call.queue)
    }

    async fn migrate(&self, migrations: &[Migration]) -> Result<super::Applied, super::MigrationError> {
        self.migrate_for(Contract::default(), migrations).await
    }

    async fn migrate_for(
        &self,
        contract: Contract,
        migrations: &[Migration],
    ) -> Result<super::Applied, super::MigrationError> {
        self.migrate_as(&self.call, contract, migrations).await
    }

    /// Migrates the database of the tenant of `call`.
    async fn migrate_as(
        &self,
        call: &Call,
        contract: Contract,
        migrations: &[Migration],
    ) -> Result<super::Applied, super::MigrationError> {
        let active = &call.invocation.active;
        self.databases
            .migrate(
                active.tenant,
                &active.plugin,
                contract,
                &active.limits,
                migrations,
            )
            .await
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join(format!("{}.db", self.tenant()))
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join(format!("{}.db-wal", self.tenant()))
    }
}

impl Call {
    fn view(&mut self) -> DatabaseView<'_> {
        DatabaseView {
            invocation: &mut self.invocation,
            state: &mut self.state,
            table: &mut self.table,
            jobs: &self.jobs,
        }
    }

    fn with_queue(mut self, queue: &Arc<QueueInMemory>) -> Self {
        (self.queue, self.jobs) = (queue.clone(), queue.clone());
        self
    }

    /// The invocation runs this job.
    fn running(mut self, id: JobId) -> Self {
        self.invocation.job = Some(RunningJob {
            id,
            attempt: 1,
            depth: 0,
            completed: false,
        });
        self
    }

    async fn enqueue_in(&mut self, transaction: &Resource<Transaction>) -> Result<String, Error> {
        self.view().enqueue(borrowed(transaction), job()).await.unwrap()
    }

    /// Adds a job in a transaction of its own. Returns its id.
    async fn enqueue(&mut self) -> String {
        let transaction = self.begin().await.unwrap();
        let id = self.enqueue_in(&transaction).await.unwrap();
        self.commit(&transaction).await.unwrap();
        id
    }

    async fn rollback(&mut self, transaction: &Resource<Transaction>) -> Result<(), Error> {
        self.view().rollback(borrowed(transaction)).await.unwrap()
    }

    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        database::Host::query(&mut self.view(), sql.to_owned(), params.to_vec())
            .await
            .unwrap()
    }

    async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        database::Host::execute(&mut self.view(), sql.to_owned(), params.to_vec())
            .await
            .unwrap()
    }

    async fn begin(&mut self) -> Result<Resource<Transaction>, Error> {
        self.view().begin().await.unwrap()
    }

    async fn execute_in(&mut self, transaction: &Resource<Transaction>, sql: &str) -> Result<u64, Error> {
        let transaction = Resource::new_borrow(transaction.rep());
        database::HostTransaction::execute(&mut self.view(), transaction, sql.to_owned(), Vec::new())
            .await
            .unwrap()
    }

    async fn query_in(&mut self, transaction: &Resource<Transaction>, sql: &str) -> Result<Rows, Error> {
        let transaction = Resource::new_borrow(transaction.rep());
        database::HostTransaction::query(&mut self.view(), transaction, sql.to_owned(), Vec::new())
            .await
            .unwrap()
    }

    async fn commit(&mut self, transaction: &Resource<Transaction>) -> Result<(), Error> {
        let transaction = Resource::new_borrow(transaction.rep());
        self.view().commit(transaction).await.unwrap()
    }

    /// The number that `sql` returns.
    async fn number(&mut self, sql: &str) -> i64 {
        match self.query(sql, &[]).await.unwrap().rows[0][0] {
            Value::Integer(number) => number,
            ref other => panic!("{other:?} is not a number"),
        }
    }
}

/// Polls `ask` until it returns a value.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            match ask().await {
                Some(answer) => break answer,
                None => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    };
    let deadline = std::time::Duration::from_secs(60);
    tokio::time::timeout(deadline, asking)
        .await
        .expect("it did not happen in time")
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[track_caller]
fn is_invalid<T: std::fmt::Debug>(result: Result<T, Error>, part: &str) {
    assert!(
        matches!(&result, Err(Error::Invalid(message)) if message.contains(part)),
        "{result:?}"
    );
}

#[track_caller]
fn is_denied<T: std::fmt::Debug>(result: Result<T, Error>, part: &str) {
    assert!(
        matches!(&result, Err(Error::Denied(message)) if message.contains(part)),
        "{result:?}"
    );
}

#[track_caller]
fn is_limit<T: std::fmt::Debug>(result: Result<T, Error>, part: &str) {
    assert!(
        matches!(&result, Err(Error::Limit(message)) if message.contains(part)),
        "{result:?}"
    );
}

#[track_caller]
fn is_conflict<T: std::fmt::Debug>(result: Result<T, Error>, part: &str) {
    assert!(
        matches!(&result, Err(Error::Conflict(message)) if message.contains(part)),
        "{result:?}"
    );
}

#[track_caller]
fn is_unavailable<T: std::fmt::Debug>(result: Result<T, Error>, part: &str) {
    assert!(
        matches!(&result, Err(Error::Unavailable(message)) if message.contains(part)),
        "{result:?}"
    );
}
