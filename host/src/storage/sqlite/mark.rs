//! The mark of a data folder: names the control plane's database that belongs to the folder, and
//! its least generation.
//!
//! The database counts changes to the set of tenants (its generation). The file `mark` has a copy
//! of the count, written after each commit. A database with a lower count is an old copy. The host
//! must not start on it, since it would treat newer tenants as unknown.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Name of the file within the data folder.
const FILE_NAME: &str = "mark";

/// Identity and generation of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Id of the database, which never changes.
    pub id: String,
    /// Number of changes to the set of tenants.
    pub generation: i64,
    /// The last start of a host on the database.
    #[serde(default)]
    pub last_start: StartNumber,
    /// The start that is writing its number into the database. The number may or may not be there
    /// yet.
    #[serde(default)]
    pub next_start: StartNumber,
}

/// A random number of each start of a host. The database has it in its header, as SQLite's
/// `user_version`, so that it can be read without the write-ahead log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct StartNumber(pub u32);

impl StartNumber {
    /// The number in a database of which no host has numbered a start.
    pub const NONE: Self = Self(0);

    /// A new number.
    pub fn generate() -> Self {
        let [.., a, b, c, d] = uuid::Uuid::new_v4().into_bytes();
        Self(u32::from_be_bytes([a, b, c, d]).max(1))
    }
}

/// The file of the mark.
#[derive(Debug)]
pub(super) struct MarkFile {
    path: PathBuf,
    /// The last known content of the file.
    written: Mutex<Option<Mark>>,
}

impl MarkFile {
    /// The mark's file in a data folder.
    pub fn of(data: &Path) -> Self {
        Self {
            path: data.join(FILE_NAME),
            written: Mutex::default(),
        }
    }

    /// Reads the file; `None` if it does not exist.
    pub fn read(&self) -> io::Result<Option<Mark>> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes and syncs a mark atomically, unless this process has written a newer one.
    pub fn write(&self, mark: &Mark) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |written: &Mark| written.generation > mark.generation || written == mark;
        if written.as_ref().is_some_and(is_known) {
            return Ok(());
        }
        let temporary = self.path.with_extension("tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(mark).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        *written = Some(mark.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_goes_forward_only_and_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = MarkFile::of(folder.path());
        assert_eq!(file.read().unwrap(), None);
        let mark = |generation| Mark {
            id: "a".to_owned(),
            generation,
            last_start: StartNumber(7),
            next_start: StartNumber::NONE,
        };
        for (written, wanted) in [(2, 2), (1, 2), (3, 3)] {
            file.write(&mark(written)).unwrap();
            assert_eq!(file.read().unwrap(), Some(mark(wanted)));
        }
        fs::write(folder.path().join(FILE_NAME), "{").unwrap();
        assert!(file.read().is_err());
    }
}
