//! The data folder: locked, so that one host at a time uses it, and readable by its user only.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// A data folder that is locked by this process.
pub struct DataFolder {
    path: PathBuf,
    lock: File,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// The folder cannot be created, read or written.
    #[error("cannot use the data folder {path}: {error}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// Another process has locked the folder.
    #[error("another host uses the data folder {0}; stop it, or set `data.folder` to another one")]
    InUse(PathBuf),
}

impl DataFolder {
    /// Opens and locks a folder. Creates it if it is missing.
    pub fn open(path: &Path) -> Result<Self, DataFolderError> {
        let failed = |error| DataFolderError::Io {
            path: path.to_owned(),
            error,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let lock = File::create(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(DataFolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // Closing the file is not enough: a child between fork and exec shares the lock for a
        // moment. Unlocking applies to all processes that share the file. If it fails, closing must
        // do.
        let _ = self.lock.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_host_has_the_folder() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let first = DataFolder::open(&path).unwrap();
        assert!(matches!(DataFolder::open(&path), Err(DataFolderError::InUse(_))));
        drop(first);
        assert!(DataFolder::open(&path).is_ok());
    }

    #[test]
    fn a_child_that_is_being_started_does_not_keep_the_folder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(parent.path()).unwrap();
        let _inherited = folder.lock.try_clone().unwrap();
        drop(folder);
        assert!(DataFolder::open(parent.path()).is_ok());
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        std::fs::write(&path, "").unwrap();
        let error = DataFolder::open(&path).err().unwrap().to_string();
        assert!(
            error.contains("cannot use the data folder") && error.contains("data"),
            "{error}"
        );
    }
}
