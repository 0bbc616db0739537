//! Moves unknown files of tenants to the folder `set-aside` when the host starts.
//!
//! A crash during an upload leaves such a file, or its row is missing because the database is an
//! old copy. Nothing is deleted: the operator inspects the files, and moves them back or removes
//! them.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::domain::clock::Timestamp;
use crate::domain::id::{TenantId, VersionDigest};
use crate::storage::{DbError, Removal, Repository};

/// The folder for unknown files, within the data folder.
const FOLDER: &str = "set-aside";

/// The most files that are listed.
const MOST_LISTED: usize = 1_000;

/// Folders with the extensions of their files. SQLite's additional files move with a database.
const KINDS: [(&str, &[&str]); 4] = [
    ("databases", &["db", "db-wal", "db-shm"]),
    ("components", &["wasm"]),
    ("compiled", &["cwasm"]),
    ("uses", &["json"]),
];

/// Why files could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum SetAsideError {
    /// The control plane's database fails.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A file could not be moved.
    #[error("{path}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
}

/// Moves files that `db` does not know to `set-aside/<time>`. Returns the new paths of databases
/// and components. Call it before anything opens these files.
pub async fn unknown_files(
    db: &dyn Repository,
    data: &Path,
    now: Timestamp,
) -> Result<Vec<PathBuf>, SetAsideError> {
    let (tenants, digests) = match (db.all_tenant_ids().await, db.all_digests().await) {
        (Ok(tenants), Ok(digests)) => (tenants, digests),
        // The files of an unreadable row would look unknown.
        (Err(error @ DbError::Corrupt { .. }), _) | (_, Err(error @ DbError::Corrupt { .. })) => {
            tracing::error!(%error, "no files are set aside, because an unreadable row may own them");
            return Ok(Vec::new());
        }
        (Err(error), _) | (_, Err(error)) => return Err(error.into()),
    };
    let mut tenants: HashSet<TenantId> = tenants.into_iter().collect();
    let mut digests: HashSet<VersionDigest> = digests.into_iter().collect();
    // Files that are marked for removal are known too.
    for removal in db.removals().await? {
        match removal {
            Removal::Database(tenant) => drop(tenants.insert(tenant)),
            Removal::Component(digest) => drop(digests.insert(digest)),
        }
    }
    let is_known = |kind: &str, stem: &str| match kind {
        "databases" => stem.parse().map_or(true, |id| tenants.contains(&id)),
        _ => format!("sha256:{stem}")
            .parse()
            .map_or(true, |digest| digests.contains(&digest)),
    };
    let aside = data.join(FOLDER).join(now.0.to_string());
    let mut moved = Vec::new();
    for (kind, extensions) in KINDS {
        for path in files(&data.join(kind))? {
            let (Some(stem), Some(extension)) = (text(path.file_stem()), text(path.extension())) else {
                continue;
            };
            if !extensions.contains(&extension) || is_known(kind, stem) {
                continue;
            }
            let into = aside.join(kind);
            let to = into.join(path.file_name().unwrap_or_default());
            let failed = |error| SetAsideError::Io {
                path: path.clone(),
                error,
            };
            fs::create_dir_all(&into).map_err(failed)?;
            fs::rename(&path, &to).map_err(failed)?;
            moved.extend(["db", "wasm"].contains(&extension).then_some(to));
        }
    }
    Ok(moved)
}

/// The files in `set-aside`, at most 1,000.
pub fn listed(data: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = vec![data.join(FOLDER)];
    let mut listed = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false if listed.len() < MOST_LISTED => listed.push(entry.path()),
                false => {}
            }
        }
    }
    listed.sort();
    Ok(listed)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, SetAsideError> {
    let failed = |error| SetAsideError::Io {
        path: folder.to_owned(),
        error,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<io::Result<_>>().map_err(failed)
}

fn text(part: Option<&std::ffi::OsStr>) -> Option<&str> {
    part.and_then(std::ffi::OsStr::to_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::{self, change};
    use crate::storage::sqlite::SqliteRepository;
    use crate::storage::{Plugins as _, Tenants as _};

    #[tokio::test]
    async fn what_is_unknown_is_moved_and_everything_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let db = SqliteRepository::open(folder.path()).await.unwrap();
        let known = conformance::tenant(&db, "known").await.id;
        let deleted = conformance::tenant(&db, "deleted").await.id;
        let purged = conformance::tenant(&db, "purged").await.id;
        let (plugin, version) = conformance::plugin(&db, deleted, "orders").await;
        let old = conformance::version_of("orders", "old", 1);
        db.add_version(deleted, &plugin, &old, &change(1)).await.unwrap();
        assert!(
            db.delete_version(deleted, &plugin, old.digest, &change(1))
                .await
                .unwrap()
        );
        db.delete_tenant(deleted, &change(1)).await.unwrap();
        db.purge_tenant(purged, &change(1)).await.unwrap();

        let unknown = VersionDigest::of(b"unknown");
        let stranger = TenantId::generate();
        let mut stay = vec!["databases/notes.txt".to_owned(), "components/odd.wasm".to_owned()];
        for tenant in [known, deleted, purged] {
            stay.push(format!("databases/{tenant}.db"));
            stay.push(format!("databases/{tenant}.db-wal"));
        }
        for digest in [version.digest, old.digest] {
            stay.push(format!("components/{}.wasm", digest.to_hex()));
            stay.push(format!("compiled/{}.cwasm", digest.to_hex()));
            stay.push(format!("uses/{}.json", digest.to_hex()));
        }
        let go = [
            format!("databases/{stranger}.db"),
            format!("databases/{stranger}.db-wal"),
            format!("components/{}.wasm", unknown.to_hex()),
            format!("compiled/{}.cwasm", unknown.to_hex()),
            format!("uses/{}.json", unknown.to_hex()),
        ];
        for path in stay.iter().chain(&go) {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "content").unwrap();
        }
        let moved = unknown_files(&db, folder.path(), Timestamp(7)).await.unwrap();
        assert_eq!(moved.len(), 2, "{moved:?}");
        for path in &stay {
            assert!(folder.path().join(path).exists(), "{path}");
        }
        for path in &go {
            assert!(!folder.path().join(path).exists(), "{path}");
            let aside = folder.path().join("set-aside/7").join(path);
            assert_eq!(fs::read(aside).unwrap(), b"content", "{path}");
        }
        assert!(
            unknown_files(&db, folder.path(), Timestamp(8))
                .await
                .unwrap()
                .is_empty()
        );
    }
}
