//! Applies a plugin's migrations when a version is activated.
//!
//! All pending migrations and their records are written in one transaction, so a failure, a crash
//! or a deadline leaves the schema unchanged. Foreign keys are checked once, before the commit, so
//! that a table that others refer to can be rebuilt.

use std::collections::BTreeMap;
use std::time::Duration;

use mortise_sql::migration::normal;
use mortise_sql::{CREATE_BOOKKEEPING, StatementError, converting_columns, dangling_reference, run_script};
use rusqlite::OptionalExtension as _;
use tokio::time::Instant;

use super::super::error::DatabaseError;
use super::super::migration::{self, Applied, AppliedMigration, MigrationError};
use super::SqliteDatabases;
use super::connection::{Allowance, Connection};
use super::failure;
use super::job;
use super::pool::Role;
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId};
use crate::domain::limits::Limits;
use crate::domain::manifest::Contract;
use crate::domain::migration::Migration;
use crate::sqlite::memory;

/// Time limit of all migrations of one activation.
const TIME: Duration = Duration::from_secs(60);

/// The schemas of all connections together may take the tenant's memory divided by this number.
const SCHEMA_PART: u64 = 2;

impl SqliteDatabases {
    /// Applies the pending migrations of `plugin`, all of them or none. The call is idempotent.
    /// `contract` is the contract version of the plugin.
    pub(super) async fn apply_migrations(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        contract: Contract,
        limits: &Limits,
        migrations: &[Migration],
    ) -> Result<Applied, MigrationError> {
        migration::check_order(migrations)?;
        let deadline = Instant::now() + TIME;
        let lease = self
            .tenant(tenant)
            .lease(Role::Writer, deadline)
            .await?
            .for_migration();
        let (plugin, migrations, now) = (plugin.clone(), migrations.to_vec(), self.clock.now());
        let allowance = Allowance::of(limits);
        let changed = lease.tenant.clone();
        let work = move |connection: &mut Connection| {
            let result = in_transaction(connection, || {
                let applied = apply(connection, &plugin, contract, &migrations, now)?;
                check_schema_bytes(connection, &applied)?;
                Ok(applied)
            });
            // Marked here, because the future that waits for the result may be gone by now.
            changed.schema_changed();
            Ok(result)
        };
        let (_lease, result) = job::run(&self.threads, lease, deadline, allowance, work).await;
        result?
    }

    /// The applied migrations of `plugin`, in order. Changes nothing, and creates no file if the
    /// tenant has none.
    pub async fn applied(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
    ) -> Result<Vec<AppliedMigration>, DatabaseError> {
        if !self.file(tenant).exists() {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + TIME;
        let lease = self.tenant(tenant).lease(Role::Reader, deadline).await?;
        let plugin = plugin.clone();
        let work = move |connection: &mut Connection| {
            bookkeeping(connection, &plugin)
                .map(|applied| applied.into_values().collect())
                .map_err(|error| failure::translate(&error, &connection.handle.watch))
        };
        let allowance = Allowance {
            database_bytes: u64::MAX,
            memory: None,
        };
        let (_lease, result) = job::run(&self.threads, lease, deadline, allowance, work).await;
        result
    }
}

/// Every connection holds the whole schema, so all of them together must leave memory for
/// statements. A run without pending migrations is not checked.
fn check_schema_bytes(connection: &Connection, applied: &Applied) -> Result<(), MigrationError> {
    let room = connection.budget.limit().0 / SCHEMA_PART / Role::CONNECTIONS;
    let bytes = connection.schema_bytes();
    if applied.applied.is_empty() || bytes <= room {
        return Ok(());
    }
    Err(MigrationError::Database(DatabaseError::Limit(format!(
        "the schema of all the tenant's tables takes {bytes} bytes in each connection, and the plan's `sql_memory` \
         leaves {room} for it; use fewer tables and columns, or raise it"
    ))))
}

fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce() -> Result<T, MigrationError>,
) -> Result<T, MigrationError> {
    let host = |sql: &str| {
        connection
            .as_host(|raw| raw.execute_batch(sql))
            .map_err(|error| MigrationError::Database(failure::translate(&error, &connection.handle.watch)))
    };
    host("BEGIN IMMEDIATE")?;
    // A failure is rolled back when the lease is dropped; the connection is not used again.
    let done = work()?;
    host("COMMIT")?;
    Ok(done)
}

