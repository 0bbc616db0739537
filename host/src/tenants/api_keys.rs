//! The API keys of a tenant, in memory for authentication. Keys are added and removed one by one,
//! however many there are.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::domain::api_key::ApiKey;
use crate::domain::clock::Timestamp;
use crate::domain::credential::{Credential, SecretHash};
use crate::domain::generation::Generation;
use crate::domain::id::ApiKeyId;
use crate::domain::principal::Principal;

/// The keys of one tenant. They outlive its snapshots: a changed key changes this value, and no
/// snapshot is rebuilt.
#[derive(Debug, Default)]
pub struct ApiKeys(RwLock<HeldKeys>);

#[derive(Debug, Default)]
struct HeldKeys {
    keys: HashMap<ApiKeyId, HeldKey>,
    /// The generation of the stored keys that this value reflects.
    generation: Generation,
}

/// The part of a key that authentication needs.
#[derive(Debug)]
struct HeldKey {
    hash: SecretHash,
    scopes: Arc<[String]>,
    expires_at: Option<Timestamp>,
}

impl ApiKeys {
    /// The generation of the stored keys that this value reflects.
    pub fn generation(&self) -> Generation {
        self.read().generation
    }

    /// Replaces all keys.
    pub fn replace(&self, keys: Vec<ApiKey>, generation: Generation) {
        let keys = keys.into_iter().map(|key| (key.id, HeldKey::from(key)));
        *self.write() = HeldKeys {
            keys: keys.collect(),
            generation,
        };
    }

    /// Adds a key. The change created `generation` of the stored keys. Returns `false` if earlier
    /// changes are missing here.
    pub fn add(&self, key: ApiKey, generation: Generation, now: Timestamp) -> bool {
        let mut held = self.write();
        if held.keys.len() == held.keys.capacity() {
            // Expired keys are removed only here, before the map grows.
            held.keys.retain(|_, key| key.is_valid(now));
        }
        held.keys.insert(key.id, key.into());
        held.follow(generation)
    }

    /// Removes a key. The change created `generation` of the stored keys. Returns `false` if
    /// earlier changes are missing here.
    pub fn remove(&self, id: ApiKeyId, generation: Generation) -> bool {
        let mut held = self.write();
        held.keys.remove(&id);
        held.follow(generation)
    }

    /// The principal of this credential, if it belongs to one of these keys and is valid at `now`.
    pub fn authenticate(&self, credential: &Credential<ApiKeyId>, now: Timestamp) -> Option<Principal> {
        let id = credential.id();
        let held = self.read();
        let key = held.keys.get(&id)?;
        (key.hash.matches(credential) && key.is_valid(now)).then(|| Principal::ApiKey {
            id,
            scopes: key.scopes.clone(),
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, HeldKeys> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HeldKeys> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldKeys {
    /// Advances to `generation`, if it is the next one. Returns whether it is.
    fn follow(&mut self, generation: Generation) -> bool {
        let follows = self.generation.next() == generation;
        if follows {
            self.generation = generation;
        }
        follows
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
        let keys = ApiKeys::default();
        keys.replace(vec![expiring.1.clone()], Generation(1));
        let works = |credential, now| keys.authenticate(credential, Timestamp(now)).is_some();
        assert!(works(&expiring.0, 99) && !works(&expiring.0, 100));
        assert!(!works(&lasting.0, 1));
        assert!(keys.add(lasting.1.clone(), Generation(2), Timestamp(1)));
        assert!(works(&lasting.0, 1_000));
        let other = Credential::generate(lasting.1.id).unwrap();
        assert!(!works(&other, 1), "the id alone opens nothing");
        assert!(keys.remove(lasting.1.id, Generation(3)));
        assert!(!works(&lasting.0, 1));
        // A change in between is missing, so these keys stay behind until they are read again.
        assert!(!keys.add(lasting.1.clone(), Generation(5), Timestamp(1)));
        assert_eq!((works(&lasting.0, 1), keys.generation()), (true, Generation(3)));
    }

    #[test]
    fn expired_keys_do_not_stay_for_ever() {
        let keys = ApiKeys::default();
        for now in 0..10_000 {
            keys.add(key(Some(now + 1)).1, Generation(now), Timestamp(now));
        }
        assert!(keys.read().keys.len() < 100);
    }
}
