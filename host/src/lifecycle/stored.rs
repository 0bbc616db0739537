//! Stores and removes components. Other nodes do the same in the same store.
//!
//! A component is removed if it is marked for removal, no version has its digest, nobody holds a
//! lease on it, and it was not stored a moment ago. The database checks the first three conditions
//! in one step and gives the claim to one remover only (`storage/leases.rs`).

use std::time::Duration;

use super::{Lifecycle, LifecycleError};
use crate::components::store::{StoreError, VerifiedComponent};
use crate::domain::id::{LeaseId, VersionDigest};
use crate::storage::{Claim, Lease};

/// Time from taking a lease to writing the version's row. Storing a component takes seconds.
const LEASE: Duration = Duration::from_secs(10 * 60);

/// Time from a claim to the removal of the component.
const CLAIM: Duration = Duration::from_secs(60);

/// Age below which a component is not removed. It protects a component that was stored again after
/// a remover's claim expired unnoticed.
pub const MIN_AGE: Duration = Duration::from_secs(60);

impl Lifecycle {
    /// Stores a component under a lease. Then the caller writes the row and releases the lease, or
    /// removes the component again.
    pub(super) async fn store(&self, component: &VerifiedComponent) -> Result<Lease, LifecycleError> {
        let lease = self.lease(component.digest(), LeaseId::generate(), LEASE);
        if !self.db.lease_component(&lease, self.clock.now()).await? {
            let busy = "another node removes the component at this moment; upload it again";
            return Err(LifecycleError::Unavailable(busy.into()));
        }
        match self.runtime.components().store().put(component).await {
            Ok(()) => Ok(lease),
            Err(error) => {
                self.take_back(lease).await;
                Err(error.into())
            }
        }
    }