fn apply(
    connection: &Connection,
    plugin: &PluginName,
    contract: Contract,
    migrations: &[Migration],
    now: Timestamp,
) -> Result<Applied, MigrationError> {
    let database = |error: rusqlite::Error| {
        MigrationError::Database(failure::translate(&error, &connection.handle.watch))
    };
    connection
        .as_host(|raw| raw.execute_batch(CREATE_BOOKKEEPING))
        .map_err(database)?;
    let before = bookkeeping(connection, plugin).map_err(database)?;
    let (pending, beyond) = migration::compare(&before, migrations)?;
    if pending.is_empty() {
        return Ok(Applied {
            beyond,
            ..Applied::default()
        });
    }
    let columns_before = connection.as_host(converting_columns).map_err(database)?;
    for migration in &pending {
        run_file(connection, migration)?;
        connection
            .as_host(|raw| {
                raw.execute(
                    "INSERT INTO _mortise_migrations (plugin, number, name, checksum, applied_at)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    (
                        plugin.as_str(),
                        migration.number.cast_signed(),
                        &migration.name,
                        &migration.checksum,
                        now.0,
                    ),
                )
            })
            .map_err(database)?;
    }
    let dangling = connection.as_host(dangling_reference).map_err(database)?;
    if let Some((table, parent)) = dangling {
        return Err(MigrationError::ForeignKeys { table, parent });
    }
    let columns = connection.as_host(converting_columns).map_err(database)?;
    let warnings: Vec<String> = columns
        .difference(&columns_before)
        .map(ToString::to_string)
        .collect();
    if contract >= Contract::V0_2 && !warnings.is_empty() {
        return Err(MigrationError::Column(warnings.join("; ")));
    }
    Ok(Applied {
        applied: pending.iter().map(|migration| migration.file_name()).collect(),
        beyond,
        warnings,
    })
}

/// Runs the statements of one file in order.
fn run_file(connection: &Connection, migration: &Migration) -> Result<(), MigrationError> {
    let watch = &connection.handle.watch;
    let views = connection
        .view_texts()
        .map_err(|error| MigrationError::Database(failure::translate(&error, watch)))?;
    let begin_statement = || {
        watch.authorizer.take_denial();
        memory::begin_statement();
    };
    let ran = run_script(&connection.raw, &normal(&migration.sql), &views, begin_statement);
    let Err(stopped) = ran else { return Ok(()) };
    let error = match stopped.why {
        StatementError::Sqlite(error) => failure::translate(&error, watch),
        StatementError::Found(failure) => failure.into(),
    };
    Err(match error {
        DatabaseError::Unavailable(_) | DatabaseError::Conflict(_) => MigrationError::Database(error),
        _ => MigrationError::Failed {
            file: migration.file_name(),
            line: stopped.line,
            message: error.to_string(),
        },
    })
}

/// The recorded migrations of `plugin`.
fn bookkeeping(
    connection: &Connection,
    plugin: &PluginName,
) -> rusqlite::Result<BTreeMap<u64, AppliedMigration>> {
    connection.as_host(|raw| {
        let exists = raw
            .query_row(
                "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_mortise_migrations'",
                [],
                |_| Ok(()),
            )
            .optional()?;
        if exists.is_none() {
            return Ok(BTreeMap::new());
        }
        let mut statement = raw.prepare(
            "SELECT number, name, checksum, applied_at FROM _mortise_migrations WHERE plugin = ?1 ORDER BY number",
        )?;
        let rows = statement.query_map([plugin.as_str()], |row| {
            let migration = AppliedMigration {
                number: row.get::<_, i64>(0)?.cast_unsigned(),
                name: row.get(1)?,
                checksum: row.get(2)?,
                applied_at: Timestamp(row.get(3)?),
            };
            Ok((migration.number, migration))
        })?;
        rows.collect()
    })
}
