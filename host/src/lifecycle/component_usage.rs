//! Lists stored components, and finds those that match a rule of the operator or of a query.

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
    /// The metadata in the component store.
    pub object: StoredObject,
    /// Whether any tenant has a version with this digest. An unused component is removed soon.
    pub is_used: bool,
    /// Whether this node has compiled code of the component.
    pub is_compiled: bool,
}

impl Lifecycle {
    /// The rules that a stored component matches: those of `asked`, otherwise those that this host
    /// refuses.
    pub async fn matching_rules(
        &self,
        digest: VersionDigest,
        asked: Option<&Shield>,
    ) -> Result<Vec<String>, LifecycleError> {
        let uses = self.runtime.components().uses(digest).await?;
        Ok(match asked {
            Some(asked) => asked.matching(&uses),
            None => {
                let off = uses.refused_proposals().into_iter();
                let off = off.map(|proposal| format!("proposal:{proposal}"));
                off.chain(self.runtime.components().shield().matching(&uses))
                    .collect()
            }
        })
    }

    /// The stored components of all tenants, by digest.
    pub async fn stored_components(
        &self,
        page: Page<VersionDigest>,
    ) -> Result<Vec<ListedComponent>, LifecycleError> {
        let mut listed = Vec::new();
        for object in self.runtime.components().store().list(page).await? {
            listed.push(ListedComponent {
                object,
                is_used: self.db.is_digest_used(object.digest).await?,
                is_compiled: self
                    .runtime
                    .components()
                    .has_code(object.digest, CodeCheck::Exists)
                    .await?,
            });
        }
        Ok(listed)
    }

    /// Why an accepted version does not run, as far as that is known without reading its component.
    pub async fn refusal(&self, digest: VersionDigest) -> Result<Option<Arc<Refusal>>, LifecycleError> {
        Ok(self.runtime.components().refusal(digest).await?)
    }
}
