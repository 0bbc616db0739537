//! Writes new MACs of stored code after a rotation of the host's key, so that nothing is compiled
//! again.

use wasmtime::Engine;

use super::code_files::{CodeFiles, Sealed};
use super::seal::Seal;
use crate::storage::vault::HostKey;

/// Replaces MACs of the key `old` by MACs of the key `new`. Other files are unchanged and compiled
/// again when they are needed. Returns the number of replaced files.
pub fn reseal(files: &CodeFiles, engine: &Engine, old: &HostKey, new: &HostKey) -> std::io::Result<u64> {
    let (old, new) = (Seal::new(engine, old), Seal::new(engine, new));
    files.rewrite_sealed(|kind, digest, stored| {
        let (mac, content) = match kind {
            Sealed::Compiled => {
                let code = old.authentic(digest, stored)?;
                (new.mac(digest, code), code)
            }
            Sealed::Uses => {
                let json = old.authentic_uses(digest, stored)?;
                (new.mac_of_uses(digest, json), json)
            }
        };
        Some([mac.as_bytes().as_slice(), content].concat())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::VersionDigest;

    #[test]
    fn what_this_host_wrote_is_sealed_anew_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let files = CodeFiles::open(folder.path()).unwrap();
        let engine = Engine::default();
        let [old, new] = ["ab", "cd"].map(|byte| HostKey::from_hex(&byte.repeat(32)).unwrap());
        let (old_seal, new_seal) = (Seal::new(&engine, &old), Seal::new(&engine, &new));
        let [good, forged] = [b"good".as_slice(), b"forged"].map(VersionDigest::of);
        files
            .write_compiled(good, &[old_seal.mac(good, b"code").as_bytes(), b"code"])
            .unwrap();
        files
            .write_uses(good, &[old_seal.mac_of_uses(good, b"{}").as_bytes(), b"{}"])
            .unwrap();
        files
            .write_embedded("own", good, &[old_seal.mac(good, b"own").as_bytes(), b"own"])
            .unwrap();
        files
            .write_compiled(forged, &[old_seal.mac(good, b"code").as_bytes(), b"evil"])
            .unwrap();

        assert_eq!(reseal(&files, &engine, &old, &new).unwrap(), 3);
        let compiled = files.read_compiled(good).unwrap().unwrap();
        assert_eq!(new_seal.authentic(good, &compiled), Some(b"code".as_slice()));
        let uses = files.read_uses(good).unwrap().unwrap();
        assert_eq!(new_seal.authentic_uses(good, &uses), Some(b"{}".as_slice()));
        let own = files.read_embedded("own", good).unwrap().unwrap();
        assert_eq!(new_seal.authentic(good, &own), Some(b"own".as_slice()));
        let forged_code = files.read_compiled(forged).unwrap().unwrap();
        assert_eq!(new_seal.authentic(forged, &forged_code), None);
        // The second call finds no file with a MAC of the old key.
        assert_eq!(reseal(&files, &engine, &old, &new).unwrap(), 0);
    }
}
