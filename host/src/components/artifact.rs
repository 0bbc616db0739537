//! Compiled code, and the only place where bytes become code that runs.
//!
//! A file of compiled code starts with a MAC under the host's key over the engine's compatibility
//! hash, the digest of the component and the code. What does not match (another host's file,
//! another version of wasmtime, a flipped bit) is compiled again from the component, which is the
//! truth. The MAC is BLAKE3's with a key (<https://github.com/BLAKE3-team/BLAKE3-specs>): the first
//! request to a version waits until all of its code is checked, and BLAKE3 is quick on any
//! processor, SHA-256 only on those with instructions for it.

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

use super::accept;
use super::compile::protocol::{DescribedManifest, Job};
use super::compile::{CompileError, Compiled, Compiler};
use super::error::LoadError;
use super::footprint::footprint;
use super::refusal::Refusal;
use super::shield::Shield;
use super::store::folder::ComponentFiles;
use super::uses::Uses;
use crate::allocator::growth;
use crate::domain::id::{PluginName, VersionDigest};
use crate::domain::limits::Limits;
use crate::domain::units::{ByteSize, as_u64};
use crate::storage::vault::HostKey;

const MAC_BYTES: usize = blake3::OUT_LEN;

/// The code of the one component that is embedded, if this process has compiled it. The hosts of one process share it.
static EMBEDDED: OnceCell<Arc<Vec<u8>>> = OnceCell::const_new();
/// Refusals that are remembered, so that nothing is compiled again only to be refused again.
const REFUSALS_KEPT: u64 = 2_000;

/// Stores and loads compiled code.
pub struct Artifacts {
    seal: Seal,
    files: Arc<ComponentFiles>,
    compiler: Compiler,
    shield: Shield,
    refused: moka::sync::Cache<VersionDigest, Arc<Refusal>>,
}

/// A component that can run, and the memory that it takes.
pub struct Code {
    /// The component.
    pub component: Component,
    /// Bytes of memory.
    pub footprint: usize,
}

/// Tells what this host compiled for its engine from everything else.
#[derive(Clone, Copy)]
pub(super) struct Seal {
    key: [u8; 32],
    compatibility: [u8; 32],
}

/// What a file of compiled code is good for.
enum Opened {
    /// It runs.
    Code(Code),
    /// This host wrote it for this engine, which refuses it all the same.
    Refused(Refusal),
    /// It is missing, damaged, or from another engine.
    Unusable,
}

impl Artifacts {
    /// For code that `engine` will run.
    pub fn new(
        engine: &Engine,
        key: &HostKey,
        files: ComponentFiles,
        compiler: Compiler,
        shield: Shield,
    ) -> Self {
        Self {
            seal: Seal::new(engine, key),
            files: Arc::new(files),
            compiler,
            shield,
            refused: moka::sync::Cache::new(REFUSALS_KEPT),
        }
    }

    /// Compile workers that run.
    pub fn compile_workers(&self) -> u64 {
        self.compiler.workers()
    }

    /// Reads, checks and compiles an upload for `plugin`, and stores it with its code.
    pub async fn store(
        &self,
        digest: VersionDigest,
        plugin: &PluginName,
        component: Bytes,
        compiled_size: ByteSize,
    ) -> Result<DescribedManifest, LoadError> {
        let is_stored = self.is_intact(digest).await?;
        let job = Job {
            upload: Some(plugin.clone()),
            compile: !is_stored,
            shield: self.shield.clone(),
        };
        let mut compiled = self.compiler.run(&job, &component, compiled_size).await?;
        let garbled = || CompileError::Worker("it accepted an upload without its manifest".to_owned());
        let manifest = compiled.description.manifest.take().ok_or_else(garbled)?;
        manifest.manifest.check().map_err(|_| garbled())?;
        if is_stored {
            // The code that another tenant's upload left may be more than this tenant may have.
            let size = self.compiled_size(digest).await?;
            if size.is_some_and(|size| size > compiled_size.0) {
                return Err(CompileError::TooLarge(compiled_size).into());
            }
        } else {
            self.write(digest, compiled, Some(component)).await?;
        }
        Ok(manifest)
    }

