//! Compiled code, and the only place where bytes become code that runs.
//!
//! A file of compiled code starts with a MAC under the host's key over the engine's compatibility hash, the digest of
//! the component and the code. What does not match (another host's file, another version of wasmtime, a flipped bit)
//! is compiled again from the component, which is the truth. The MAC is BLAKE3's with a key
//! (<https://github.com/BLAKE3-team/BLAKE3-specs>): the first request to a version waits until all of its code is checked,
//! and BLAKE3 is quick on any processor, SHA-256 only on those with instructions for it.

#![expect(
    unsafe_code,
    reason = "running compiled code is what this host is for; the argument stands at each use"
)]

use std::hash::Hash;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::LoadError;
use super::compile::{CompileError, Compiler};
use super::store::folder::ComponentFiles;
use crate::domain::id::VersionDigest;
use crate::domain::limits::Limits;
use crate::domain::units::{ByteSize, as_u64};
use crate::storage::vault::HostKey;

const MAC_BYTES: usize = blake3::OUT_LEN;

/// The code of the one component that is embedded, if this process has compiled it. The hosts of one process share it.
static EMBEDDED: OnceCell<Arc<Vec<u8>>> = OnceCell::const_new();

/// Stores and loads compiled code.
pub struct Artifacts {
    seal: Seal,
    files: Arc<ComponentFiles>,
    compiler: Compiler,
}

/// Tells what this host compiled for its engine from everything else.
#[derive(Clone, Copy)]
struct Seal {
    key: [u8; 32],
    compatibility: [u8; 32],
}

impl Artifacts {
    /// For code that `engine` will run.
    pub fn new(engine: &Engine, key: &HostKey, files: ComponentFiles, compiler: Compiler) -> Self {
        Self {
            seal: Seal {
                key: key.derive("mortise compiled code 2"),
                compatibility: compatibility(engine),
            },
            files: Arc::new(files),
            compiler,
        }
    }

    /// Compile workers that run.
    pub fn compile_workers(&self) -> u64 {
        self.compiler.workers()
    }

    /// Compiles a component and stores both.
    pub async fn store(&self, component: Bytes, compiled_size: ByteSize) -> Result<VersionDigest, LoadError> {
        let digest = VersionDigest::of(&component);
        let files = self.files.clone();
        if !self.is_stored(digest).await? {
            self.compile(digest, &component, compiled_size).await?;
            blocking(move || files.write_component(digest, &component)).await?;
        }
        // What another tenant uploaded before may be more than this one may have.
        if self
            .compiled_size(digest)
            .await?
            .is_some_and(|size| size > compiled_size.0)
        {
            return Err(CompileError::TooLarge(compiled_size).into());
        }
        Ok(digest)
    }

    /// The component as it was uploaded.
    pub async fn source(&self, digest: VersionDigest) -> Result<Vec<u8>, LoadError> {
        let files = self.files.clone();
        let intact = move || {
            let bytes = files.read_component(digest)?;
            Ok(bytes.filter(|bytes| VersionDigest::of(bytes) == digest))
        };
        blocking(intact).await?.ok_or(LoadError::Missing(digest))
    }

    /// The component as code for `engine`.
    pub async fn load(&self, engine: &Engine, digest: VersionDigest) -> Result<Component, LoadError> {
        let (files, seal, for_engine) = (self.files.clone(), self.seal, engine.clone());
        let open = move || {
            let stored = files.read_compiled(digest)?;
            Ok(stored.and_then(|stored| seal.open(&for_engine, digest, &stored)))
        };
        if let Some(component) = blocking(open).await? {
            return Ok(component);
        }
        tracing::warn!(%digest, "the compiled code is missing, from another engine, or damaged; compiling again");
        let source = self.source(digest).await?;
        let code = self
            .compile(digest, &source, Limits::ceiling().compiled_size)
            .await?;
        let for_engine = engine.clone();
        // SAFETY: the code comes from the compile worker of this executable, in this call.
        let component = blocking(move || Ok(unsafe { deserialize(&for_engine, &code) })).await?;
        component.map_err(|error| LoadError::Unsupported(format!("{error:#}")))
    }

