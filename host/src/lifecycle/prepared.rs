//! Routes of versions that are being activated. They are built before the activation is committed,
//! so that the next refresh finds them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::{TenantId, VersionDigest};
use crate::tenants::Router;

type Map = HashMap<(TenantId, VersionDigest), Arc<Router>>;

/// Routes by tenant and version. A tenant activates one version at a time.
#[derive(Default)]
pub(super) struct Prepared(Mutex<Map>);

/// Keeps the routes of a version until it is dropped.
pub(super) struct Holding<'a>(&'a Prepared, (TenantId, VersionDigest));

impl Prepared {
    /// Keeps the routes of a version that is being activated.
    pub fn hold(&self, tenant: TenantId, digest: VersionDigest, router: Arc<Router>) -> Holding<'_> {
        let key = (tenant, digest);
        self.lock().insert(key, router);
        Holding(self, key)
    }

    /// The kept routes of a version.
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
