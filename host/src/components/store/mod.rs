//! The component store, which all nodes share. Components are named by digest. Compiled code is not
//! part of it; each node has its own.
//!
//! An object store with the S3 API can implement the trait: an object is written atomically, can be
//! read once the write has returned, has a size and a time, and is removed by name. Objects are
//! never renamed, and no method exposes a path.

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

/// A component with its computed digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedComponent {
    digest: VersionDigest,
    bytes: Bytes,
}

/// The metadata of a stored component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// The digest under which it is stored.
    pub digest: VersionDigest,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last put, by the clock of the store.
    pub stored_at: Timestamp,
}

/// Why a store operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The stored bytes do not match the digest. Storing the component again repairs them.
    #[error("what is stored as the component {0} has another digest; upload the same file again")]
    Damaged(VersionDigest),
    /// The store cannot be read or written.
    #[error("the store of components cannot be used at the moment: {0}")]
    Unavailable(Arc<dyn Error + Send + Sync>),
}

/// A store of components.
#[async_trait]
pub trait ComponentStore: Send + Sync + 'static {
    /// Stores a component. When this returns, every node can read it, and its age is zero. The
    /// content of a digest never changes, so storing it again only repairs damage.
    async fn put(&self, component: &VerifiedComponent) -> Result<(), StoreError>;

    /// Reads a component and checks its digest. `None` if it is not stored.
    async fn get(&self, digest: VersionDigest) -> Result<Option<VerifiedComponent>, StoreError>;

    /// The metadata of a component. `None` if it is not stored.
    async fn stat(&self, digest: VersionDigest) -> Result<Option<StoredObject>, StoreError>;

    /// Lists the stored components by digest.
    async fn list(&self, page: Page<VersionDigest>) -> Result<Vec<StoredObject>, StoreError>;

    /// Removes a component. A missing one is not an error.
    async fn remove(&self, digest: VersionDigest) -> Result<(), StoreError>;
}

impl VerifiedComponent {
    /// Computes the digest. Large components take long, so call it on a blocking thread.
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

    /// The bytes, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl StoreError {
    /// An error for a store that cannot be used.
    pub fn unavailable(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}
