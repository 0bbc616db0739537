//! Finds the version that a name refers to.

use super::{Lifecycle, LifecycleError};
use crate::domain::id::{PluginName, VersionDigest};
use crate::domain::plugin::Version;
use crate::domain::resource::Resource;
use crate::domain::tenant::Tenant;
use crate::domain::version_name::{NamedVersion, VersionName};
use crate::storage::{Page, VersionPosition};

/// Versions per query. Each includes its manifest.
const VERSIONS_AT_ONCE: u32 = 50;

/// The most versions that an error lists.
const MAX_CANDIDATES: usize = 10;

impl Lifecycle {
    /// The version of a plugin with this name. An error lists the candidates.
    pub async fn named_version(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        name: &VersionName,
    ) -> Result<Version, LifecycleError> {
        if self.db.plugin(tenant.id, plugin).await?.is_none() {
            return Err(LifecycleError::NotFound(Resource::Plugin));
        }
        if let Some(digest) = name.digest()
            && let Some(version) = self.db.version(tenant.id, plugin, digest).await?
        {
            return Ok(version);
        }
        let mut found: Vec<NamedVersion> = Vec::new();
        let mut newest: Vec<NamedVersion> = Vec::new();
        let mut only = None;
        self.each_version(tenant, plugin, |version| {
            if newest.len() < MAX_CANDIDATES {
                newest.push((&version).into());
            }
            if name.names(&version) {
                found.push((&version).into());
                only = Some(version);
            }
        })
        .await?;
        match (only, found.len()) {
            (Some(version), 1) => Ok(version),
            (None, _) => Err(LifecycleError::NoSuchVersion {
                name: name.clone(),
                candidates: newest,
            }),
            (Some(_), _) => {
                found.truncate(MAX_CANDIDATES);
                Err(LifecycleError::AmbiguousVersion {
                    name: name.clone(),
                    candidates: found,
                })
            }
        }
    }

    /// A warning if another version of the plugin has the same author's version, which makes that
    /// name ambiguous.
    pub(super) async fn shared_name(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        uploaded: &Version,
    ) -> Result<Option<String>, LifecycleError> {
        let name = &uploaded.manifest.plugin.version;
        let mut others: Vec<VersionDigest> = Vec::new();
        self.each_version(tenant, plugin, |version| {
            if version.digest != uploaded.digest && version.manifest.plugin.version == *name {
                others.push(version.digest);
            }
        })
        .await?;
        Ok(others.first().map(|other| {
            format!(
                "the version {name} was uploaded before with other content ({other}); both are kept, and only \
                 their digests tell them apart. Raise `version` in plugin.toml with each change"
            )
        }))
    }

    /// Visits the versions of a plugin, the newest first.
    async fn each_version(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        mut visit: impl FnMut(Version),
    ) -> Result<(), LifecycleError> {
        let mut page = Page::first(VERSIONS_AT_ONCE);
        loop {
            let versions = self.db.versions(tenant.id, plugin, page).await?;
            let Some(last) = versions.last() else {
                return Ok(());
            };
            let position = VersionPosition {
                created_at: last.created_at,
                digest: last.digest,
            };
            page = Page::after(position, VERSIONS_AT_ONCE);
            versions.into_iter().for_each(&mut visit);
        }
    }
}
