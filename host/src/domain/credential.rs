//! Credentials of API keys and admin tokens: what the holder gets, and what the host stores.
//!
//! A credential is `<prefix>_<id>_<secret>`. The record is looked up by the id and holds only the
//! SHA-256 of the secret. A plain hash is enough, since the secret has 256 random bits and cannot
//! be guessed.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::id::{ApiKeyId, TokenId};

/// The ids that are part of credentials.
pub trait CredentialId: Copy {
    /// The prefix of credentials of this kind.
    const PREFIX: &'static str;
    /// The id as a UUID.
    fn uuid(self) -> Uuid;
    /// The id from a UUID.
    fn from_uuid(uuid: Uuid) -> Self;
}

/// A credential as its holder presents it. `Debug` does not show the secret.
pub struct Credential<Id> {
    id: Id,
    secret: [u8; 32],
}

/// The stored hash of a credential's secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

/// Text that is not a credential of the expected kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("this is not a well-formed credential")]
pub struct MalformedCredential;

impl<Id: CredentialId> Credential<Id> {
    /// A new credential for `id`, from the operating system's randomness.
    pub fn generate(id: Id) -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self { id, secret })
    }

    /// Parses a credential that a caller presents.
    pub fn parse(text: &str) -> Result<Self, MalformedCredential> {
        let rest = text
            .strip_prefix(Id::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'));
        let (id, secret) = rest
            .and_then(|rest| rest.split_once('_'))
            .ok_or(MalformedCredential)?;
        let id = Uuid::try_parse(id).map_err(|_| MalformedCredential)?;
        let mut bytes = [0; 32];
        let length = URL_SAFE_NO_PAD
            .decode_slice(secret, &mut bytes)
            .map_err(|_| MalformedCredential)?;
        if length != bytes.len() {
            return Err(MalformedCredential);
        }
        Ok(Self {
            id: Id::from_uuid(id),
            secret: bytes,
        })
    }

    /// The id of the record.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The hash to be stored.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.secret).into())
    }

    /// The credential as text. It is shown to its holder once.
    pub fn reveal(&self) -> String {
        format!(
            "{}_{}_{}",
            Id::PREFIX,
            self.id.uuid().simple(),
            URL_SAFE_NO_PAD.encode(self.secret)
        )
    }
}

impl<Id> fmt::Debug for Credential<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential<{:?}>", PhantomData::<Id>)
    }
}

impl SecretHash {
    /// A stored hash.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether the hash is that of the credential's secret. The comparison takes constant time.
    pub fn matches<Id: CredentialId>(&self, credential: &Credential<Id>) -> bool {
        self.0.ct_eq(&credential.hash().0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

impl CredentialId for ApiKeyId {
    const PREFIX: &'static str = "mk";

    fn uuid(self) -> Uuid {
        self.0
    }

    fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl CredentialId for TokenId {
    const PREFIX: &'static str = "mt";

    fn uuid(self) -> Uuid {
        self.0
    }

    fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_revealed_can_be_presented() {
        let credential = Credential::generate(ApiKeyId::generate()).unwrap();
        let presented = Credential::<ApiKeyId>::parse(&credential.reveal()).unwrap();
        assert_eq!(presented.id(), credential.id());
        assert!(credential.hash().matches(&presented));
        let other = Credential::generate(credential.id()).unwrap();
        assert!(!credential.hash().matches(&other));
    }

    #[test]
    fn a_token_is_not_an_api_key() {
        let token = Credential::generate(TokenId::generate()).unwrap().reveal();
        assert!(Credential::<ApiKeyId>::parse(&token).is_err());
    }

    #[test]
    fn malformed_text_is_refused() {
        let id = Uuid::nil().simple();
        let short = format!("mk_{id}_AAAA");
        let long = format!("mk_{id}_{}", "A".repeat(80));
        for text in ["", "mk_", "mk__", "mk_x_y", short.as_str(), long.as_str()] {
            assert!(Credential::<ApiKeyId>::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_prints_a_secret() {
        let credential = Credential::generate(TokenId::generate()).unwrap();
        let printed = format!("{credential:?} {:?}", credential.hash());
        assert!(!printed.contains(&hex::encode(credential.secret)));
        assert_eq!(
            printed,
            "Credential<PhantomData<mortise::domain::id::TokenId>> SecretHash"
        );
    }
}
