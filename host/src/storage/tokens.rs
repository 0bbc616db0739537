//! Tokens of the admin API.

use async_trait::async_trait;

use super::{DbError, Page};
use crate::domain::audit::Change;
use crate::domain::id::{TenantId, TokenId};
use crate::domain::token::Token;

/// Tokens. `None` as tenant stands for the operators'.
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

    /// The token with this id, whoever's it is: this is how a caller is recognised.
    async fn token(&self, id: TokenId) -> Result<Option<Token>, DbError>;

    /// Tokens, the oldest first, revoked ones included.
    async fn tokens(&self, tenant: Option<TenantId>, page: Page<TokenId>) -> Result<Vec<Token>, DbError>;

    /// Revokes a token; a second time changes nothing. `false` where it is not there.
    async fn revoke_token(
        &self,
        tenant: Option<TenantId>,
        id: TokenId,
        change: &Change,
    ) -> Result<bool, DbError>;
}
