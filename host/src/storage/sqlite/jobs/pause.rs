//! Pauses and resumes jobs.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;

use super::super::{SqliteRepository, or_missing, row};
use crate::domain::audit::Change;
use crate::domain::id::{JobName, PluginName, TenantId};
use crate::domain::resource::Resource;
use crate::storage::{DbError, PausedJobs};

/// Stands for all jobs of a plugin. A name of a job is never empty.
const ALL: &str = "";

pub(super) async fn pause(
    repository: &SqliteRepository,
    tenant: TenantId,
    plugin: &PluginName,
    job: Option<&JobName>,
    paused: bool,
    change: &Change,
) -> Result<bool, DbError> {
    let statement = match paused {
        true => "INSERT INTO paused_jobs (tenant, plugin, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        false => "DELETE FROM paused_jobs WHERE tenant = $1 AND plugin = $2 AND name = $3",
    };
    let statement = sqlx::query(statement)
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .bind(job.map_or(ALL, JobName::as_str));
    repository
        .change_rows(tenant, change, statement, or_missing(Resource::Plugin))
        .await
}

/// The paused jobs of some tenants, whose ids are a JSON array.
pub(in super::super) const PAUSED: &str =
    "SELECT tenant, plugin, name FROM paused_jobs WHERE tenant IN (SELECT value FROM json_each($1))";

/// The paused jobs of each plugin, from rows of one tenant.
pub(in super::super) fn by_plugin(rows: &[SqliteRow]) -> Result<HashMap<String, PausedJobs>, DbError> {
    let mut paused: HashMap<String, PausedJobs> = HashMap::new();
    for row in rows {
        let of_plugin = paused.entry(row::text(row, "plugin")?).or_default();
        match row::text(row, "name")?.as_str() {
            ALL => of_plugin.all = true,
            _ => {
                of_plugin.jobs.insert(row::parsed(row, "name")?);
            }
        }
    }
    Ok(paused)
}
