//! Inspects a data folder before its database is opened.

use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use super::mark::StartNumber;
use super::{FILE_NAME, ForeignDatabase};
use crate::storage::DbError;

/// The first bytes of every SQLite file.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The length of a SQLite file's header in bytes.
const HEADER: usize = 100;

/// The content of a data folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// Number of tenants' databases.
    pub databases: usize,
    /// Number of components.
    pub components: usize,
    /// Whether the control plane's database is missing or empty.
    pub is_without_database: bool,
    /// Whether the control plane's database is shorter than its header says.
    pub is_cut: bool,
    /// Whether there is a write-ahead log. The newest pages are then in the log and not in the
    /// file.
    pub has_log: bool,
    /// The start in the header of the control plane's database; `None` without a valid header.
    pub start: Option<StartNumber>,
}

/// The header of a SQLite file.
struct Header {
    /// The size of the database in bytes.
    size: u64,
    start: StartNumber,
}

impl Evidence {
    /// Inspects a folder.
    pub fn of(data: &Path) -> io::Result<Self> {
        let file = data.join(FILE_NAME);
        let length = match fs::metadata(&file) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let has_log = has_log(data)?;
        let header = match length {
            0 => None,
            _ => Header::read(&file)?,
        };
        let is_shorter = match &header {
            Some(header) => length < header.size,
            None => length < HEADER as u64,
        };
        Ok(Self {
            databases: count(&data.join("databases"), "db")?,
            components: count(&data.join("components"), "wasm")?,
            // SQLite would delete the write-ahead log of an empty file.
            is_without_database: length == 0,
            is_cut: length > 0 && !has_log && is_shorter,
            has_log,
            start: header.map(|header| header.start),
        })
    }

    /// Refuses a truncated database, and a missing or empty one if the folder was in use.
    pub fn check(&self, has_mark: bool, foreign: ForeignDatabase) -> Result<(), DbError> {
        if self.is_cut {
            return Err(DbError::Cut);
        }
        let was_used = has_mark || self.has_log || self.databases > 0 || self.components > 0;
        if self.is_without_database && was_used && foreign == ForeignDatabase::Refuse {
            return Err(DbError::Lost {
                databases: self.databases,
                components: self.components,
            });
        }
        Ok(())
    }
}

fn has_log(data: &Path) -> io::Result<bool> {
    match fs::metadata(data.join(format!("{FILE_NAME}-wal"))) {
        Ok(metadata) => Ok(metadata.len() > 0),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Header {
    /// Reads the header of a file; `None` if it is not one of SQLite's, which SQLite refuses
    /// itself.
    fn read(file: &Path) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEADER];
        match fs::File::open(file)?.read_exact(&mut bytes) {
            Ok(()) if bytes.starts_with(MAGIC) => Ok(Some(Self::of(&bytes))),
            Ok(()) => Ok(None),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Fields as in <https://sqlite.org/fileformat2.html#the_database_header>.
    fn of(bytes: &[u8; HEADER]) -> Self {
        let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let page = match u16::from_be_bytes([bytes[16], bytes[17]]) {
            1 => 65_536,
            size => u64::from(size),
        };
        Self {
            size: page.saturating_mul(u64::from(number(28))),
            start: StartNumber(number(60)),
        }
    }
}

fn count(folder: &Path, kind: &str) -> io::Result<usize> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            let mut count = 0;
            for entry in entries {
                count += usize::from(
                    entry?
                        .path()
                        .extension()
                        .is_some_and(|extension| extension == kind),
                );
            }
            Ok(count)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
