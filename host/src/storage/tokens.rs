//! Storage of the admin API's tokens.

use async_trait::async_trait;

use super::{DbError, Page};
use crate::domain::audit::Change;
use crate::domain::id::{TenantId, TokenId};
use crate::domain::token::Token;

/// Tokens in the database. Tokens of the host have `None` as their tenant.
#[async_trait]
pub trait Tokens {
    /// Adds a token.
    async fn insert_token(&self, token: &Token, change: &Change) -> Result<(), DbError>;

    /// Adds a token and revokes others that belong to no tenant.
    async fn replace_tokens(
        &self,
        token: &Token,
        revoked: &[TokenId],
        change: &Change,
    ) -> Result<(), DbError>;

    /// A token by id, of any tenant or of the host. It authenticates callers.
    async fn token(&self, id: TokenId) -> Result<Option<Token>, DbError>;

    /// Lists tokens, the oldest first. Revoked tokens are included.
    async fn tokens(&self, tenant: Option<TenantId>, page: Page<TokenId>) -> Result<Vec<Token>, DbError>;

    /// Revokes a token. A second revocation changes nothing. `false` if there is no such token.
    async fn revoke_token(
        &self,
        tenant: Option<TenantId>,
        id: TokenId,
        change: &Change,
    ) -> Result<bool, DbError>;
}
