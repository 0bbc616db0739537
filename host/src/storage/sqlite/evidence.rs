//! Inspects a data folder before its database is opened.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::{FILE_NAME, ForeignDatabase};
use crate::storage::DbError;

/// The first bytes of every SQLite file.
const MAGIC: &[u8] = b"SQLite format 3\0";

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
        Ok(Self {
            databases: count(&data.join("databases"), "db")?,
            components: count(&data.join("components"), "wasm")?,
            // SQLite would delete the write-ahead log of an empty file.
            is_without_database: length == 0,
            is_cut: length > 0 && !has_log && is_cut(&file, length)?,
            has_log,
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

/// Whether the file has fewer pages than its header says. SQLite itself refuses a file without a
/// valid header.
fn is_cut(file: &Path, length: u64) -> io::Result<bool> {
    let mut header = [0; 100];
    let mut reader = fs::File::open(file)?;
    match io::Read::read_exact(&mut reader, &mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(true),
        Err(error) => return Err(error),
    }
    if !header.starts_with(MAGIC) {
        return Ok(false);
    }
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u64::from(u32::from_be_bytes([
        header[28], header[29], header[30], header[31],
    ]));
    Ok(length < page.saturating_mul(pages))
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
