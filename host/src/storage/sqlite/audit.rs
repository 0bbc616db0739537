//! The audit log in SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{SqliteRepository, row, unavailable};
use crate::domain::audit::{ActorKind, AuditEntry, Change, Difference};
use crate::domain::id::{AuditId, TenantId};
use crate::storage::{Audit, AuditFilter, DbError, Page};

/// Inserts an entry. The statement itself looks up the names. A purged tenant keeps the name of its
/// newest entry.
const INSERT: &str = "INSERT INTO audit \
    (id, tenant, tenant_name, actor_kind, actor, actor_name, action, subject, value_before, value_after, at) \
    VALUES ($1, $2, \
        COALESCE((SELECT name FROM tenants WHERE id = $2), \
            (SELECT tenant_name FROM audit WHERE tenant = $2 AND tenant_name IS NOT NULL ORDER BY id DESC LIMIT 1)), \
        $3, $4, (SELECT name FROM tokens WHERE id = $4), $5, $6, $7, $8, $9)";

#[async_trait]
impl Audit for SqliteRepository {
    async fn audit(
        &self,
        tenant: Option<TenantId>,
        filter: &AuditFilter,
        page: Page<AuditId>,
    ) -> Result<Vec<AuditEntry>, DbError> {
        let before = page.after.unwrap_or(AuditId(Uuid::max())).to_string();
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM audit WHERE id < ");
        query.push_bind(before);
        if let Some(tenant) = tenant {
            query.push(" AND tenant = ").push_bind(tenant.to_string());
        }
        let AuditFilter {
            tenant: named,
            actor,
            action,
            from,
            to,
        } = filter.clone();
        if let Some(named) = named {
            query.push(" AND (tenant = ").push_bind(named.clone());
            query.push(" OR tenant_name = ").push_bind(named).push(")");
        }
        if let Some(actor) = actor {
            query.push(" AND (actor = ").push_bind(actor.clone());
            query.push(" OR actor_name = ").push_bind(actor).push(")");
        }
        match action.as_deref().map(|action| (action, action.strip_suffix('*'))) {
            Some((_, Some(begin))) => {
                query
                    .push(" AND instr(action, ")
                    .push_bind(begin.to_owned())
                    .push(") = 1");
            }
            Some((whole, None)) => {
                query.push(" AND action = ").push_bind(whole.to_owned());
            }
            None => {}
        }
        if let Some(from) = from {
            query.push(" AND at >= ").push_bind(from.0);
        }
        if let Some(to) = to {
            query.push(" AND at < ").push_bind(to.0);
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(page.limit));
        let rows = query
            .build()
            .persistent(false)
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }
}

/// Adds the entry of a change, within the transaction of the change.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    tenant: Option<TenantId>,
    change: &Change,
) -> Result<(), DbError> {
    let kind = match ActorKind::of(&change.actor) {
        ActorKind::Token => TOKEN,
        ActorKind::Host => HOST,
        ActorKind::Command => COMMAND,
    };
    let Difference { before, after } = &change.difference;
    sqlx::query(INSERT)
        .bind(AuditId::generate().to_string())
        .bind(tenant.map(|tenant| tenant.to_string()))
        .bind(kind)
        .bind(change.actor.as_str())
        .bind(change.action.as_str())
        .bind(change.subject.as_str())
        .bind(before.as_ref().map(ToString::to_string))
        .bind(after.as_ref().map(ToString::to_string))
        .bind(change.at.0)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(())
}

const TOKEN: &str = "token";
const HOST: &str = "host";
const COMMAND: &str = "command";

fn read(row: &SqliteRow) -> Result<AuditEntry, DbError> {
    Ok(AuditEntry {
        id: row::parsed(row, "id")?,
        tenant: row::optional_parsed(row, "tenant")?,
        tenant_name: row::optional_text(row, "tenant_name")?,
        actor_kind: match row::text(row, "actor_kind")?.as_str() {
            HOST => ActorKind::Host,
            COMMAND => ActorKind::Command,
            // An unknown kind, from a later host.
            _ => ActorKind::Token,
        },
        actor_name: row::optional_text(row, "actor_name")?,
        change: Change {
            actor: row::text(row, "actor")?,
            action: row::text(row, "action")?,
            subject: row::text(row, "subject")?,
            difference: Difference {
                before: row::optional_json(row, "value_before")?,
                after: row::optional_json(row, "value_after")?,
            },
            at: row::timestamp(row, "at")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::clock::Timestamp;

    const WITHOUT_SETTINGS: &str =
        include_str!("../../../../migrations/sqlite/0011_audit_without_settings.sql");

    #[tokio::test]
    async fn entries_of_earlier_hosts_lose_the_values_of_settings() {
        let folder = tempfile::tempdir().unwrap();
        let repository = SqliteRepository::open(folder.path()).await.unwrap();
        let entry = async |action: &str, difference: Difference| {
            let change = Change::new(Change::HOST, action, "orders", Timestamp(1));
            let mut connection = repository.writer.acquire().await.unwrap();
            insert(&mut connection, None, &change.with(difference))
                .await
                .unwrap();
        };
        let many = json!({ "too_large": ["a", "b"] });
        let changes = [
            (
                "config.put",
                Difference::between(&json!({ "a": "1" }), &json!({ "a": "2", "too_large": "3" })),
            ),
            ("config.put", Difference::made(&many)),
            ("config.delete", Difference::removed(&json!({ "b": "4" }))),
            ("tenant.plan", Difference::made(&json!({ "plan": "large" }))),
        ];
        for (action, change) in changes {
            entry(action, change).await;
        }
        sqlx::raw_sql(WITHOUT_SETTINGS)
            .execute(&repository.writer)
            .await
            .unwrap();
        let page = Page::first(9);
        let found = repository.audit(None, &Default::default(), page).await.unwrap();
        let mut found: Vec<_> = found
            .into_iter()
            .map(|entry| (entry.change.difference.before, entry.change.difference.after))
            .collect();
        found.reverse();
        assert_eq!(
            found,
            [
                (
                    Some(json!({ "a": "set" })),
                    Some(json!({ "a": "set", "too_large": "set" }))
                ),
                (None, Some(many)),
                (Some(json!({ "b": "set" })), None),
                (None, Some(json!({ "plan": "large" }))),
            ]
        );
    }
}
