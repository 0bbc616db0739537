//! The host's key, and the encryption of tenants' secrets.
//!
//! Secrets are encrypted with XChaCha20-Poly1305. The tenant and the name are associated data, so a
//! row that was moved to another tenant or renamed cannot be decrypted.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::domain::id::TenantId;

const NONCE_BYTES: usize = 24;

/// The key from which all other keys are derived. It implements no `Debug`.
pub struct HostKey([u8; 32]);

/// Encrypts and decrypts the secrets of tenants.
pub struct Vault {
    cipher: XChaCha20Poly1305,
}

/// An encrypted secret: the nonce and the ciphertext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

/// Why the host's key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostKeyError {
    /// The file cannot be read or created.
    #[error("cannot use the host key {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The file does not contain a key.
    #[error("the host key {0} does not hold 64 hexadecimal digits")]
    Malformed(PathBuf),
    /// Other users can read the file.
    #[error("the host key {path} can be read by others (mode {mode:o}); run `chmod 600` on it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Mode of the file.
        mode: u32,
    },
    /// The text is not a key.
    #[error("a host key has 64 hexadecimal digits")]
    NotAKey,
    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes: {0}")]
    Randomness(getrandom::Error),
}

/// Why a secret could not be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The secret was encrypted with another key, for another tenant or name, or is damaged.
    #[error("the secret `{0}` does not open under the host's key")]
    DoesNotOpen(String),
    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes: {0}")]
    Randomness(getrandom::Error),
}

impl HostKey {
    /// Parses a key of 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, HostKeyError> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| HostKeyError::NotAKey)?;
        Ok(Self(key))
    }

    /// Reads the key in `path`. Creates one that only the owner can read if the file is missing.
    pub fn load_or_create(path: &Path) -> Result<Self, HostKeyError> {
        match Self::create(path) {
            Err(HostKeyError::Io { error, .. }) if error.kind() == ErrorKind::AlreadyExists => {
                Self::load(path)
            }
            created => created,
        }
    }

    /// Creates a key in the new file `path` that only the owner can read.
    pub fn create(path: &Path) -> Result<Self, HostKeyError> {
        let failed = |error| HostKeyError::Io {
            path: path.to_owned(),
            error,
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(HostKeyError::Randomness)?;
        file.write_all(hex::encode(key).as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(Self(key))
    }

    /// Reads the key in `path`.
    pub fn load(path: &Path) -> Result<Self, HostKeyError> {
        let failed = |error| HostKeyError::Io {
            path: path.to_owned(),
            error,
        };
        let mut file = OpenOptions::new().read(true).open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(HostKeyError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        Self::from_hex(&text).map_err(|_| HostKeyError::Malformed(path.to_owned()))
    }

    /// A value that identifies the key without revealing it.
    pub fn check(&self) -> String {
        hex::encode(self.derive("mortise key check 1"))
    }

    /// Derives a key for one purpose. It reveals neither this key nor that of another purpose.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac =
            <Hmac<Sha256> as hmac::Mac>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl Vault {
    /// A vault with the host's key.
    pub fn new(key: &HostKey) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(&key.derive("mortise secrets 1").into()),
        }
    }

    /// Encrypts a secret of the vault `old` again. `None` if `old` cannot decrypt it.
    pub fn reseal(
        &self,
        old: &Vault,
        tenant: TenantId,
        name: &str,
        sealed: &Sealed,
    ) -> Result<Option<Sealed>, VaultError> {
        match old.open(tenant, name, sealed) {
            Ok(value) => self.seal(tenant, name, &value).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Encrypts the value of a tenant's secret.
    pub fn seal(&self, tenant: TenantId, name: &str, value: &SecretString) -> Result<Sealed, VaultError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(VaultError::Randomness)?;
        let aad = associated_data(tenant, name);
        let payload = Payload {
            msg: value.expose_secret().as_bytes(),
            aad: &aad,
        };
        let ciphertext = self
            .cipher
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| VaultError::DoesNotOpen(name.to_owned()))?;
        Ok(Sealed([nonce.as_slice(), &ciphertext].concat()))
    }

    /// Decrypts the value of a tenant's secret.
    pub fn open(&self, tenant: TenantId, name: &str, sealed: &Sealed) -> Result<SecretString, VaultError> {
        let does_not_open = || VaultError::DoesNotOpen(name.to_owned());
        let (nonce, ciphertext) = sealed.0.split_at_checked(NONCE_BYTES).ok_or_else(does_not_open)?;
        let aad = associated_data(tenant, name);
        let plain = self
            .cipher
            .decrypt(
                XNonce::from_slice(nonce),
                Payload {
                    msg: ciphertext,
                    aad: &aad,
                },
            )
            .map_err(|_| does_not_open())?;
        String::from_utf8(plain)
            .map(SecretString::from)
            .map_err(|_| does_not_open())
    }
}

impl Sealed {
    /// A stored secret.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn associated_data(tenant: TenantId, name: &str) -> Vec<u8> {
    [tenant.0.as_bytes().as_slice(), name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::new(&HostKey::from_hex(&"ab".repeat(32)).unwrap())
    }

    #[test]
    fn a_secret_opens_only_for_its_tenant_and_name() {
        let (vault, tenant) = (vault(), TenantId::generate());
        let sealed = vault.seal(tenant, "k", &"hunter2".into()).unwrap();
        assert_eq!(
            vault.open(tenant, "k", &sealed).unwrap().expose_secret(),
            "hunter2"
        );
        assert!(vault.open(tenant, "other", &sealed).is_err());
        assert!(vault.open(TenantId::generate(), "k", &sealed).is_err());
        let other = Vault::new(&HostKey::from_hex(&"cd".repeat(32)).unwrap());
        assert!(other.open(tenant, "k", &sealed).is_err());
        assert!(vault.open(tenant, "k", &Sealed::from_bytes(vec![1; 8])).is_err());
    }

    #[test]
    fn a_key_is_made_once_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.key");
        let key = HostKey::load_or_create(&path).unwrap();
        assert_eq!(HostKey::load_or_create(&path).unwrap().0, key.0);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            HostKey::load_or_create(&path),
            Err(HostKeyError::Exposed { mode: 0o644, .. })
        ));
    }

    #[test]
    fn a_damaged_key_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.key");
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .unwrap();
        assert!(matches!(
            HostKey::load_or_create(&path),
            Err(HostKeyError::Malformed(_))
        ));
    }
}
