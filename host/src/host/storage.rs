//! The first step of opening a host: the data folder, the control plane's database and the host's
//! key.

use std::sync::Arc;

use super::{DataFolder, OpenError, host_key};
use crate::config::Config;
use crate::domain::clock::SharedClock;
use crate::storage::sqlite::{ForeignDatabase, SqliteRepository};
use crate::storage::vault::{HostKey, Vault};
use crate::storage::{Repository, set_aside};

/// The stored data of a host.
pub struct Storage {
    /// The control plane's database.
    pub db: Arc<dyn Repository>,
    /// Encrypts and decrypts secrets with the host's key.
    pub vault: Arc<Vault>,
    /// The key from which other keys are derived.
    pub key: HostKey,
    /// The data folder, locked by this host.
    pub folder: DataFolder,
}

impl Storage {
    /// Opens the data folder, and sets aside files that the database does not know.
    pub async fn open(config: &Config, clock: &SharedClock) -> Result<Self, OpenError> {
        let folder = DataFolder::open(&config.data.folder)?;
        let foreign = match config.data.accept_database {
            true => ForeignDatabase::Accept,
            false => ForeignDatabase::Refuse,
        };
        let db: Arc<dyn Repository> = Arc::new(SqliteRepository::open_with(folder.path(), foreign).await?);
        let key = host_key::open(&*db, config).await?;
        let vault = Arc::new(Vault::new(&key));
        for file in set_aside::unknown_files(&*db, folder.path(), clock.now()).await? {
            tracing::warn!(file = %file.display(), "a file of no known tenant or version was set aside");
        }
        Ok(Self {
            db,
            vault,
            key,
            folder,
        })
    }
}
