//! MACs of stored code, which prove that this host compiled it for its engine.

use std::hash::Hash;

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;

use crate::domain::id::VersionDigest;
use crate::storage::vault::HostKey;

pub(super) const MAC_BYTES: usize = blake3::OUT_LEN;

/// Computes and checks the MACs of one host and engine.
#[derive(Clone, Copy)]
pub(super) struct Seal {
    key: [u8; 32],
    compatibility: [u8; 32],
}

impl Seal {
    pub(super) fn new(engine: &Engine, key: &HostKey) -> Self {
        Self {
            key: key.derive("mortise compiled code 2"),
            compatibility: compatibility(engine),
        }
    }

    /// The code of a stored file, if this host wrote it for this engine.
    pub(super) fn authentic<'a>(&self, digest: VersionDigest, stored: &'a [u8]) -> Option<&'a [u8]> {
        let (mac, code) = stored.split_first_chunk::<MAC_BYTES>()?;
        // blake3 compares hashes in constant time.
        (self.mac(digest, code) == *mac).then_some(code)
    }

    pub(super) fn mac(&self, digest: VersionDigest, code: &[u8]) -> blake3::Hash {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(&self.compatibility);
        mac.update(digest.as_bytes());
        mac.update(code);
        mac.finalize()
    }

    /// An identifier of the engine that cannot be forged without the key.
    pub(super) fn engine(&self) -> blake3::Hash {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(b"engine 1");
        mac.update(&self.compatibility);
        mac.finalize()
    }

    /// What a component uses according to a stored file, if this host wrote the file.
    pub(super) fn authentic_uses<'a>(&self, digest: VersionDigest, stored: &'a [u8]) -> Option<&'a [u8]> {
        let (mac, json) = stored.split_first_chunk::<MAC_BYTES>()?;
        (self.mac_of_uses(digest, json) == *mac).then_some(json)
    }

    /// What a component uses does not depend on the engine.
    pub(super) fn mac_of_uses(&self, digest: VersionDigest, uses: &[u8]) -> blake3::Hash {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(b"uses 1");
        mac.update(digest.as_bytes());
        mac.update(uses);
        mac.finalize()
    }
}

/// A hash that is equal for engines that can run each other's code.
fn compatibility(engine: &Engine) -> [u8; 32] {
    struct Sha(Sha256);

    impl std::hash::Hasher for Sha {
        fn finish(&self) -> u64 {
            0
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }

    let mut sha = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sha);
    sha.0.finalize().into()
}