    /// Stores a version's component again, if its files are missing or damaged. The bytes were
    /// accepted before, so the checks of an upload do not apply.
    pub async fn repair(&self, digest: VersionDigest, component: Bytes) -> Result<(), LoadError> {
        if self.is_intact(digest).await? {
            return Ok(());
        }
        let compiled = self.compile_stored(&component).await?;
        self.write(digest, compiled, Some(component)).await?;
        Ok(())
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
    pub async fn load(&self, engine: &Engine, digest: VersionDigest) -> Result<Code, LoadError> {
        if let Some(refusal) = self.refused.get(&digest) {
            return Err(LoadError::Refused(refusal));
        }
        if !self.shield.is_empty() {
            let refused = accept::refuse_shielded(&self.shield, &self.uses(digest).await?);
            refused.map_err(|refusal| LoadError::Refused(Arc::new(refusal)))?;
        }
        match self.open(engine, digest).await? {
            Opened::Code(code) => return Ok(code),
            Opened::Refused(refusal) => return Err(LoadError::Refused(Arc::new(refusal))),
            Opened::Unusable => {}
        }
        tracing::warn!(%digest, "the compiled code is missing, from another engine, or damaged; compiling again");
        let source = self.source(digest).await?;
        let compiled = self.compile_stored(&source).await?;
        let code = self.write(digest, compiled, None).await?;
        let engine = engine.clone();
        let open = move || {
            // SAFETY: the code comes from the compile worker of this executable, in this call.
            judged(unsafe { deserialize(&engine, &code) })
        };
        match blocking(open).await? {
            Opened::Code(code) => Ok(code),
            Opened::Refused(refusal) => Err(LoadError::Refused(Arc::new(refusal))),
            Opened::Unusable => Err(LoadError::Missing(digest)),
        }
    }

    /// Remembers that a component is refused until it is removed or stored again.
    pub fn remember_refusal(&self, digest: VersionDigest, refusal: Arc<Refusal>) {
        self.refused.insert(digest, refusal);
    }

    /// Why a stored component does not run, as far as that is known without reading it.
    pub async fn refusal(&self, digest: VersionDigest) -> std::io::Result<Option<Arc<Refusal>>> {
        if let Some(refusal) = self.refused.get(&digest) {
            return Ok(Some(refusal));
        }
        let uses = self.known_uses(digest).await?;
        let refusal = uses.and_then(|uses| {
            let off = uses.refused_proposals();
            match off.is_empty() {
                true => accept::refuse_shielded(&self.shield, &uses).err(),
                false => Some(accept::refused_proposals(&off)),
            }
        });
        Ok(refusal.map(Arc::new))
    }

    /// What a stored component uses. It is found out once and kept beside the code.
    pub async fn uses(&self, digest: VersionDigest) -> Result<Uses, LoadError> {
        if let Some(uses) = self.known_uses(digest).await? {
            return Ok(uses);
        }
        let component = self.source(digest).await?;
        let job = Job {
            upload: None,
            compile: false,
            shield: Shield::default(),
        };
        let compiled = self.compiler.run(&job, &component, ByteSize(0)).await?;
        let uses = compiled.description.uses;
        self.write_uses(digest, &uses).await?;
        Ok(uses)
    }

    /// What the operator refuses.
    pub fn shield(&self) -> &Shield {
        &self.shield
    }

    /// A component that belongs to the host itself, as code for `engine`.
    pub async fn embedded(&self, engine: &Engine, component: &'static [u8]) -> Result<Component, LoadError> {
        let digest = VersionDigest::of(component);
        let (files, seal, for_engine) = (self.files.clone(), self.seal, engine.clone());
        let open = move || match files.read_embedded(digest)? {
            Some(stored) => seal.open(&for_engine, digest, &stored),
            None => Ok(Opened::Unusable),
        };
        if let Opened::Code(code) = blocking(open).await? {
            return Ok(code.component);
        }
        let compile = || async {
            let size = Limits::ceiling().compiled_size;
            let compiled = self
                .compiler
                .for_host()
                .run(&Job::stored(), component, size)
                .await?;
            Ok::<_, LoadError>(Arc::new(compiled.code))
        };
        let code = EMBEDDED.get_or_try_init(compile).await?.clone();
        let (files, seal, for_engine) = (self.files.clone(), self.seal, engine.clone());
        let load = move || {
            let mac = seal.mac(digest, &code);
            files.write_embedded(digest, &[mac.as_bytes(), &code])?;
            // SAFETY: the code comes from the compile worker of this executable, in this process.
            judged(unsafe { deserialize(&for_engine, &code) })
        };
        match blocking(load).await? {
            Opened::Code(code) => Ok(code.component),
            Opened::Refused(refusal) => Err(LoadError::Refused(Arc::new(refusal))),
            Opened::Unusable => Err(LoadError::Missing(digest)),
        }
    }

    /// Bytes of the compiled code, if it is there.
    pub async fn compiled_size(&self, digest: VersionDigest) -> std::io::Result<Option<u64>> {
        let files = self.files.clone();
        let size = blocking(move || files.compiled_size(digest)).await?;
        Ok(size.map(|size| size.saturating_sub(as_u64(MAC_BYTES))))
    }

    /// Removes a component and its code.
    pub async fn remove(&self, digest: VersionDigest) -> std::io::Result<()> {
        self.refused.invalidate(&digest);
        let files = self.files.clone();
        blocking(move || files.remove(digest)).await
    }

    /// Whether a component and its code are on disk as this host wrote them.
    async fn is_intact(&self, digest: VersionDigest) -> std::io::Result<bool> {
        let (files, seal) = (self.files.clone(), self.seal);
        blocking(move || {
            let component = files.read_component(digest)?;
            let compiled = files.read_compiled(digest)?;
            let is_intact = component.is_some_and(|bytes| VersionDigest::of(&bytes) == digest);
            Ok(is_intact && compiled.is_some_and(|stored| seal.authentic(digest, &stored).is_some()))
        })
        .await
    }

    async fn open(&self, engine: &Engine, digest: VersionDigest) -> std::io::Result<Opened> {
        let (files, seal, engine) = (self.files.clone(), self.seal, engine.clone());
        blocking(move || match files.read_compiled(digest)? {
            Some(stored) => seal.open(&engine, digest, &stored),
            None => Ok(Opened::Unusable),
        })
        .await
    }

    /// Compiles a component that was accepted before.
    async fn compile_stored(&self, component: &[u8]) -> Result<Compiled, LoadError> {
        let size = Limits::ceiling().compiled_size;
        Ok(self.compiler.run(&Job::stored(), component, size).await?)
    }

    /// Writes the code, what the component uses, and the component itself if it is not there yet.
    async fn write(
        &self,
        digest: VersionDigest,
        compiled: Compiled,
        component: Option<Bytes>,
    ) -> std::io::Result<Vec<u8>> {
        self.write_uses(digest, &compiled.description.uses).await?;
        self.refused.invalidate(&digest);
        let (files, seal) = (self.files.clone(), self.seal);
        blocking(move || {
            let code = compiled.code;
            files.write_compiled(digest, &[seal.mac(digest, &code).as_bytes(), &code])?;
            if let Some(component) = component {
                files.write_component(digest, &component)?;
            }
            Ok(code)
        })
        .await
    }

    async fn write_uses(&self, digest: VersionDigest, uses: &Uses) -> std::io::Result<()> {
        let json = serde_json::to_vec(uses)?;
        let (files, seal) = (self.files.clone(), self.seal);
        blocking(move || files.write_uses(digest, &[seal.mac_of_uses(digest, &json).as_bytes(), &json])).await
    }

    /// What a component uses, if that was found out before.
    async fn known_uses(&self, digest: VersionDigest) -> std::io::Result<Option<Uses>> {
        let (files, seal) = (self.files.clone(), self.seal);
        blocking(move || {
            let stored = files.read_uses(digest)?;
            Ok(stored.and_then(|stored| serde_json::from_slice(seal.authentic_uses(digest, &stored)?).ok()))
        })
        .await
    }
}

impl Seal {
    pub(super) fn new(engine: &Engine, key: &HostKey) -> Self {
        Self {
            key: key.derive("mortise compiled code 2"),
            compatibility: compatibility(engine),
        }
    }

