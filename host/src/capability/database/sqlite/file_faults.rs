//! Database files that are damaged or cannot be opened. Each is logged once and not used until its
//! state may have changed.
//!
//! Otherwise every request of the tenant would open the damaged file again, fail again, and write
//! to the log.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::super::error::DatabaseError;
use crate::domain::id::TenantId;

/// How long a file that could not be opened is not tried again.
const REST: Duration = Duration::from_secs(1);

/// After an integrity check found no problem, it is not repeated for this time.
const TRUST: Duration = Duration::from_secs(60);

/// The fault of a connection or of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The content of the file is damaged.
    Damage,
    /// The tenant's memory budget is used up. The connection is closed to release its memory. The
    /// file is not damaged.
    Memory,
    /// The file cannot be opened, or the system has no memory.
    Other,
}

/// The known faults of all tenants' files.
#[derive(Default)]
pub(super) struct FileFaults {
    tenants: Mutex<HashMap<TenantId, FileState>>,
    /// The number of entries, so that nobody takes the lock while there are none.
    count: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileState {
    /// The file could not be opened and is not tried before this time.
    Resting(Instant),
    /// An integrity check found no problem; there is no further check before this time.
    Whole(Instant),
    /// The file is damaged. The fingerprint identifies it.
    Damaged(Option<Fingerprint>),
}

/// Identifies a file, even if another one takes its name. The content is not part of it, because
/// open connections may still write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    created: Option<SystemTime>,
}

impl FileFaults {
    /// Returns an error if the tenant's file is known to be unusable.
    pub(super) fn check(&self, tenant: TenantId, file: &Path) -> Result<(), DatabaseError> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let mut tenants = self.lock();
        match tenants.get(&tenant) {
            Some(FileState::Resting(until)) if Instant::now() < *until => Err(cannot_open()),
            Some(FileState::Damaged(seen)) => match Fingerprint::of(file) {
                // Without a file, SQLite would create an empty one while the operator restores a
                // copy.
                now @ Some(_) if now != *seen => {
                    tracing::warn!(%tenant, "the file of a damaged database was replaced; it is used again");
                    self.remove(&mut tenants, tenant);
                    Ok(())
                }
                _ => Err(damaged()),
            },
            Some(FileState::Resting(_) | FileState::Whole(_)) | None => Ok(()),
        }
    }

    /// Whether the tenant's file is known to be damaged.
    pub(super) fn is_damaged(&self, tenant: TenantId) -> bool {
        self.count.load(Ordering::Acquire) > 0
            && matches!(self.lock().get(&tenant), Some(FileState::Damaged(_)))
    }

    /// Records that the file could not be used. Logs it, unless that was logged before.
    pub(super) fn found(&self, tenant: TenantId, file: &Path, fault: Fault, error: &dyn std::fmt::Display) {
        let mut tenants = self.lock();
        let before = tenants.get(&tenant).copied();
        let state = match fault {
            Fault::Damage => FileState::Damaged(Fingerprint::of(file)),
            Fault::Memory | Fault::Other => FileState::Resting(Instant::now() + REST),
        };
        match (before, fault) {
            (Some(FileState::Damaged(_)), _) => return,
            (_, Fault::Damage) => tracing::error!(
                %tenant, %error,
                "a tenant's database is missing or damaged and is not used; put a copy of its file in its place"
            ),
            (Some(FileState::Resting(_)), _) => {}
            (_, Fault::Memory | Fault::Other) => {
                tracing::error!(%tenant, %error, "a tenant's database cannot be opened")
            }
        }
        tenants.insert(tenant, state);
        self.count.store(tenants.len(), Ordering::Release);
    }

    /// Records that the file was opened.
    pub(super) fn opened(&self, tenant: TenantId) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut tenants = self.lock();
        if matches!(tenants.get(&tenant), Some(FileState::Resting(_))) {
            tracing::info!(%tenant, "a tenant's database can be opened again");
            self.remove(&mut tenants, tenant);
        }
    }

    /// Whether to run an integrity check after a statement reported damage. Returns `true` to one
    /// caller only.
    pub(super) fn is_worth_a_look(&self, tenant: TenantId) -> bool {
        let mut tenants = self.lock();
        match tenants.get(&tenant) {
            Some(FileState::Damaged(_)) => return false,
            Some(FileState::Whole(until)) if Instant::now() < *until => return false,
            _ => {}
        }
        tenants.insert(tenant, FileState::Whole(Instant::now() + TRUST));
        self.count.store(tenants.len(), Ordering::Release);
        true
    }

    /// Removes a deleted tenant.
    pub(super) fn forget(&self, tenant: TenantId) {
        let mut tenants = self.lock();
        self.remove(&mut tenants, tenant);
    }

    /// The tenants whose files are damaged.
    pub(super) fn damaged(&self) -> Vec<TenantId> {
        let tenants = self.lock();
        let damaged = tenants
            .iter()
            .filter(|(_, state)| matches!(state, FileState::Damaged(_)));
        damaged.map(|(tenant, _)| *tenant).collect()
    }

    fn remove(&self, tenants: &mut HashMap<TenantId, FileState>, tenant: TenantId) {
        tenants.remove(&tenant);
        self.count.store(tenants.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, FileState>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fingerprint {
    fn of(file: &Path) -> Option<Self> {
        let metadata: Metadata = file.symlink_metadata().ok()?;
        // An empty file is not a database; the operator may be copying one into it.
        (metadata.len() > 0).then(|| Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            // The inode number of a deleted file can be reused.
            created: metadata.created().ok(),
        })
    }
}

/// The error of calls to a damaged database.
pub(super) fn damaged() -> DatabaseError {
    DatabaseError::Unavailable(
        "the tenant's database is missing or damaged and has to be restored".to_owned(),
    )
}

/// The error of calls to a database that cannot be opened.
pub(super) fn cannot_open() -> DatabaseError {
    DatabaseError::Unavailable("the tenant's database cannot be opened".to_owned())
}
