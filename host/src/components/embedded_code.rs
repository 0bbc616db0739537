//! The compiled code of the components that are embedded in the host, as this process compiled it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::domain::id::VersionDigest;

/// The code of one component, if this process has compiled it.
type Code = Arc<OnceCell<Arc<Vec<u8>>>>;

static COMPILED: Mutex<BTreeMap<VersionDigest, Code>> = Mutex::new(BTreeMap::new());

/// The code of a component. All hosts of one process share it, so that tests compile it once.
pub fn of_process(digest: VersionDigest) -> Code {
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    compiled.entry(digest).or_default().clone()
}
