//! A component store in a local folder. One process uses the folder at a time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use super::{ComponentStore, StoreError, StoredObject, VerifiedComponent};
use crate::components::files::{self, blocking};
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::VersionDigest;
use crate::storage::Page;

const EXTENSION: &str = "wasm";

/// A folder with a file per component. The modification time of a file comes from the host's clock.
#[derive(Clone)]
pub struct FolderStore {
    folder: PathBuf,
    clock: SharedClock,
}

impl FolderStore {
    /// Opens the folder `components` within `data`. Creates it if it is missing.
    pub fn open(data: &Path, clock: SharedClock) -> io::Result<Self> {
        let folder = data.join("components");
        files::open_folder(&folder)?;
        Ok(Self { folder, clock })
    }

    fn file(&self, digest: VersionDigest) -> PathBuf {
        self.folder.join(digest.to_hex()).with_extension(EXTENSION)
    }

    /// Lists the digests by name only. Sizes and times are read later, for one page.
    fn digests(&self) -> io::Result<Vec<VersionDigest>> {
        let mut digests = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            digests.extend(digest_of(&entry?.path()));
        }
        digests.sort_unstable();
        Ok(digests)
    }

    fn object(&self, digest: VersionDigest) -> io::Result<Option<StoredObject>> {
        let Some(metadata) = files::metadata(&self.file(digest))? else {
            return Ok(None);
        };
        Ok(Some(StoredObject {
            digest,
            size: metadata.len(),
            stored_at: timestamp(metadata.modified()?),
        }))
    }

    /// Runs work on a blocking thread.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        blocking(move || work(&store))
            .await
            .map_err(StoreError::unavailable)
    }
}

#[async_trait]
impl ComponentStore for FolderStore {
    async fn put(&self, component: &VerifiedComponent) -> Result<(), StoreError> {
        let component = component.clone();
        self.with(move |store| {
            let now = system_time(store.clock.now());
            files::write(&store.file(component.digest), &[&component.bytes], Some(now))
        })
        .await
    }

    async fn get(&self, digest: VersionDigest) -> Result<Option<VerifiedComponent>, StoreError> {
        let read = self.with(move |store| {
            let bytes = files::read(&store.file(digest))?;
            Ok(bytes.map(|bytes| VerifiedComponent::new(bytes.into())))
        });
        match read.await? {
            Some(component) if component.digest != digest => Err(StoreError::Damaged(digest)),
            component => Ok(component),
        }
    }

    async fn stat(&self, digest: VersionDigest) -> Result<Option<StoredObject>, StoreError> {
        self.with(move |store| store.object(digest)).await
    }

    async fn list(&self, page: Page<VersionDigest>) -> Result<Vec<StoredObject>, StoreError> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        self.with(move |store| {
            let digests = store.digests()?.into_iter();
            let digests = digests.filter(|digest| page.after.is_none_or(|after| *digest > after));
            digests
                .filter_map(|digest| store.object(digest).transpose())
                .take(limit)
                .collect()
        })
        .await
    }

    async fn remove(&self, digest: VersionDigest) -> Result<(), StoreError> {
        self.with(move |store| files::remove(&store.file(digest))).await
    }
}

/// The digest in the name of a file.
fn digest_of(path: &Path) -> Option<VersionDigest> {
    let is_component = path.extension().is_some_and(|extension| extension == EXTENSION);
    let hex = path.file_stem()?.to_str().filter(|_| is_component)?;
    format!("sha256:{hex}").parse().ok()
}

fn system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}

fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::conformance;
    use super::*;
    use crate::domain::clock::ManualClock;

    /// An empty store, its folder, and a function that damages a stored component.
    async fn open() -> conformance::Opened<FolderStore> {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp(1_000)));
        let store = FolderStore::open(folder.path(), clock.clone()).unwrap();
        let files = store.clone();
        conformance::Opened {
            store,
            clock,
            damage: Box::new(move |digest, content| fs::write(files.file(digest), content).unwrap()),
            _guard: Box::new(folder),
        }
    }

    conformance::tests!(open);

    #[tokio::test]
    async fn a_start_removes_what_a_crash_left_half_written() {
        let opened = open().await;
        let half = opened.store.folder.join("half.tmp");
        fs::write(&half, "left by a crash").unwrap();
        let data = opened.store.folder.parent().unwrap();
        FolderStore::open(data, opened.clock.clone()).unwrap();
        assert!(!half.exists());
    }

    #[tokio::test]
    async fn an_error_tells_no_path() {
        let opened = open().await;
        let folder = opened.store.folder.clone();
        fs::remove_dir(&folder).unwrap();
        fs::write(&folder, "a file in the place of the folder").unwrap();
        let component = VerifiedComponent::new("x".into());
        let error = opened.store.put(&component).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(!error.to_string().contains('/'), "{error}");
    }
}
