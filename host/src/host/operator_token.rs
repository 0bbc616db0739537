//! The first token of the operator. Without it nobody could make another one.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::id::TokenId;
use crate::domain::token::{Reach, Token};
use crate::storage::{DbError, Page, Repository};

const FILE_NAME: &str = "operator.token";

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum OperatorTokenError {
    /// The file cannot be read or written.
    #[error("cannot use {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file holds something else.
    #[error("{0} holds no token; delete the file, and the next start makes a new one")]
    Malformed(PathBuf),
    /// The system has no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The database does not answer.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Makes the first token where there is none, and leaves it in a file that only the owner can read. The file is
/// written first: a crash before the row leaves a file that the next start takes up.
pub async fn ensure(
    db: &dyn Repository,
    folder: &Path,
    now: Timestamp,
) -> Result<PathBuf, OperatorTokenError> {
    let path = folder.join(FILE_NAME);
    if !db.tokens(None, Page::first(1)).await?.is_empty() {
        return Ok(path);
    }
    let credential = write_or_read(&path)?;
    db.insert_token(&Token {
        id: credential.id(),
        name: "first operator".to_owned(),
        reach: Reach::Host,
        hash: credential.hash(),
        created_at: now,
        expires_at: None,
        revoked_at: None,
    })
    .await?;
    Ok(path)
}

fn write_or_read(path: &Path) -> Result<Credential<TokenId>, OperatorTokenError> {
    let failed = |error| OperatorTokenError::Io {
        path: path.to_owned(),
        error,
    };
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(mut file) => {
            let credential = Credential::generate(TokenId::generate())?;
            file.write_all(credential.reveal().as_bytes()).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            Ok(credential)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = std::fs::read_to_string(path).map_err(failed)?;
            Credential::parse(text.trim()).map_err(|_| OperatorTokenError::Malformed(path.to_owned()))
        }
        Err(error) => Err(failed(error)),
    }
}
