//! Files of a node about components: compiled code, and what each component uses. Every file starts
//! with a MAC with a key of the host. All of them can be created again from the component.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{self, read};
use crate::domain::id::VersionDigest;

/// Prefix of the file names of code that belongs to the host itself: `host-validator-…`. Earlier
/// hosts had only one such component, whose name is missing in their files.
const EMBEDDED: &str = "host-";

/// The file with the engine that compiled the code.
const ENGINE: &str = "compiled.engine";

/// A kind of file that starts with a MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// Compiled code.
    Compiled,
    /// What a component uses.
    Uses,
}

/// The folders `compiled` and `uses`. All methods block.
#[derive(Clone, Debug)]
pub struct CodeFiles {
    compiled: PathBuf,
    uses: PathBuf,
    engine: PathBuf,
}

impl CodeFiles {
    /// Opens the folders within `folder`. Creates them if they are missing.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let opened = Self {
            compiled: folder.join("compiled"),
            uses: folder.join("uses"),
            engine: folder.join(ENGINE),
        };
        files::open_folder(&opened.compiled)?;
        files::open_folder(&opened.uses)?;
        Ok(opened)
    }

    /// The compiled code, if it is stored.
    pub fn read_compiled(&self, digest: VersionDigest) -> io::Result<Option<Vec<u8>>> {
        read(&self.compiled(digest))
    }

    /// Bytes of the file of compiled code, if it is stored.
    pub fn compiled_size(&self, digest: VersionDigest) -> io::Result<Option<u64>> {
        let metadata = files::metadata(&self.compiled(digest))?;
        Ok(metadata.map(|metadata| metadata.len()))
    }

    /// Stores compiled code. Replaces an existing file.
    pub fn write_compiled(&self, digest: VersionDigest, parts: &[&[u8]]) -> io::Result<()> {
        files::write(&self.compiled(digest), parts, None)
    }

    /// Removes compiled code.
    pub fn remove_compiled(&self, digest: VersionDigest) -> io::Result<()> {
        files::remove(&self.compiled(digest))
    }

    /// The compiled code of the component `name` of the host itself, if it is stored.
    pub fn read_embedded(&self, name: &str, digest: VersionDigest) -> io::Result<Option<Vec<u8>>> {
        read(&self.embedded(name, digest))
    }

    /// Stores the compiled code of the component `name` of the host itself. Deletes that of earlier
    /// hosts.
    pub fn write_embedded(&self, name: &str, digest: VersionDigest, parts: &[&[u8]]) -> io::Result<()> {
        let own = self.embedded(name, digest);
        files::write(&own, parts, None)?;
        for entry in fs::read_dir(&self.compiled)? {
            let path = entry?.path();
            let file = path.file_name().and_then(|file| file.to_str());
            let of_host = file.and_then(|file| file.strip_prefix(EMBEDDED));
            let is_earlier = of_host.is_some_and(|file| match file.split_once('-') {
                Some((component, _)) => component == name,
                None => true,
            });
            if is_earlier && path != own {
                files::remove(&path)?;
            }
        }
        Ok(())
    }

    /// What a component uses, if that is stored.
    pub fn read_uses(&self, digest: VersionDigest) -> io::Result<Option<Vec<u8>>> {
        read(&self.uses(digest))
    }

    /// Stores what a component uses.
    pub fn write_uses(&self, digest: VersionDigest, parts: &[&[u8]]) -> io::Result<()> {
        files::write(&self.uses(digest), parts, None)
    }

    /// The engine that compiled the code of all active versions, if it was a single one.
    pub fn read_engine(&self) -> io::Result<Option<Vec<u8>>> {
        read(&self.engine)
    }

    /// Records the engine that compiled the code of all active versions.
    pub fn write_engine(&self, engine: &[u8]) -> io::Result<()> {
        files::write(&self.engine, &[engine], None)
    }

    /// Records that there may be code of several engines.
    pub fn remove_engine(&self) -> io::Result<()> {
        files::remove(&self.engine)
    }

    /// Replaces the content of each file with a MAC by the result of `rewrite`. `None` keeps a
    /// file. Returns the number of replaced files.
    pub fn rewrite_sealed(
        &self,
        rewrite: impl Fn(Sealed, VersionDigest, &[u8]) -> Option<Vec<u8>>,
    ) -> io::Result<u64> {
        let mut rewritten = 0;
        for (kind, folder) in [(Sealed::Compiled, &self.compiled), (Sealed::Uses, &self.uses)] {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                let Some(digest) = digest_of(&path) else { continue };
                let Some(stored) = read(&path)? else { continue };
                if let Some(content) = rewrite(kind, digest, &stored) {
                    files::write(&path, &[&content], None)?;
                    rewritten += 1;
                }
            }
        }
        Ok(rewritten)
    }

    /// Removes all files of a component.
    pub fn remove(&self, digest: VersionDigest) -> io::Result<()> {
        files::remove(&self.uses(digest))?;
        files::remove(&self.compiled(digest))
    }

    fn compiled(&self, digest: VersionDigest) -> PathBuf {
        self.compiled.join(digest.to_hex()).with_extension("cwasm")
    }

    fn embedded(&self, name: &str, digest: VersionDigest) -> PathBuf {
        let file = format!("{EMBEDDED}{name}-{}", digest.to_hex());
        self.compiled.join(file).with_extension("cwasm")
    }

    fn uses(&self, digest: VersionDigest) -> PathBuf {
        self.uses.join(digest.to_hex()).with_extension("json")
    }
}

/// The digest in the name of a file.
fn digest_of(path: &Path) -> Option<VersionDigest> {
    let name = path.file_stem()?.to_str()?;
    let hex = match name.strip_prefix(EMBEDDED) {
        Some(own) => own.rsplit_once('-').map_or(own, |(_, hex)| hex),
        None => name,
    };
    format!("sha256:{hex}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_the_host_is_no_stored_component_and_replaces_that_of_an_earlier_host() {
        let folder = tempfile::tempdir().unwrap();
        let files = CodeFiles::open(folder.path()).unwrap();
        let [old, new] = [b"old", b"new"].map(|bytes| VersionDigest::of(bytes));
        files.write_compiled(old, &[b"of a version"]).unwrap();
        let of_earlier_host = files.compiled.join(format!("{EMBEDDED}{}.cwasm", old.to_hex()));
        fs::write(&of_earlier_host, b"code").unwrap();
        files.write_embedded("other", old, &[b"of another"]).unwrap();
        assert!(!of_earlier_host.exists());
        for digest in [old, new] {
            files.write_embedded("own", digest, &[b"mac", b"code"]).unwrap();
            let stored = files.read_embedded("own", digest).unwrap();
            assert_eq!(stored, Some(b"maccode".to_vec()));
            assert_eq!(digest_of(&files.embedded("own", digest)), Some(digest));
        }
        assert_eq!(files.read_embedded("own", old).unwrap(), None);
        assert!(files.read_embedded("other", old).unwrap().is_some());
        assert_eq!(files.read_compiled(old).unwrap(), Some(b"of a version".to_vec()));
        assert_eq!(files.read_compiled(new).unwrap(), None);
    }

    #[test]
    fn what_is_no_regular_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let files = CodeFiles::open(folder.path()).unwrap();
        let digest = VersionDigest::of(b"odd");
        std::os::unix::fs::symlink("/dev/zero", files.compiled(digest)).unwrap();
        assert_eq!(files.read_compiled(digest).unwrap(), None);
        files.write_compiled(digest, &[b"code"]).unwrap();
        assert_eq!(files.read_compiled(digest).unwrap(), Some(b"code".to_vec()));
    }
}
