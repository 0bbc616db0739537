//! What is stored, and which stored versions use something: what the operator refuses, or what is
//! asked for.

use std::sync::Arc;

use super::{Lifecycle, LifecycleError};
use crate::components::shield::Shield;
use crate::components::store::StoredObject;
use crate::components::{CodeCheck, Refusal};
use crate::domain::id::VersionDigest;
use crate::storage::Page;

/// A stored component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedComponent {
    /// What the store knows of it.
    pub object: StoredObject,
    /// Whether a version of some tenant has its digest. Without one it is removed soon.
    pub is_used: bool,
    /// Whether this node keeps compiled code of it.
    pub is_compiled: bool,
}

impl Lifecycle {
    /// The rules that a stored component falls under: those of `asked`, or what this host refuses
    /// if nothing is asked.
    pub async fn matching_rules(
        &self,
        digest: VersionDigest,
        asked: Option<&Shield>,
    ) -> Result<Vec<String>, LifecycleError> {
        let uses = self.runtime.uses(digest).await?;
        Ok(match asked {
            Some(asked) => asked.matching(&uses),
            None => {
                let off = uses.refused_proposals().into_iter();
                let off = off.map(|proposal| format!("proposal:{proposal}"));
                off.chain(self.runtime.shield().matching(&uses)).collect()
            }
        })
    }

    /// The stored components of all tenants, by digest.
    pub async fn stored_components(
        &self,
        page: Page<VersionDigest>,
    ) -> Result<Vec<ListedComponent>, LifecycleError> {
        let mut listed = Vec::new();
        for object in self.runtime.store().list(page).await? {
            listed.push(ListedComponent {
                object,
                is_used: self.db.is_digest_used(object.digest).await?,
                is_compiled: self.runtime.has_code(object.digest, CodeCheck::Exists).await?,
            });
        }
        Ok(listed)
    }

    /// Why a version that was accepted does not run, as far as that is known without reading its
    /// component.
    pub async fn refusal(&self, digest: VersionDigest) -> Result<Option<Arc<Refusal>>, LifecycleError> {
        Ok(self.runtime.refusal(digest).await?)
    }
}
