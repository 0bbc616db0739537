//! The mark of a data folder: which control plane's database belongs to it, and how new that has to be.
//!
//! The database counts each change to the set of tenants (its generation). The file `mark` beside it has a
//! copy of the count, written after the change is committed. So a database that is older than the mark is a
//! copy from before: the host must not start on it, or it would take the newer tenants for unknown ones.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// The file's name within the data folder.
const FILE_NAME: &str = "mark";

/// Identity and generation of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Which database, for its whole life.
    pub id: String,
    /// How often the set of its tenants has changed.
    pub generation: i64,
    /// Which start of the host wrote to the database last; empty if it was a host from before there were such
    /// names.
    #[serde(default)]
    pub started: String,
    /// The start that writes its name into the database now: it may be there already, or not yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub starting: String,
}

/// The file of the mark.
#[derive(Debug)]
pub(super) struct MarkFile {
    path: PathBuf,
    /// What the file holds, as far as this process knows.
    written: Mutex<Option<Mark>>,
}

impl MarkFile {
    /// The file in a data folder.
    pub fn of(data: &Path) -> Self {
        Self {
            path: data.join(FILE_NAME),
            written: Mutex::default(),
        }
    }

    /// What the file holds; `None` if there is none.
    pub fn read(&self) -> io::Result<Option<Mark>> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a mark, unless this process has written a newer one before: whole, and synced.
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
            started: "now".to_owned(),
            starting: String::new(),
        };
        for (written, wanted) in [(2, 2), (1, 2), (3, 3)] {
            file.write(&mark(written)).unwrap();
            assert_eq!(file.read().unwrap(), Some(mark(wanted)));
        }
        fs::write(folder.path().join(FILE_NAME), "{").unwrap();
        assert!(file.read().is_err());
    }
}
