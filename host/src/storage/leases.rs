//! Leases on components, so that no node removes a component that another one is uploading.
//!
//! An upload takes a lease, stores the component, and writes the version's row, all in this order.
//! A removal claims the digest before it removes the component. The two exclude each other.

use async_trait::async_trait;

use super::DbError;
use crate::domain::clock::Timestamp;
use crate::domain::id::{LeaseId, VersionDigest};

/// A lease on a component, or a claim to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which component.
    pub digest: VersionDigest,
    /// Whose.
    pub holder: LeaseId,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The component may be removed now.
    Granted,
    /// A version has the digest, so the component stays and is not to be removed any more.
    Used,
    /// Somebody else uploads or removes it at this moment.
    Leased,
    /// It is not to be removed.
    NotNamed,
}

/// Leases and claims.
#[async_trait]
pub trait Leases {
    /// Takes a lease for an upload, or extends it. The component is named for removal in the same
    /// transaction, so that it is removed if the upload never ends. `false` while somebody removes
    /// the component.
    async fn lease_component(&self, lease: &Lease, now: Timestamp) -> Result<bool, DbError>;

    /// Gives up a lease or a claim. One that is not there any more is given up already.
    async fn release_component(&self, digest: VersionDigest, holder: LeaseId) -> Result<(), DbError>;

    /// Claims a component for its removal, if it is named for removal, no version has the digest,
    /// and nobody else holds a lease that has not expired. The holder's own lease becomes the
    /// claim.
    async fn claim_component(&self, claim: &Lease, now: Timestamp) -> Result<Claim, DbError>;

    /// Records that the component of a claim is removed, and ends the claim. `false` if the claim
    /// was over before: somebody else may have stored the component again.
    async fn component_removed(&self, digest: VersionDigest, holder: LeaseId) -> Result<bool, DbError>;
}