    /// The component of a stored file. Takes as long as the code is large: on a thread that may
    /// block.
    fn open(&self, engine: &Engine, digest: VersionDigest, stored: &[u8]) -> std::io::Result<Opened> {
        let Some(code) = self.authentic(digest, stored) else {
            return Ok(Opened::Unusable);
        };
        // SAFETY: the MAC says that this host wrote exactly these bytes, for this component and an
        // engine that is compatible with this one. They were read into memory before the check, so
        // nobody can change them after it.
        judged(unsafe { deserialize(engine, code) })
    }

    /// The code of a stored file, if this host wrote it for this engine.
    pub(super) fn authentic<'a>(&self, digest: VersionDigest, stored: &'a [u8]) -> Option<&'a [u8]> {
        let (mac, code) = stored.split_first_chunk::<MAC_BYTES>()?;
        // Hashes are compared in constant time.
        (self.mac(digest, code) == *mac).then_some(code)
    }

    pub(super) fn mac(&self, digest: VersionDigest, code: &[u8]) -> blake3::Hash {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(&self.compatibility);
        mac.update(digest.as_bytes());
        mac.update(code);
        mac.finalize()
    }

    /// What a stored file says that a component uses, if this host wrote it.
    pub(super) fn authentic_uses<'a>(&self, digest: VersionDigest, stored: &'a [u8]) -> Option<&'a [u8]> {
        let (mac, json) = stored.split_first_chunk::<MAC_BYTES>()?;
        (self.mac_of_uses(digest, json) == *mac).then_some(json)
    }

    /// What a component uses is the same for all engines.
    pub(super) fn mac_of_uses(&self, digest: VersionDigest, uses: &[u8]) -> blake3::Hash {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(b"uses 1");
        mac.update(digest.as_bytes());
        mac.update(uses);
        mac.finalize()
    }
}