    /// A component that belongs to the host itself, as code for `engine`.
    pub async fn embedded(&self, engine: &Engine, component: &'static [u8]) -> Result<Component, LoadError> {
        let digest = VersionDigest::of(component);
        let (files, seal, for_engine) = (self.files.clone(), self.seal, engine.clone());
        let open = move || {
            let stored = files.read_embedded(digest)?;
            Ok(stored.and_then(|stored| seal.open(&for_engine, digest, &stored)))
        };
        if let Some(component) = blocking(open).await? {
            return Ok(component);
        }
        let compile = || async {
            let size = Limits::ceiling().compiled_size;
            let code = self.compiler.for_host().compile(component, size).await?;
            Ok::<_, LoadError>(Arc::new(code))
        };
        let code = EMBEDDED.get_or_try_init(compile).await?.clone();
        let (files, seal, for_engine) = (self.files.clone(), self.seal, engine.clone());
        let load = move || {
            let mac = seal.mac(digest, &code);
            files.write_embedded(digest, &[mac.as_bytes(), &code])?;
            // SAFETY: the code comes from the compile worker of this executable, in this process.
            Ok(unsafe { deserialize(&for_engine, &code) })
        };
        let component = blocking(load).await?;
        component.map_err(|error| LoadError::Unsupported(format!("{error:#}")))
    }

    /// The components that are on disk.
    pub async fn stored(&self) -> std::io::Result<Vec<VersionDigest>> {
        let files = self.files.clone();
        blocking(move || files.stored()).await
    }

    /// Bytes of the compiled code, where it is there.
    pub async fn compiled_size(&self, digest: VersionDigest) -> std::io::Result<Option<u64>> {
        let files = self.files.clone();
        let size = blocking(move || files.compiled_size(digest)).await?;
        Ok(size.map(|size| size.saturating_sub(as_u64(MAC_BYTES))))
    }

    /// Removes a component and its code.
    pub async fn remove(&self, digest: VersionDigest) -> std::io::Result<()> {
        let files = self.files.clone();
        blocking(move || files.remove(digest)).await
    }

    async fn is_stored(&self, digest: VersionDigest) -> std::io::Result<bool> {
        let (files, seal) = (self.files.clone(), self.seal);
        blocking(move || {
            let component = files.read_component(digest)?;
            let compiled = files.read_compiled(digest)?;
            let is_intact = component.is_some_and(|bytes| VersionDigest::of(&bytes) == digest);
            Ok(is_intact && compiled.is_some_and(|stored| seal.authentic(digest, &stored).is_some()))
        })
        .await
    }

    async fn compile(
        &self,
        digest: VersionDigest,
        component: &[u8],
        size: ByteSize,
    ) -> Result<Vec<u8>, LoadError> {
        let code = self.compiler.compile(component, size).await?;
        let (files, seal) = (self.files.clone(), self.seal);
        let write = move || {
            let mac = seal.mac(digest, &code);
            files.write_compiled(digest, &[mac.as_bytes(), &code])?;
            Ok(code)
        };
        Ok(blocking(write).await?)
    }
}

impl Seal {
    /// The component of a stored file, where it is intact. Takes as long as the code is large: on a thread that may block.
    fn open(&self, engine: &Engine, digest: VersionDigest, stored: &[u8]) -> Option<Component> {
        let code = self.authentic(digest, stored)?;
        // SAFETY: the MAC says that this host wrote exactly these bytes, for this component and an engine that is
        // compatible with this one. They were read into memory before the check, so nobody can change them after it.
        unsafe { deserialize(engine, code) }.ok()
    }

    /// The code of a stored file, where this host wrote it for this engine.
    fn authentic<'a>(&self, digest: VersionDigest, stored: &'a [u8]) -> Option<&'a [u8]> {
        let (mac, code) = stored.split_first_chunk::<MAC_BYTES>()?;
        // Hashes are compared in constant time.
        (self.mac(digest, code) == *mac).then_some(code)
    }

    fn mac(&self, digest: VersionDigest, code: &[u8]) -> blake3::Hash {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(&self.compatibility);
        mac.update(digest.as_bytes());
        mac.update(code);
        mac.finalize()
    }
}

/// # Safety
///
/// `code` must be the unchanged output of wasmtime's compiler: it is run as machine code.
unsafe fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the caller promises it.
    unsafe { Component::deserialize(engine, code) }
}

/// What must be equal for one engine to run another's code.
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