    /// Releases the lease of a component that now belongs to a version.
    pub(super) async fn keep(&self, component: &VerifiedComponent, lease: Lease) {
        // The row prevents further claims. If the lease had expired before, another node may have
        // removed the component.
        let kept = async {
            if self
                .runtime
                .components()
                .store()
                .stat(lease.digest)
                .await?
                .is_none()
            {
                self.runtime.components().store().put(component).await?;
            }
            Ok::<_, LifecycleError>(self.db.release_component(lease.digest, lease.holder).await?)
        };
        if let Err(error) = kept.await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, version = %lease.digest, "a lease could not be released; it will expire");
        }
    }

    /// Removes a component that was stored under a lease and belongs to no version.
    pub(super) async fn take_back(&self, lease: Lease) {
        let taken_back = async {
            self.remove_locked(lease.digest, lease.holder, Duration::ZERO)
                .await?;
            Ok::<_, LifecycleError>(self.db.release_component(lease.digest, lease.holder).await?)
        };
        if let Err(error) = taken_back.await {
            // The component is marked for removal. The caller reports the upload's own error.
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error, version = %lease.digest,
                "the component of a failed upload could not be removed; the next sweep removes it"
            );
        }
    }

    /// Stores the component of a version again if it is missing or damaged. Compiles it again if
    /// its code is missing.
    pub(super) async fn repair(&self, component: &VerifiedComponent) -> Result<(), LifecycleError> {
        let _files = self.files.lock(component.digest()).await;
        let is_whole = match self.runtime.components().store().get(component.digest()).await {
            Ok(stored) => stored.is_some(),
            Err(StoreError::Damaged(_)) => false,
            Err(error) => return Err(error.into()),
        };
        if !is_whole {
            let lease = self.store(component).await?;
            self.keep(component, lease).await;
        }
        Ok(self.runtime.components().repair_code(component).await?)
    }

    /// Removes a component without a version, and this node's files of it. If it may not be removed
    /// yet, a later sweep does it.
    pub(super) async fn remove_unused(&self, digest: VersionDigest) -> Result<(), LifecycleError> {
        let _files = self.files.lock(digest).await;
        self.remove_locked(digest, LeaseId::generate(), MIN_AGE).await
    }

    /// Removes this node's files of a component, unless a version has its digest.
    pub(super) async fn evict_unused(&self, digest: VersionDigest) -> Result<(), LifecycleError> {
        if !self.db.is_digest_used(digest).await? {
            self.runtime.evict(digest).await?;
        }
        Ok(())
    }

    /// Removes a component. The caller holds the lock of its files.
    async fn remove_locked(
        &self,
        digest: VersionDigest,
        holder: LeaseId,
        min_age: Duration,
    ) -> Result<(), LifecycleError> {
        self.evict_unused(digest).await?;
        let claim = self.lease(digest, holder, CLAIM);
        match self.db.claim_component(&claim, self.clock.now()).await? {
            Claim::Granted => {}
            Claim::Used | Claim::Leased | Claim::NotNamed => return Ok(()),
        }
        let removed = self.remove_claimed(digest, min_age).await;
        if matches!(removed, Ok(true)) {
            self.db.component_removed(digest, holder).await?;
        } else {
            self.db.release_component(digest, holder).await?;
        }
        removed.map(drop)
    }

    /// Removes a claimed component. `false` if it is too young.
    async fn remove_claimed(&self, digest: VersionDigest, min_age: Duration) -> Result<bool, LifecycleError> {
        let store = self.runtime.components().store();
        let stored = store.stat(digest).await?;
        let now = self.clock.now();
        if stored.is_some_and(|stored| now.since(stored.stored_at) < min_age) {
            return Ok(false);
        }
        store.remove(digest).await?;
        Ok(true)
    }

    fn lease(&self, digest: VersionDigest, holder: LeaseId, lasts: Duration) -> Lease {
        Lease {
            digest,
            holder,
            expires_at: self.clock.now().saturating_add(lasts),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::admin::tests::{lifecycle, runtime, services};
    use crate::domain::clock::{Clock as _, ManualClock, Timestamp};
    use crate::domain::id::{PluginName, TenantId};
    use crate::domain::plugin::Version;
    use crate::storage::conformance::{change, name, tenant, version_of};
    use crate::storage::sqlite::SqliteRepository;
    use crate::storage::vault::{HostKey, Vault};
    use crate::storage::{DbError, Repository};

    const MINUTE: Duration = Duration::from_secs(60);

    /// Two nodes with one database and one store, and a component that one of them uploads.
    struct Nodes {
        folder: tempfile::TempDir,
        db: Arc<dyn Repository>,
        clock: Arc<ManualClock>,
        uploads: Arc<Lifecycle>,
        sweeps: Arc<Lifecycle>,
        tenant: TenantId,
        plugin: PluginName,
        component: VerifiedComponent,
        version: Version,
    }

    fn node(data: &Path, db: &Arc<dyn Repository>, clock: &Arc<ManualClock>) -> Arc<Lifecycle> {
        let key = HostKey::from_hex(&"ab".repeat(32)).unwrap();
        let services = services(data, clock.clone(), Arc::new(Vault::new(&key)));
        let runtime = runtime(data, &key, services.clone(), clock.clone());
        lifecycle(db.clone(), clock.clone(), runtime, services, Arc::default())
    }

    impl Nodes {
        async fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db: Arc<dyn Repository> = Arc::new(SqliteRepository::open(folder.path()).await.unwrap());
            let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000)));
            let [uploads, sweeps] = [(); 2].map(|()| node(folder.path(), &db, &clock));
            let tenant = tenant(&*db, "acme").await.id;
            Self {
                folder,
                clock,
                uploads,
                sweeps,
                tenant,
                plugin: name("orders"),
                component: VerifiedComponent::new("1.0.0".into()),
                version: version_of("orders", "1.0.0", 1),
                db,
            }
        }

        async fn write_row(&self) -> Result<bool, DbError> {
            self.db
                .add_version(self.tenant, &self.plugin, &self.version, &change(1))
                .await
        }

        async fn delete_row(&self) -> bool {
            let (digest, change) = (self.version.digest, change(2));
            self.db
                .delete_version(self.tenant, &self.plugin, digest, &change)
                .await
                .unwrap()
        }

        /// Whether the component is stored after the other node has swept.
        async fn is_left_by_a_sweep(&self) -> bool {
            self.sweeps.sweep().await.unwrap();
            self.is_stored().await
        }

        async fn is_stored(&self) -> bool {
            let stored = self
                .sweeps
                .runtime
                .components()
                .store()
                .get(self.component.digest());
            stored.await.unwrap().is_some()
        }

        async fn is_named_for_removal(&self) -> bool {
            !self.db.removals().await.unwrap().is_empty()
        }
    }

    #[tokio::test]
    async fn a_node_does_not_remove_what_another_one_uploads() {
        let nodes = Nodes::start().await;
        let lease = nodes.uploads.store(&nodes.component).await.unwrap();
        nodes.clock.advance(LEASE - MINUTE);
        assert!(nodes.is_left_by_a_sweep().await);
        assert!(nodes.write_row().await.unwrap());
        nodes.uploads.keep(&nodes.component, lease).await;
        nodes.clock.advance(10 * LEASE);
        assert!(nodes.is_left_by_a_sweep().await);
        assert!(!nodes.is_named_for_removal().await);
    }

    #[tokio::test]
    async fn what_a_node_stored_that_was_killed_before_the_row_is_removed_once_its_lease_is_over() {
        let nodes = Nodes::start().await;
        nodes.uploads.store(&nodes.component).await.unwrap();
        nodes.clock.advance(LEASE - Duration::from_millis(1));
        assert!(nodes.is_left_by_a_sweep().await);
        nodes.clock.advance(Duration::from_millis(1));
        assert!(!nodes.is_left_by_a_sweep().await);
        assert!(!nodes.is_named_for_removal().await);
        // Another upload was killed before it stored anything.
        let lease = nodes
            .uploads
            .lease(nodes.component.digest(), LeaseId::generate(), LEASE);
        assert!(nodes.db.lease_component(&lease, nodes.clock.now()).await.unwrap());
        nodes.clock.advance(LEASE);
        assert!(!nodes.is_left_by_a_sweep().await);
        assert!(!nodes.is_named_for_removal().await);
    }

    #[tokio::test]
    async fn a_crash_between_the_end_of_the_row_and_of_the_file_leaves_the_file_to_a_sweep() {
        let nodes = Nodes::start().await;
        let lease = nodes.uploads.store(&nodes.component).await.unwrap();
        nodes.write_row().await.unwrap();
        nodes.uploads.keep(&nodes.component, lease).await;
        assert!(nodes.delete_row().await);
        // The node is killed here, and another one starts.
        let started = node(nodes.folder.path(), &nodes.db, &nodes.clock);
        nodes.clock.advance(MIN_AGE - Duration::from_millis(1));
        started.sweep().await.unwrap();
        assert!(nodes.is_stored().await, "it is too young");
        nodes.clock.advance(Duration::from_millis(1));
        started.sweep().await.unwrap();
        assert!(!nodes.is_stored().await);
        assert!(!nodes.is_named_for_removal().await);
    }

    #[tokio::test]
    async fn an_upload_that_fails_takes_back_what_nobody_else_uploads() {
        let nodes = Nodes::start().await;
        let lease = nodes.uploads.store(&nodes.component).await.unwrap();
        let other = nodes.sweeps.store(&nodes.component).await.unwrap();
        nodes.uploads.take_back(lease).await;
        assert!(nodes.is_stored().await);
        nodes.sweeps.take_back(other).await;
        assert!(!nodes.is_stored().await);
        assert!(!nodes.is_named_for_removal().await);
    }

    #[tokio::test]
    async fn nothing_is_uploaded_while_another_node_removes_it() {
        let nodes = Nodes::start().await;
        let lease = nodes.uploads.store(&nodes.component).await.unwrap();
        // The lease expires unnoticed, and the other node begins to remove the component.
        nodes.clock.advance(LEASE);
        let claim = nodes.sweeps.lease(lease.digest, LeaseId::generate(), CLAIM);
        let claimed = nodes.db.claim_component(&claim, nodes.clock.now()).await.unwrap();
        assert_eq!(claimed, Claim::Granted);
        let refused = nodes.write_row().await.unwrap_err();
        assert!(matches!(refused, DbError::Unavailable(_)), "{refused:?}");
        let refused = nodes.uploads.store(&nodes.component).await.unwrap_err();
        assert!(matches!(refused, LifecycleError::Unavailable(_)), "{refused:?}");
        // That node is killed. Its claim expires.
        nodes.clock.advance(CLAIM);
        let lease = nodes.uploads.store(&nodes.component).await.unwrap();
        assert!(nodes.write_row().await.unwrap());
        nodes.uploads.keep(&nodes.component, lease).await;
        assert!(nodes.is_left_by_a_sweep().await);
    }

    #[tokio::test]
    async fn a_component_that_was_removed_before_its_row_was_written_is_stored_again() {
        let nodes = Nodes::start().await;
        let lease = nodes.uploads.store(&nodes.component).await.unwrap();
        nodes.clock.advance(LEASE);
        assert!(!nodes.is_left_by_a_sweep().await);
        assert!(nodes.write_row().await.unwrap());
        nodes.uploads.keep(&nodes.component, lease).await;
        assert!(nodes.is_left_by_a_sweep().await);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn in_every_order_of_uploads_and_sweeps_a_version_has_its_component() {
        let nodes = Arc::new(Nodes::start().await);
        for round in 0..50 {
            let (other, uploading) = (nodes.clone(), nodes.clone());
            let sweeping = tokio::spawn(async move {
                for _ in 0..4 {
                    other.clock.advance(MIN_AGE);
                    other.sweeps.sweep().await.unwrap();
                }
            });
            let uploading = tokio::spawn(async move {
                let lease = uploading.uploads.store(&uploading.component).await.ok()?;
                match uploading.write_row().await {
                    Ok(_) => uploading.uploads.keep(&uploading.component, lease).await,
                    Err(_) => uploading.uploads.take_back(lease).await,
                }
                Some(())
            });
            uploading.await.unwrap();
            sweeping.await.unwrap();
            let has_row = nodes.db.is_digest_used(nodes.version.digest).await.unwrap();
            assert!(!has_row || nodes.is_stored().await, "round {round}");
            if has_row {
                nodes.delete_row().await;
            }
        }
        nodes.clock.advance(LEASE);
        assert!(!nodes.is_left_by_a_sweep().await);
        assert!(!nodes.is_named_for_removal().await);
    }
}
