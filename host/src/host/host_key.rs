//! The host's key: its creation, its check against the database, and its rotation.
//!
//! A rotation writes the new key to a second file and encrypts all secrets again in one
//! transaction, which also records the new key. Then the new file replaces the old one. After a
//! crash, the database shows which file has the right key, and the next start completes the
//! replacement.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::storage::vault::{HostKey, HostKeyError, Vault};
use crate::storage::{DbError, Repository};

/// Secrets that are tried if the database does not know its key yet. One that can be decrypted is
/// enough, since others may be damaged.
const TRIED: u32 = 50;

/// Why there is no usable key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] HostKeyError),
    /// The file contains another key.
    #[error(
        "the host key {0} is not the one that the secrets in mortise.db are sealed under; put back the key \
         that belongs to this data folder. If it is lost, `mortise host-key accept` keeps the key that is \
         there, and every secret has to be set again"
    )]
    Foreign(PathBuf),
    /// The file is missing.
    #[error(
        "the host key {0} is missing, and the secrets in mortise.db are sealed under it; put it back. If it \
         is lost, `mortise host-key accept` makes a new one, and every secret has to be set again"
    )]
    Missing(PathBuf),
    /// The present key is the right one, so it cannot be replaced by `accept`.
    #[error("the secrets are sealed under the host key {0}, so there is nothing to accept")]
    InUse(PathBuf),
    /// The last step of an interrupted rotation fails.
    #[error(
        "a rotation of the host key was interrupted after the secrets had been sealed anew: the key is in \
         {new} now and belongs in {path}, where it cannot be moved ({error}); move it there"
    )]
    HalfRotated {
        /// The file with the new key.
        new: PathBuf,
        /// The file that it should replace.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The database fails.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The result of a rotation.
#[derive(Debug)]
pub struct Rotated {
    /// Secrets that are encrypted with the new key.
    pub secrets: u64,
    /// Secrets that the old key could not decrypt. They are unchanged.
    pub unreadable: Vec<(TenantId, String)>,
    /// Files of compiled code with a MAC of the new key, or why they could not be rewritten. In
    /// that case they are compiled again when they are needed.
    pub code: Result<u64, String>,
}

/// The path of the key file.
pub fn path(config: &Config) -> PathBuf {
    match config.data.key_file.as_os_str().is_empty() {
        true => config.data.folder.join("host.key"),
        false => config.data.key_file.clone(),
    }
}

/// Opens the key of the secrets in `db`. The first start creates it. An interrupted rotation is
/// completed.
pub async fn open(db: &dyn Repository, config: &Config) -> Result<HostKey, KeyError> {
    let path = path(config);
    let next = next(&path);
    let Some(check) = db.key_check().await? else {
        return first(db, config, &path).await;
    };
    let key = load(&path)?;
    if let Some(key) = key.filter(|key| key.check() == check) {
        set_aside(&next)?;
        return Ok(key);
    }
    match load(&next)? {
        Some(key) if key.check() == check => {
            put_in_place(&next, &path)?;
            tracing::warn!(file = %path.display(), "an interrupted rotation of the host key was completed");
            Ok(key)
        }
        _ => match path.exists() {
            true => Err(KeyError::Foreign(path)),
            false => Err(KeyError::Missing(path)),
        },
    }
}

/// The key of a host whose database does not know its key yet: a new key, or that of an earlier
/// version.
async fn first(db: &dyn Repository, config: &Config, path: &Path) -> Result<HostKey, KeyError> {
    let secrets = db.some_secrets(TRIED).await?;
    let key = match load(path)? {
        Some(key) => key,
        None if !secrets.is_empty() => return Err(KeyError::Missing(path.to_owned())),
        // The operator creates a file that the configuration names.
        None if !config.data.key_file.as_os_str().is_empty() => HostKey::load(path)?,
        None => HostKey::create(path)?,
    };
    let vault = Vault::new(&key);
    let opens = |(tenant, name, sealed): &(TenantId, String, _)| vault.open(*tenant, name, sealed).is_ok();
    if !secrets.is_empty() && !secrets.iter().any(opens) {
        return Err(KeyError::Foreign(path.to_owned()));
    }
    db.set_key_check(&key.check(), None).await?;
    Ok(key)
}

/// Uses the present key, or a new one, from now on. Secrets of another key cannot be decrypted any
/// more. Refused if the right key is present, also as the new key of an interrupted rotation.
pub async fn accept(db: &dyn Repository, config: &Config, now: Timestamp) -> Result<PathBuf, KeyError> {
    let path = path(config);
    match open(db, config).await {
        Ok(_) => return Err(KeyError::InUse(path)),
        Err(KeyError::Foreign(_) | KeyError::Missing(_)) => {}
        Err(error) => return Err(error),
    }
    let key = match load(&path)? {
        Some(key) => key,
        None => HostKey::create(&path)?,
    };
    let change = Change::new(Change::COMMAND, "host-key.accept", "host.key", now);
    db.set_key_check(&key.check(), Some(&change)).await?;
    Ok(path)
}

/// Creates a new key and encrypts all secrets with it. No host may run on the folder.
pub async fn rotate(db: &dyn Repository, config: &Config, now: Timestamp) -> Result<Rotated, KeyError> {
    let old = open(db, config).await?;
    let path = path(config);
    let next = next(&path);
    let new = HostKey::create(&next)?;
    sync_folder(&next).map_err(|error| io(&next, error))?;
    let (from, to) = (Vault::new(&old), Vault::new(&new));
    let change = Change::new(Change::COMMAND, "host-key.rotate", "host.key", now);
    let resealed = db
        .reseal(&new.check(), &change, &|tenant, name, sealed| {
            to.reseal(&from, tenant, name, sealed).map_err(Into::into)
        })
        .await?;
    put_in_place(&next, &path)?;
    let code = crate::sandbox::reseal_stored_code(&config.data.folder, &config.ceiling(), &old, &new);
    Ok(Rotated {
        secrets: resealed.secrets,
        unreadable: resealed.left,
        code: code.map_err(|error| error.to_string()),
    })
}

/// The file of the new key during a rotation.
fn next(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Renames the unused new key of an interrupted rotation. A file without a valid key is removed.
fn set_aside(next: &Path) -> Result<(), KeyError> {
    let kept = match load(next) {
        Ok(None) => return Ok(()),
        Ok(Some(key)) => {
            let check: String = key.check().chars().take(8).collect();
            let mut kept = next.as_os_str().to_owned();
            kept.push(format!(".unused-{check}"));
            Some(kept)
        }
        Err(_) => None,
    };
    let done = match &kept {
        Some(kept) => fs::rename(next, kept),
        None => fs::remove_file(next),
    };
    done.map_err(|error| io(next, error))?;
    tracing::info!(file = %next.display(), ?kept, "an unused new host key was set aside");
    Ok(())
}

fn load(path: &Path) -> Result<Option<HostKey>, HostKeyError> {
    match HostKey::load(path) {
        Err(HostKeyError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(None),
        loaded => loaded.map(Some),
    }
}

fn put_in_place(next: &Path, path: &Path) -> Result<(), KeyError> {
    let moved = fs::rename(next, path).and_then(|()| sync_folder(path));
    moved.map_err(|error| KeyError::HalfRotated {
        new: next.to_owned(),
        path: path.to_owned(),
        error,
    })
}

/// Syncs the folder, so that a created or renamed file survives a power cut.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn io(path: &Path, error: std::io::Error) -> KeyError {
    KeyError::File(HostKeyError::Io {
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::storage::conformance::{change, tenant};
    use crate::storage::sqlite::SqliteRepository;
    use crate::storage::{Audit as _, HostKeys as _, Page, Secrets as _};

    struct Folder {
        folder: tempfile::TempDir,
        db: SqliteRepository,
        config: Config,
        tenant: TenantId,
    }

    impl Folder {
        /// A data folder with a key and a secret.
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db = SqliteRepository::open(folder.path()).await.unwrap();
            let mut config = Config::default();
            config.data.folder = folder.path().to_owned();
            let tenant = tenant(&db, "acme").await.id;
            let key = open(&db, &config).await.unwrap();
            let sealed = Vault::new(&key).seal(tenant, "k", &"hunter2".into()).unwrap();
            db.put_secret(tenant, "k", &sealed, &change(1)).await.unwrap();
            Self {
                folder,
                db,
                config,
                tenant,
            }
        }

        fn file(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        async fn open(&self) -> Result<HostKey, KeyError> {
            open(&self.db, &self.config).await
        }

        async fn secret(&self) -> String {
            let vault = Vault::new(&self.open().await.unwrap());
            let sealed = self.db.sealed_secrets(self.tenant).await.unwrap();
            let secret = vault.open(self.tenant, "k", &sealed["k"]).unwrap();
            secret.expose_secret().to_owned()
        }
    }

    #[tokio::test]
    async fn a_key_that_is_not_the_databases_own_is_refused() {
        let folder = Folder::new().await;
        let (key, kept) = (folder.file("host.key"), folder.file("kept"));
        fs::rename(&key, &kept).unwrap();
        let missing = folder.open().await.err().unwrap();
        assert!(
            matches!(&missing, KeyError::Missing(path) if *path == key),
            "{missing}"
        );
        assert!(!key.exists(), "no new key is made in its place");
        HostKey::create(&key).unwrap();
        let foreign = folder.open().await.err().unwrap();
        assert!(
            matches!(&foreign, KeyError::Foreign(path) if *path == key),
            "{foreign}"
        );
        assert!(
            foreign.to_string().contains("`mortise host-key accept`"),
            "{foreign}"
        );
        fs::rename(&kept, &key).unwrap();
        assert_eq!(folder.secret().await, "hunter2");
    }

    #[tokio::test]
    async fn a_database_of_an_earlier_host_is_tried_by_its_secrets() {
        let folder = Folder::new().await;
        folder.db.set_key_check("", None).await.unwrap();
        let (key, kept) = (folder.file("host.key"), folder.file("kept"));
        fs::rename(&key, &kept).unwrap();
        assert!(matches!(folder.open().await.err().unwrap(), KeyError::Missing(_)));
        HostKey::create(&key).unwrap();
        assert!(matches!(folder.open().await.err().unwrap(), KeyError::Foreign(_)));
        assert_eq!(folder.db.key_check().await.unwrap(), None);
        fs::rename(&kept, &key).unwrap();
        assert_eq!(folder.secret().await, "hunter2");
        assert!(folder.db.key_check().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn an_accepted_key_is_used_from_then_on() {
        let folder = Folder::new().await;
        fs::remove_file(folder.file("host.key")).unwrap();
        accept(&folder.db, &folder.config, Timestamp(2)).await.unwrap();
        folder.open().await.unwrap();
        let page = Page::first(1);
        let audit = folder.db.audit(None, &Default::default(), page).await;
        assert_eq!(audit.unwrap()[0].change.action, "host-key.accept");
    }

    #[tokio::test]
    async fn a_key_that_is_there_cannot_be_given_up() {
        let folder = Folder::new().await;
        let accepted = || accept(&folder.db, &folder.config, Timestamp(2));
        assert!(matches!(accepted().await, Err(KeyError::InUse(_))));
        // A rotation that was interrupted after the secrets were encrypted again.
        rotate(&folder.db, &folder.config, Timestamp(2)).await.unwrap();
        fs::rename(folder.file("host.key"), folder.file("host.key.new")).unwrap();
        assert!(matches!(accepted().await, Err(KeyError::InUse(_))));
        assert_eq!(folder.secret().await, "hunter2");
    }

    #[tokio::test]
    async fn a_rotation_changes_the_key_and_keeps_the_secrets() {
        let folder = Folder::new().await;
        let before = folder.open().await.unwrap().check();
        let rotated = rotate(&folder.db, &folder.config, Timestamp(2)).await.unwrap();
        assert_eq!((rotated.secrets, rotated.unreadable.len()), (1, 0));
        assert_eq!(rotated.code, Ok(0));
        assert_ne!(folder.open().await.unwrap().check(), before);
        assert_eq!(folder.secret().await, "hunter2");
        assert!(!folder.file("host.key.new").exists());
    }

    #[tokio::test]
    async fn a_start_makes_up_for_a_rotation_that_was_interrupted() {
        let folder = Folder::new().await;
        let (key, next) = (folder.file("host.key"), folder.file("host.key.new"));
        // Interrupted before the secrets were encrypted again: the old key is kept.
        HostKey::create(&next).unwrap();
        assert_eq!(folder.secret().await, "hunter2");
        assert!(!next.exists());
        // Interrupted after that: the new key replaces the old one.
        let old = fs::read(&key).unwrap();
        rotate(&folder.db, &folder.config, Timestamp(2)).await.unwrap();
        fs::rename(&key, &next).unwrap();
        fs::write(&key, old).unwrap();
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(folder.secret().await, "hunter2");
        assert!(!next.exists());
        assert_eq!(folder.secret().await, "hunter2");
    }
}