/// Tells a failure of the system, which may be over soon, from a refusal of the engine. Compiling
/// the component again would give the same code, which the engine would refuse again.
fn judged(code: wasmtime::Result<Code>) -> std::io::Result<Opened> {
    match code {
        Ok(code) => Ok(Opened::Code(code)),
        Err(error) if error.chain().any(is_of_the_system) => Err(std::io::Error::other(format!("{error:#}"))),
        Err(error) => Ok(Opened::Refused(not_run(&error))),
    }
}

fn is_of_the_system(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<std::io::Error>() || error.is::<rustix::io::Errno>() || error.is::<wasmtime::OutOfMemory>()
}

/// The pool has less than the component needs.
fn not_run(error: &wasmtime::Error) -> Refusal {
    Refusal::component(
        format!("the component needs more than an instance may have: {error:#}"),
        "docs/limits.md says how many core instances, memories and tables there are; join modules, or leave out what the \
         plugin does not use",
    )
}

/// # Safety
///
/// `code` must be the unchanged output of wasmtime's compiler: it is run as machine code.
unsafe fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Code> {
    let (component, heap) = growth(|| {
        // SAFETY: the caller promises it.
        unsafe { Component::deserialize(engine, code) }
    });
    Ok(Code {
        component: component?,
        footprint: footprint(code, heap),
    })
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
