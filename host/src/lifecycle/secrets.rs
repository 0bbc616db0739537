//! Secrets that plugins cannot use: those without a value, and those that the host's key cannot
//! decrypt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Lifecycle, LifecycleError};
use crate::domain::id::{TenantId, TenantName};
use crate::domain::plugin::Version;
use crate::domain::tenant::Tenant;
use crate::storage::RoutedTenant;

/// A secret that the host's key cannot decrypt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnreadableSecret {
    /// The tenant.
    pub tenant: TenantName,
    /// Name of the secret.
    pub name: String,
}

/// Unreadable secrets by tenant.
#[derive(Default)]
pub(super) struct UnreadableSecrets(Mutex<BTreeMap<TenantId, Vec<UnreadableSecret>>>);

impl UnreadableSecrets {
    /// Removes the entries of a tenant.
    pub fn clear(&self, tenant: TenantId) {
        self.lock().remove(&tenant);
    }

    /// Replaces the entries of a tenant. Logs if their number increases.
    fn set(&self, tenant: &Tenant, secrets: Vec<UnreadableSecret>) {
        let mut all = self.lock();
        let known = all.remove(&tenant.id).map_or(0, |known| known.len());
        if secrets.len() > known {
            let count = secrets.len();
            tracing::warn!(
                tenant = %tenant.name, count,
                "the host's key cannot decrypt secrets; set them again"
            );
        }
        if !secrets.is_empty() {
            all.insert(tenant.id, secrets);
        }
    }

    fn all(&self) -> Vec<UnreadableSecret> {
        let mut all: Vec<_> = self.lock().values().flatten().cloned().collect();
        all.sort();
        all
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, Vec<UnreadableSecret>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lifecycle {
    /// Unreadable secrets of all tenants, by name.
    pub fn unreadable_secrets(&self) -> Vec<UnreadableSecret> {
        self.unreadable_secrets.all()
    }

    /// Records which secrets of a tenant cannot be decrypted. All of them were just read, which
    /// costs as much.
    pub(super) fn note_unreadable_secrets(&self, stored: &RoutedTenant) {
        let tenant = &stored.tenant;
        let vault = &self.services.vault;
        let unreadable = stored
            .secrets
            .iter()
            .filter(|(name, sealed)| vault.open(tenant.id, name, sealed).is_err())
            .map(|(name, _)| UnreadableSecret {
                tenant: tenant.name.clone(),
                name: name.clone(),
            });
        self.unreadable_secrets.set(tenant, unreadable.collect());
    }

    /// Warnings about secrets that the manifest asks for and that have no value.
    pub async fn unset_secrets(
        &self,
        tenant: &Tenant,
        version: &Version,
    ) -> Result<Vec<String>, LifecycleError> {
        let asked = &version.manifest.secrets;
        let asked: BTreeSet<&str> = asked
            .usable
            .iter()
            .map(|(name, _)| name.as_str())
            .chain(asked.reveal.iter().map(String::as_str))
            .collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let set = self.db.secret_names(tenant.id).await?;
        let set: BTreeSet<&str> = set.iter().map(|(name, _)| name.as_str()).collect();
        let warning = |name: &&str| {
            format!(
                "the secret `{name}` is granted but not set; an owner sets it with `mortise secrets set {name} \
                 --tenant {}`",
                tenant.name
            )
        };
        Ok(asked.difference(&set).map(warning).collect())
    }
}
