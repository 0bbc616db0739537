//! Tokens in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::{SqliteRepository, or_missing, row, unavailable};
use crate::domain::audit::Change;
use crate::domain::id::{TenantId, TokenId};
use crate::domain::resource::Resource;
use crate::domain::token::{Reach, Token};
use crate::storage::{DbError, Page, Tokens};

#[async_trait]
impl Tokens for SqliteRepository {
    async fn insert_token(&self, token: &Token, change: &Change) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        insert(&mut transaction, token).await?;
        // Tokens have no part in serving requests.
        self.commit_without_generation(transaction, token.reach.tenant(), change)
            .await
    }

    async fn replace_tokens(
        &self,
        token: &Token,
        revoked: &[TokenId],
        change: &Change,
    ) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        insert(&mut transaction, token).await?;
        for id in revoked {
            revoke(&mut transaction, None, *id, change).await?;
        }
        self.commit_without_generation(transaction, token.reach.tenant(), change)
            .await
    }

    async fn token(&self, id: TokenId) -> Result<Option<Token>, DbError> {
        let row = sqlx::query(TOKEN)
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read).transpose()
    }

    async fn tokens(&self, tenant: Option<TenantId>, page: Page<TokenId>) -> Result<Vec<Token>, DbError> {
        let after = page.after.map_or(String::new(), |id| id.to_string());
        let query = match tenant {
            Some(tenant) => {
                sqlx::query("SELECT * FROM tokens WHERE id > $1 AND tenant = $3 ORDER BY id LIMIT $2")
                    .bind(after)
                    .bind(i64::from(page.limit))
                    .bind(tenant.to_string())
            }
            None => sqlx::query("SELECT * FROM tokens WHERE id > $1 AND tenant IS NULL ORDER BY id LIMIT $2")
                .bind(after)
                .bind(i64::from(page.limit)),
        };
        let rows = query.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(read).collect()
    }

    async fn revoke_token(
        &self,
        tenant: Option<TenantId>,
        id: TokenId,
        change: &Change,
    ) -> Result<bool, DbError> {
        let mut transaction = self.begin().await?;
        let revoked = revoke(&mut transaction, tenant, id, change).await?;
        if revoked {
            self.commit_without_generation(transaction, tenant, change)
                .await?;
        }
        Ok(revoked)
    }
}

async fn insert(connection: &mut SqliteConnection, token: &Token) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO tokens (id, tenant, name, role, hash, created_at, expires_at, revoked_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(token.id.to_string())
    .bind(token.reach.tenant().map(|tenant| tenant.to_string()))
    .bind(token.name.as_str())
    .bind(token.reach.role().as_str())
    .bind(token.hash.as_bytes().as_slice())
    .bind(token.created_at.0)
    .bind(token.expires_at.map(|at| at.0))
    .bind(token.revoked_at.map(|at| at.0))
    .execute(connection)
    .await
    .map_err(or_missing(Resource::Tenant))?;
    Ok(())
}

/// Revokes a token. A second revocation keeps the time of the first. `false` if there is no such
/// token.
async fn revoke(
    connection: &mut SqliteConnection,
    tenant: Option<TenantId>,
    id: TokenId,
    change: &Change,
) -> Result<bool, DbError> {
    let revoked = sqlx::query(
        "UPDATE tokens SET revoked_at = COALESCE(revoked_at, $3) WHERE id = $2 AND COALESCE(tenant, '') = $1",
    )
    .bind(tenant.map_or(String::new(), |tenant| tenant.to_string()))
    .bind(id.to_string())
    .bind(change.at.0)
    .execute(connection)
    .await
    .map_err(unavailable)?;
    Ok(revoked.rows_affected() > 0)
}

/// A token, unless its tenant is deleted.
const TOKEN: &str = "SELECT * FROM tokens WHERE id = $1 \
    AND NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = tokens.tenant AND t.deleted_at IS NOT NULL)";

fn read(row: &SqliteRow) -> Result<Token, DbError> {
    let role = row::parsed(row, "role")?;
    let reach = Reach::of(role, row::optional_parsed(row, "tenant")?)
        .ok_or_else(|| DbError::corrupt("tokens.role", format!("`{role}` does not fit the tenant")))?;
    Ok(Token {
        id: row::parsed(row, "id")?,
        name: row::text(row, "name")?,
        reach,
        hash: row::hash(row, "hash")?,
        created_at: row::timestamp(row, "created_at")?,
        expires_at: row::optional_timestamp(row, "expires_at")?,
        revoked_at: row::optional_timestamp(row, "revoked_at")?,
    })
}
