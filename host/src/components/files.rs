//! Atomic file writes: the content goes to a temporary file, which is synced and renamed. Then the
//! folder is synced.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::time::SystemTime;

/// The extension of a file that is being written.
const TEMPORARY: &str = "tmp";

/// Creates a folder if it is missing, and removes temporary files that a crash left. Only one
/// process may use a folder.
pub fn open_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == TEMPORARY) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The content of a regular file. Anything else under its name could be endless, so it counts as
/// missing.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match metadata(path)? {
        Some(_) => fs::read(path).map(Some),
        None => Ok(None),
    }
}

/// The metadata of a regular file.
pub fn metadata(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata).filter(fs::Metadata::is_file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes `parts` and replaces an existing file. `modified` overrides the modification time.
pub fn write(path: &Path, parts: &[&[u8]], modified: Option<SystemTime>) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.{TEMPORARY}", uuid::Uuid::now_v7().simple()));
    let written = write_synced(&temporary, parts, modified).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // The file that failed would take up space until the next start.
        let _ = remove(&temporary);
        return Err(error);
    }
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn write_synced(path: &Path, parts: &[&[u8]], modified: Option<SystemTime>) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    if let Some(modified) = modified {
        file.set_modified(modified)?;
    }
    file.sync_all()
}

/// Removes a file if it exists.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Runs blocking work on a blocking thread.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
