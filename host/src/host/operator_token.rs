//! The operator's first token, with which all other tokens are created.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::domain::audit::{Change, Difference};
use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::id::TokenId;
use crate::domain::token::{FIRST_OPERATOR, Reach, Token};
use crate::storage::{DbError, Page, Repository};

const FILE_NAME: &str = "operator.token";

/// Tokens per query.
const TOKENS_AT_ONCE: u32 = 200;

/// Why the token cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum OperatorTokenError {
    /// The file cannot be read or written.
    #[error("cannot use {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The file does not contain a token.
    #[error("{0} contains no token; delete the file, and the next start makes a new one")]
    Malformed(PathBuf),
    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The database fails.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Creates the first token if there is none, and writes it to a file that only its owner can read.
/// The file is written before the row: after a crash in between, the next start uses the file.
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
    let token = token(&credential, now);
    let change = Change::new(Change::HOST, "token.create", token.id.to_string(), now);
    let made = serde_json::json!({ "name": token.name, "role": token.reach.role(), "expires_at": null });
    db.insert_token(&token, &change.with(Difference::made(&made)))
        .await?;
    Ok(path)
}

/// Replaces the token that the host created, and writes the new one to the file. Tokens that
/// operators created stay valid. No host may run on the folder. After a crash, calling it again
/// completes the replacement.
pub async fn reset(
    db: &dyn Repository,
    folder: &Path,
    now: Timestamp,
) -> Result<PathBuf, OperatorTokenError> {
    let path = folder.join(FILE_NAME);
    let failed = |error| OperatorTokenError::Io {
        path: path.clone(),
        error,
    };
    let former = made_by_hosts(db, &path, now).await?;
    let next = path.with_extension("token.new");
    match std::fs::remove_file(&next) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let credential = write_or_read(&next)?;
    let token = token(&credential, now);
    let ids = |ids: &[TokenId]| ids.iter().map(TokenId::to_string).collect::<Vec<_>>();
    let difference = Difference::between(
        &serde_json::json!({ "tokens": ids(&former) }),
        &serde_json::json!({ "tokens": ids(&[token.id]) }),
    );
    let change = Change::new(Change::COMMAND, "operator-token.reset", token.id.to_string(), now);
    db.replace_tokens(&token, &former, &change.with(difference))
        .await?;
    std::fs::rename(&next, &path).map_err(failed)?;
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)?;
    Ok(path)
}

/// Valid tokens that the host created, and the one in the file.
async fn made_by_hosts(
    db: &dyn Repository,
    path: &Path,
    now: Timestamp,
) -> Result<Vec<TokenId>, OperatorTokenError> {
    let in_file = std::fs::read_to_string(path).unwrap_or_default();
    let in_file = Credential::<TokenId>::parse(in_file.trim()).ok();
    let in_file = in_file.map(|credential| credential.id());
    let (mut found, mut page) = (Vec::new(), Page::first(TOKENS_AT_ONCE));
    loop {
        let tokens = db.tokens(None, page).await?;
        let Some(last) = tokens.last() else {
            return Ok(found);
        };
        page = Page::after(last.id, TOKENS_AT_ONCE);
        let is_former = |token: &&Token| {
            let is_own = token.reach == Reach::Host && token.name == FIRST_OPERATOR;
            token.is_valid(now) && (is_own || Some(token.id) == in_file)
        };
        found.extend(tokens.iter().filter(is_former).map(|token| token.id));
    }
}

fn token(credential: &Credential<TokenId>, now: Timestamp) -> Token {
    Token {
        id: credential.id(),
        name: FIRST_OPERATOR.to_owned(),
        reach: Reach::Host,
        hash: credential.hash(),
        created_at: now,
        expires_at: None,
        revoked_at: None,
    }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::storage::sqlite::SqliteRepository;
    use crate::storage::{Audit as _, Tokens as _};

    #[tokio::test]
    async fn a_lost_token_is_replaced_and_works_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let db = SqliteRepository::open(folder.path()).await.unwrap();
        let now = Timestamp(10);
        let path = ensure(&db, folder.path(), now).await.unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        let colleague = Credential::generate(TokenId::generate()).unwrap();
        let colleague = Token {
            name: "Ada".to_owned(),
            ..token(&colleague, now)
        };
        let hired = Change::new(Change::HOST, "test", "x", now);
        db.insert_token(&colleague, &hired).await.unwrap();
        std::fs::remove_file(&path).unwrap();

        assert_eq!(reset(&db, folder.path(), Timestamp(20)).await.unwrap(), path);
        let second = std::fs::read_to_string(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!((second == first, mode & 0o777), (false, 0o600));
        let find = async |text: &str| {
            let credential = Credential::<TokenId>::parse(text).unwrap();
            let token = db.token(credential.id()).await.unwrap().unwrap();
            assert!(token.hash.matches(&credential));
            token
        };
        assert_eq!(find(&first).await.revoked_at, Some(Timestamp(20)));
        assert!(find(&second).await.is_valid(Timestamp(20)));
        let colleague = db.token(colleague.id).await.unwrap().unwrap();
        assert!(colleague.is_valid(Timestamp(20)));
        let audit = db.audit(None, &Default::default(), Page::first(9)).await.unwrap();
        let told: Vec<_> = audit
            .iter()
            .map(|entry| (entry.change.action.as_str(), entry.change.actor.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("operator-token.reset", "command"),
                ("test", "host"),
                ("token.create", "host")
            ]
        );

        // A start does not change the token.
        ensure(&db, folder.path(), Timestamp(30)).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), second);
    }
}
