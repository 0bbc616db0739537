//! Files that do not work: found once, said once, and left alone until something has changed.
//!
//! Without this every request of the tenant would open a damaged file again, fail again, and write a line to the log.

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

/// How long a file that could not be opened is left alone.
const REST: Duration = Duration::from_secs(1);

/// How long a file that was found whole is not looked through again, whatever a statement says.
const TRUST: Duration = Duration::from_secs(60);

/// What is wrong with a connection or with the file behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The content is not what SQLite wrote.
    Damage,
    /// The tenant's memory is full. The connection is closed, which gives back what it has; the file is well.
    Memory,
    /// The file is not to be had, or the system has no memory.
    Other,
}

/// The troubles of all tenants.
#[derive(Default)]
pub(super) struct Troubles {
    tenants: Mutex<HashMap<TenantId, Trouble>>,
    /// How many there are, so that nobody waits for the lock while all is well.
    count: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// It could not be opened; nobody tries before.
    Resting(Instant),
    /// It was looked through and is whole; nobody looks again before.
    Whole(Instant),
    /// It is damaged, and has been this file since.
    Damaged(Option<Fingerprint>),
}

/// Another file has another one, also under the same name. Its content does not matter: connections that are still
/// open may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    created: Option<SystemTime>,
}

impl Troubles {
    /// An error where the tenant's file is known not to work.
    pub(super) fn check(&self, tenant: TenantId, file: &Path) -> Result<(), DatabaseError> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let mut tenants = self.lock();
        match tenants.get(&tenant) {
            Some(Trouble::Resting(until)) if Instant::now() < *until => Err(cannot_open()),
            Some(Trouble::Damaged(seen)) => match Fingerprint::of(file) {
                // Where there is no file the operator is about to put one; SQLite would make an empty one.
                now @ Some(_) if now != *seen => {
                    tracing::warn!(%tenant, "the file of a damaged database was replaced; it is used again");
                    self.remove(&mut tenants, tenant);
                    Ok(())
                }
                _ => Err(damaged()),
            },
            Some(Trouble::Resting(_) | Trouble::Whole(_)) | None => Ok(()),
        }
    }

    /// Whether the tenant's file is known to be damaged.
    pub(super) fn is_damaged(&self, tenant: TenantId) -> bool {
        self.count.load(Ordering::Acquire) > 0
            && matches!(self.lock().get(&tenant), Some(Trouble::Damaged(_)))
    }

    /// The file could not be opened. Says so in the log, unless that has been said already.
    pub(super) fn found(&self, tenant: TenantId, file: &Path, fault: Fault, error: &dyn std::fmt::Display) {
        let mut tenants = self.lock();
        let before = tenants.get(&tenant).copied();
        let trouble = match fault {
            Fault::Damage => Trouble::Damaged(Fingerprint::of(file)),
            Fault::Memory | Fault::Other => Trouble::Resting(Instant::now() + REST),
        };
        match (before, fault) {
            (Some(Trouble::Damaged(_)), _) => return,
            (_, Fault::Damage) => tracing::error!(
                %tenant, %error,
                "a tenant's database is missing or damaged and is not used; put a copy of its file in its place"
            ),
            (Some(Trouble::Resting(_)), _) => {}
            (_, Fault::Memory | Fault::Other) => {
                tracing::error!(%tenant, %error, "a tenant's database cannot be opened")
            }
        }
        tenants.insert(tenant, trouble);
        self.count.store(tenants.len(), Ordering::Release);
    }

    /// The file was opened.
    pub(super) fn opened(&self, tenant: TenantId) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut tenants = self.lock();
        if matches!(tenants.get(&tenant), Some(Trouble::Resting(_))) {
            tracing::info!(%tenant, "a tenant's database can be opened again");
            self.remove(&mut tenants, tenant);
        }
    }

    /// Whether to look through a file that a statement found damaged. `true` for one caller only.
    pub(super) fn is_worth_a_look(&self, tenant: TenantId) -> bool {
        let mut tenants = self.lock();
        match tenants.get(&tenant) {
            Some(Trouble::Damaged(_)) => return false,
            Some(Trouble::Whole(until)) if Instant::now() < *until => return false,
            _ => {}
        }
        tenants.insert(tenant, Trouble::Whole(Instant::now() + TRUST));
        self.count.store(tenants.len(), Ordering::Release);
        true
    }

    /// The tenant is gone.
    pub(super) fn forget(&self, tenant: TenantId) {
        let mut tenants = self.lock();
        self.remove(&mut tenants, tenant);
    }

    /// The tenants whose files are damaged.
    pub(super) fn damaged(&self) -> Vec<TenantId> {
        let tenants = self.lock();
        let damaged = tenants
            .iter()
            .filter(|(_, trouble)| matches!(trouble, Trouble::Damaged(_)));
        damaged.map(|(tenant, _)| *tenant).collect()
    }

    fn remove(&self, tenants: &mut HashMap<TenantId, Trouble>, tenant: TenantId) {
        tenants.remove(&tenant);
        self.count.store(tenants.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Trouble>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fingerprint {
    fn of(file: &Path) -> Option<Self> {
        let metadata: Metadata = file.symlink_metadata().ok()?;
        // What has no content is no database; a copy may be written into it.
        (metadata.len() > 0).then(|| Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            // The number of a file that was deleted is given to the next one.
            created: metadata.created().ok(),
        })
    }
}

/// What plugins are told of a damaged file.
pub(super) fn damaged() -> DatabaseError {
    DatabaseError::Unavailable(
        "the tenant's database is missing or damaged and has to be restored".to_owned(),
    )
}

/// What plugins are told of a file that cannot be opened.
pub(super) fn cannot_open() -> DatabaseError {
    DatabaseError::Unavailable("the tenant's database cannot be opened".to_owned())
}
