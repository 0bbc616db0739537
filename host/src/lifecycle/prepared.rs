//! Routes of versions that are being activated. They are made before the activation is committed, so that a
//! refresh that sees the new version at once finds its routes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::{TenantId, VersionDigest};
use crate::tenants::Router;

type Map = HashMap<(TenantId, VersionDigest), Arc<Router>>;

/// Routes by tenant and version. A tenant activates one version at a time.
#[derive(Default)]
pub(super) struct Prepared(Mutex<Map>);

/// Holds routes until it is dropped.
pub(super) struct Holding<'a>(&'a Prepared, (TenantId, VersionDigest));

impl Prepared {
    /// Holds the routes of a version that is about to become active.
    pub fn hold(&self, tenant: TenantId, digest: VersionDigest, router: Arc<Router>) -> Holding<'_> {
        let key = (tenant, digest);
        self.lock().insert(key, router);
        Holding(self, key)
    }

    /// The routes of a version, if they are held.
    pub fn get(&self, tenant: TenantId, digest: VersionDigest) -> Option<Arc<Router>> {
        self.lock().get(&(tenant, digest)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}
