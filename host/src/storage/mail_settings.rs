//! Storage of what tenants and operators set for mail: servers, sender domains, simulated failures
//! and the suppression list.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{DbError, Page};
use crate::domain::audit::Change;
use crate::domain::id::TenantId;
use crate::domain::mail_failures::MailFailures;
use crate::domain::smtp::SmtpSettings;
use crate::domain::suppression::{AddressKey, Suppression};
use crate::domain::unsubscribe::UnsubscribeKey;

/// Settings for mail in the database. The gateway reads none of them, so a change does not raise
/// the generation of the tenant.
#[async_trait]
pub trait MailSettings {
    /// The tenant's own mail server.
    async fn smtp_settings(&self, tenant: TenantId) -> Result<Option<SmtpSettings>, DbError>;

    /// Sets the tenant's own mail server.
    async fn put_smtp_settings(
        &self,
        tenant: TenantId,
        settings: &SmtpSettings,
        change: &Change,
    ) -> Result<(), DbError>;

    /// Removes the tenant's own mail server. `false` if it has none.
    async fn delete_smtp_settings(&self, tenant: TenantId, change: &Change) -> Result<bool, DbError>;

    /// The domains from which the tenant may send, in lower case.
    async fn sender_domains(&self, tenant: TenantId) -> Result<BTreeSet<String>, DbError>;

    /// Replaces the domains from which the tenant may send.
    async fn put_sender_domains(
        &self,
        tenant: TenantId,
        domains: &BTreeSet<String>,
        change: &Change,
    ) -> Result<(), DbError>;

    /// The failures that the tenant's catcher simulates.
    async fn mail_failures(&self, tenant: TenantId) -> Result<MailFailures, DbError>;

    /// Replaces the failures that the tenant's catcher simulates.
    async fn put_mail_failures(
        &self,
        tenant: TenantId,
        failures: &MailFailures,
        change: &Change,
    ) -> Result<(), DbError>;

    /// The key of the tenant's links for unsubscribing. It is made at its first use.
    async fn unsubscribe_key(&self, tenant: TenantId) -> Result<UnsubscribeKey, DbError>;

    /// Adds an address to the suppression list. `false`, and the entry stays as it is, if it is on
    /// the list already.
    async fn suppress(
        &self,
        tenant: TenantId,
        suppression: &Suppression,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// Removes an address from the suppression list. `false` if it is not on the list.
    async fn unsuppress(
        &self,
        tenant: TenantId,
        address: &AddressKey,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// Those of the addresses that are on the suppression list.
    async fn suppressed(
        &self,
        tenant: TenantId,
        addresses: &[AddressKey],
    ) -> Result<BTreeSet<AddressKey>, DbError>;

    /// A page of the suppression list, by address.
    async fn suppressions(
        &self,
        tenant: TenantId,
        page: Page<AddressKey>,
    ) -> Result<Vec<Suppression>, DbError>;
}
