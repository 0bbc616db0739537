//! Where components are kept: what all nodes share, named by digest. Compiled code is not in here;
//! each node makes and keeps its own.
//!
//! The contract is one that an object store with the API of S3 can keep: an object is written
//! whole, is read back as it was written once the write has returned, has a size and a time, and is
//! removed by its name. Nothing is renamed and no method tells a path.

#[cfg(test)]
mod conformance;
mod folder;

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use folder::FolderStore;

use crate::domain::clock::Timestamp;
use crate::domain::id::VersionDigest;
use crate::storage::Page;

/// A component whose digest was computed from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedComponent {
    digest: VersionDigest,
    bytes: Bytes,
}

/// What a store knows of a component without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// The digest that it was stored under.
    pub digest: VersionDigest,
    /// Bytes.
    pub size: u64,
    /// When it was put last, by the clock of the store.
    pub stored_at: Timestamp,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// What is stored under the digest has another one. Putting the component again repairs it.
    #[error("what is stored as the component {0} has another digest; upload the same file again")]
    Damaged(VersionDigest),
    /// The store cannot be read or written.
    #[error("the store of components cannot be used at the moment: {0}")]
    Unavailable(Arc<dyn Error + Send + Sync>),
}

/// Keeps components.
#[async_trait]
pub trait ComponentStore: Send + Sync + 'static {
    /// Stores a component. Once this returns, every node reads it, and its age is zero. The content
    /// of a digest never changes, so putting it again only makes up for damage.
    async fn put(&self, component: &VerifiedComponent) -> Result<(), StoreError>;

    /// Reads a component and checks it against its digest. `None` if it is not there.
    async fn get(&self, digest: VersionDigest) -> Result<Option<VerifiedComponent>, StoreError>;

    /// What is stored under a digest, unread. `None` if nothing is.
    async fn stat(&self, digest: VersionDigest) -> Result<Option<StoredObject>, StoreError>;

    /// What is stored, in the order of the digests.
    async fn list(&self, page: Page<VersionDigest>) -> Result<Vec<StoredObject>, StoreError>;

    /// Removes a component. One that is not there is removed already.
    async fn remove(&self, digest: VersionDigest) -> Result<(), StoreError>;
}

impl VerifiedComponent {
    /// Computes the digest, which takes a while: on a thread that may block.
    pub fn new(bytes: Bytes) -> Self {
        let digest = VersionDigest::of(&bytes);
        Self { digest, bytes }
    }

    /// The digest.
    pub fn digest(&self) -> VersionDigest {
        self.digest
    }

    /// The component as it was uploaded.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl StoreError {
    /// The store cannot be used.
    pub fn unavailable(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}
