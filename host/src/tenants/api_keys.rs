//! The API keys of a tenant as the gateway checks them. Keys come and go one by one, however many
//! there are.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::api_key::ApiKey;
use crate::domain::clock::Timestamp;
use crate::domain::credential::{Credential, SecretHash};
use crate::domain::id::ApiKeyId;
use crate::domain::principal::Principal;

/// The keys of one tenant. They outlive its snapshots: a change to a key changes this, and nothing
/// is built again.
#[derive(Debug, Default)]
pub struct ApiKeys(RwLock<HashMap<ApiKeyId, HeldKey>>);

/// What a request needs of a key.
#[derive(Debug)]
struct HeldKey {
    hash: SecretHash,
    scopes: Arc<[String]>,
    expires_at: Option<Timestamp>,
}

impl ApiKeys {
    /// The keys that work.
    pub fn new(keys: Vec<ApiKey>) -> Self {
        let keys = keys.into_iter().map(|key| (key.id, HeldKey::from(key)));
        Self(RwLock::new(keys.collect()))
    }

    /// Accepts a key from now on.
    pub fn add(&self, key: ApiKey, now: Timestamp) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() == keys.capacity() {
            // Before the map grows: keys that expire are not taken out one by one.
            keys.retain(|_, key| key.is_valid(now));
        }
        keys.insert(key.id, key.into());
    }

    /// Accepts a key no longer.
    pub fn remove(&self, id: ApiKeyId) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.remove(&id);
    }

    /// Who presents this credential, if it is one of these keys and works at `now`.
    pub fn authenticate(&self, credential: &Credential<ApiKeyId>, now: Timestamp) -> Option<Principal> {
        let id = credential.id();
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(&id)?;
        (key.hash.matches(credential) && key.is_valid(now)).then(|| Principal::ApiKey {
            id,
            scopes: key.scopes.clone(),
        })
    }
}

impl HeldKey {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

impl From<ApiKey> for HeldKey {
    fn from(key: ApiKey) -> Self {
        Self {
            hash: key.hash,
            scopes: key.scopes,
            expires_at: key.expires_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(expires_at: Option<i64>) -> (Credential<ApiKeyId>, ApiKey) {
        let credential = Credential::generate(ApiKeyId::generate()).unwrap();
        let key = ApiKey {
            id: credential.id(),
            name: "shop".to_owned(),
            scopes: ["orders:write".to_owned()].into(),
            hash: credential.hash(),
            created_at: Timestamp(1),
            expires_at: expires_at.map(Timestamp),
            revoked_at: None,
        };
        (credential, key)
    }

    #[test]
    fn a_key_works_from_when_it_is_added_until_it_expires_or_is_removed() {
        let (lasting, expiring) = (key(None), key(Some(100)));
        let keys = ApiKeys::new(vec![expiring.1.clone()]);
        let works = |credential, now| keys.authenticate(credential, Timestamp(now)).is_some();
        assert!(works(&expiring.0, 99) && !works(&expiring.0, 100));
        assert!(!works(&lasting.0, 1));
        keys.add(lasting.1.clone(), Timestamp(1));
        assert!(works(&lasting.0, 1_000));
        let other = Credential::generate(lasting.1.id).unwrap();
        assert!(!works(&other, 1), "the id alone opens nothing");
        keys.remove(lasting.1.id);
        assert!(!works(&lasting.0, 1));
    }

    #[test]
    fn expired_keys_do_not_stay_for_ever() {
        let keys = ApiKeys::default();
        for now in 0..10_000 {
            keys.add(key(Some(now + 1)).1, Timestamp(now));
        }
        assert!(keys.0.read().unwrap().len() < 100);
    }
}
