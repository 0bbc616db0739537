//! Which stored versions use something: what the operator refuses, or what is asked for.

use std::sync::Arc;

use super::{Lifecycle, LifecycleError};
use crate::components::Refusal;
use crate::components::shield::Shield;
use crate::domain::id::VersionDigest;

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

    /// Why a version that was accepted does not run, as far as that is known without reading its
    /// component.
    pub async fn refusal(&self, digest: VersionDigest) -> Result<Option<Arc<Refusal>>, LifecycleError> {
        Ok(self.runtime.refusal(digest).await?)
    }
}
