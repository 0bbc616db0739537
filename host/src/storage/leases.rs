//! Leases on components. They prevent that a node removes a component while another one uploads it.
//!
//! An upload takes a lease, stores the component and then writes the version's row. A removal
//! claims the digest before it removes the component. A lease and a claim exclude each other.

use async_trait::async_trait;

use super::DbError;
use crate::domain::clock::Timestamp;
use crate::domain::id::{LeaseId, VersionDigest};

/// A lease on a component, or a claim to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The component.
    pub digest: VersionDigest,
    /// The holder.
    pub holder: LeaseId,
    /// Time of expiry.
    pub expires_at: Timestamp,
}

/// The result of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The component may be removed.
    Granted,
    /// A version has the digest. The component is kept and no longer marked for removal.
    Used,
    /// Another holder uploads or removes the component.
    Leased,
    /// The component is not marked for removal.
    NotNamed,
}

/// Leases and claims.
#[async_trait]
pub trait Leases {
    /// Takes or extends a lease for an upload. The same transaction marks the component for
    /// removal, in case the upload never finishes. `false` while the component is being removed.
    async fn lease_component(&self, lease: &Lease, now: Timestamp) -> Result<bool, DbError>;

    /// Releases a lease or a claim. A missing one is not an error.
    async fn release_component(&self, digest: VersionDigest, holder: LeaseId) -> Result<(), DbError>;

    /// Claims a component for removal. It must be marked for removal, no version may have its
    /// digest, and nobody else may hold a valid lease. The holder's own lease becomes the claim.
    async fn claim_component(&self, claim: &Lease, now: Timestamp) -> Result<Claim, DbError>;

    /// Records that a claimed component was removed, and ends the claim. `false` if the claim had
    /// expired; another node may have stored the component again.
    async fn component_removed(&self, digest: VersionDigest, holder: LeaseId) -> Result<bool, DbError>;
}
