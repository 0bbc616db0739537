//! The data folder: locked, so that one host at a time uses it, and readable by its user only.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::ErrorKind;
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

    /// The name of the node that uses this folder: the name of the machine and a random number. It
    /// is chosen when it is needed first, and stays with the folder.
    pub fn node_name(&self) -> Result<String, DataFolderError> {
        let path = self.path.join("node");
        let failed = |error| DataFolderError::Io {
            path: path.clone(),
            error,
        };
        match std::fs::read_to_string(&path) {
            Ok(name) if is_node_name(name.trim()) => return Ok(name.trim().to_owned()),
            // An empty file is left from a crash.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let random = getrandom::u32().map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let machine: String = machine.chars().filter(|c| is_of_node_name(*c)).take(40).collect();
        let name = format!("{machine}-{random:08x}");
        std::fs::write(&path, &name).map_err(failed)?;
        Ok(name)
    }
}

fn is_node_name(name: &str) -> bool {
    (9..=64).contains(&name.len()) && name.chars().all(is_of_node_name)
}

fn is_of_node_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')
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
    fn a_node_keeps_its_name() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(parent.path()).unwrap();
        let name = folder.node_name().unwrap();
        assert_eq!(folder.node_name().unwrap(), name);
        assert!(is_node_name(&name), "{name}");
        for damaged in ["", "x", "a name with spaces"] {
            std::fs::write(parent.path().join("node"), damaged).unwrap();
            let other = folder.node_name().unwrap();
            assert_ne!(other, name);
            assert_eq!(folder.node_name().unwrap(), other);
        }
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
