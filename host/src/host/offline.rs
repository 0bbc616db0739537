//! The data folder of a stopped host, for commands that repair it.

use super::{DataFolder, OpenError};
use crate::config::Config;
use crate::storage::Repository as _;
use crate::storage::sqlite::{FILE_NAME, SqliteRepository};

/// The locked data folder and its database. No host can start on the folder meanwhile.
pub struct Offline {
    /// The control plane's database.
    pub db: SqliteRepository,
    /// The folder.
    pub folder: DataFolder,
}

impl Offline {
    /// Opens the data folder of a host, which must not be running.
    pub async fn open(config: &Config) -> Result<Self, OpenError> {
        // A repair command must not create a new data folder.
        if !config.data.folder.join(FILE_NAME).exists() {
            return Err(OpenError::NoData(config.data.folder.clone()));
        }
        let folder = DataFolder::open(&config.data.folder)?;
        let db = SqliteRepository::open(folder.path()).await?;
        Ok(Self { db, folder })
    }

    /// Closes the database, so that its file is complete.
    pub async fn close(self) {
        self.db.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::DataFolderError;

    #[tokio::test]
    async fn it_needs_a_folder_that_is_there_and_that_nobody_uses() {
        let parent = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.data.folder = parent.path().join("data");
        let opened = Offline::open(&config).await;
        assert!(matches!(opened.err().unwrap(), OpenError::NoData(_)));
        assert!(!config.data.folder.exists());

        let used = DataFolder::open(&config.data.folder).unwrap();
        SqliteRepository::open(used.path()).await.unwrap().close().await;
        let opened = Offline::open(&config).await.err().unwrap();
        assert!(
            matches!(opened, OpenError::Folder(DataFolderError::InUse(_))),
            "{opened}"
        );
        drop(used);
        Offline::open(&config).await.unwrap().close().await;
    }
}
