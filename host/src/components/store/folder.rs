//! Components and their compiled code on disk, named by digest. A file is written whole or not at
//! all: to a temporary name, synced, renamed, and the folder synced.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::domain::id::VersionDigest;

/// How the names of compiled code of the host itself begin.
const EMBEDDED: &str = "host-";

/// A file that begins with a MAC under the host's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// Compiled code.
    Compiled,
    /// What a component uses.
    Uses,
}

/// The folder. Its methods block.
#[derive(Clone, Debug)]
pub struct ComponentFiles {
    components: PathBuf,
    compiled: PathBuf,
    uses: PathBuf,
}

impl ComponentFiles {
    /// Opens the folder, and makes it if it is missing. What a crash left half-written is
    /// removed.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let files = Self {
            components: folder.join("components"),
            compiled: folder.join("compiled"),
            uses: folder.join("uses"),
        };
        for folder in [&files.components, &files.compiled, &files.uses] {
            fs::create_dir_all(folder)?;
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "tmp") {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(files)
    }

    /// The component, if it is stored.
    pub fn read_component(&self, digest: VersionDigest) -> io::Result<Option<Vec<u8>>> {
        read(&self.component(digest))
    }

    /// The compiled code, if it is stored.
    pub fn read_compiled(&self, digest: VersionDigest) -> io::Result<Option<Vec<u8>>> {
        read(&self.compiled(digest))
    }

    /// Bytes of the file of compiled code, if it is stored.
    pub fn compiled_size(&self, digest: VersionDigest) -> io::Result<Option<u64>> {
        match fs::metadata(self.compiled(digest)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The compiled code of a component of the host itself, if it is there.
    pub fn read_embedded(&self, digest: VersionDigest) -> io::Result<Option<Vec<u8>>> {
        read(&self.embedded(digest))
    }

    /// Stores the compiled code of a component of the host itself, in place of what an earlier host stored.
    pub fn write_embedded(&self, digest: VersionDigest, parts: &[&[u8]]) -> io::Result<()> {
        write(&self.embedded(digest), parts)?;
        for entry in fs::read_dir(&self.compiled)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if name.starts_with(EMBEDDED) && path != self.embedded(digest) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Stores a component, in place of what was there: that may be damaged.
    pub fn write_component(&self, digest: VersionDigest, bytes: &[u8]) -> io::Result<()> {
        write(&self.component(digest), &[bytes])
    }

    /// What a component uses, if that is there.
    pub fn read_uses(&self, digest: VersionDigest) -> io::Result<Option<Vec<u8>>> {
        read(&self.uses(digest))
    }

    /// Stores what a component uses.
    pub fn write_uses(&self, digest: VersionDigest, parts: &[&[u8]]) -> io::Result<()> {
        write(&self.uses(digest), parts)
    }

    /// Stores compiled code, in place of what was there.
    pub fn write_compiled(&self, digest: VersionDigest, parts: &[&[u8]]) -> io::Result<()> {
        write(&self.compiled(digest), parts)
    }

    /// Replaces each file that begins with a MAC by what `rewrite` makes of it. `None` leaves a
    /// file as it is. Gives back how many were replaced.
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
                    write(&path, &[&content])?;
                    rewritten += 1;
                }
            }
        }
        Ok(rewritten)
    }

    /// Removes everything of a component.
    pub fn remove(&self, digest: VersionDigest) -> io::Result<()> {
        for path in [self.uses(digest), self.compiled(digest), self.component(digest)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Where the compiled code lies.
    pub fn compiled(&self, digest: VersionDigest) -> PathBuf {
        self.compiled.join(digest.to_hex()).with_extension("cwasm")
    }

    fn embedded(&self, digest: VersionDigest) -> PathBuf {
        let name = format!("{EMBEDDED}{}", digest.to_hex());
        self.compiled.join(name).with_extension("cwasm")
    }

    fn uses(&self, digest: VersionDigest) -> PathBuf {
        self.uses.join(digest.to_hex()).with_extension("json")
    }

    fn component(&self, digest: VersionDigest) -> PathBuf {
        self.components.join(digest.to_hex()).with_extension("wasm")
    }
}

/// The digest that a file is named by.
fn digest_of(path: &Path) -> Option<VersionDigest> {
    let name = path.file_stem()?.to_str()?;
    let hex = name.strip_prefix(EMBEDDED).unwrap_or(name);
    format!("sha256:{hex}").parse().ok()
}

/// The content of a regular file. Anything else under its name, which might have no end, counts as damage: it
/// is as if nothing were there.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => fs::read(path).map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", uuid::Uuid::now_v7().simple()));
    let mut file = File::create_new(&temporary)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_the_host_is_no_stored_component_and_replaces_that_of_an_earlier_host() {
        let folder = tempfile::tempdir().unwrap();
        let files = ComponentFiles::open(folder.path()).unwrap();
        let [old, new] = [b"old", b"new"].map(|bytes| VersionDigest::of(bytes));
        files.write_compiled(old, &[b"of a version"]).unwrap();
        for digest in [old, new] {
            files.write_embedded(digest, &[b"mac", b"code"]).unwrap();
            assert_eq!(files.read_embedded(digest).unwrap(), Some(b"maccode".to_vec()));
        }
        assert_eq!(files.read_embedded(old).unwrap(), None);
        assert_eq!(files.read_compiled(old).unwrap(), Some(b"of a version".to_vec()));
        assert_eq!(files.read_compiled(new).unwrap(), None);
    }

    #[test]
    fn what_is_no_regular_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let files = ComponentFiles::open(folder.path()).unwrap();
        let digest = VersionDigest::of(b"odd");
        std::os::unix::fs::symlink("/dev/zero", files.compiled(digest)).unwrap();
        assert_eq!(files.read_compiled(digest).unwrap(), None);
        files.write_compiled(digest, &[b"code"]).unwrap();
        assert_eq!(files.read_compiled(digest).unwrap(), Some(b"code".to_vec()));
    }
}
