//! The temporary folder of a test's database, which is removed when it is dropped.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

/// A new folder in the system's folder for temporary files.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub fn create() -> Self {
        // The name may exist already, for example from a killed process that could not remove its
        // folder.
        loop {
            let random = RandomState::new().hash_one(process::id());
            let path = env::temp_dir().join(format!("mortise-testing-{}-{random:016x}", process::id()));
            match make(&path) {
                Ok(()) => return Self(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("the folder {} for a test cannot be made: {error}", path.display()),
            }
        }
    }

    /// The file of the database.
    pub fn file(&self) -> PathBuf {
        self.0.join("database")
    }
}

#[cfg(unix)]
fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If it cannot be removed, the system's cleanup of temporary files removes it.
        _ = fs::remove_dir_all(&self.0);
    }
}
