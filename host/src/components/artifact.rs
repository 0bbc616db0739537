//! Compiled code of components: writing, checking and loading it. Only this file turns bytes into
//! code that runs.
//!
//! A file of compiled code starts with a MAC over the engine's compatibility hash, the digest of
//! the component and the code. If the MAC does not match, the component is compiled again.
//!
//! The MAC is keyed BLAKE3 (<https://github.com/BLAKE3-team/BLAKE3-specs>). The first request to a
//! version waits for the check of all its code. BLAKE3 is fast on any processor, SHA-256 only with
//! special instructions.

#![expect(
    unsafe_code,
    reason = "running compiled code is what this host is for; the argument stands at each use"
)]

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::accept;
use super::code_files::CodeFiles;
use super::compile::protocol::{DescribedManifest, Job};
use super::compile::{CompileError, Compiled, Compiler, Urgency, WorkerPermit};
use super::embedded_code::of_process;
use super::error::LoadError;
use super::files::blocking;
use super::footprint::footprint;
use super::refusal::Refusal;
use super::seal::{MAC_BYTES, Seal};
use super::shield::Shield;
use super::store::{ComponentStore, StoreError, VerifiedComponent};
use super::uses::Uses;
use crate::allocator::growth;
use crate::domain::id::{PluginName, VersionDigest};
use crate::domain::limits::Limits;
use crate::domain::units::{ByteSize, as_u64};
use crate::storage::vault::HostKey;

/// The most remembered refusals, which prevent compiling a refused component again.
const REFUSALS_KEPT: u64 = 2_000;

/// Compiles components, and stores and loads their code.
pub struct Artifacts {
    seal: Seal,
    store: Arc<dyn ComponentStore>,
    files: Arc<CodeFiles>,
    compiler: Compiler,
    shield: Shield,
    refused: moka::sync::Cache<VersionDigest, Arc<Refusal>>,
}

/// A loaded component, and the memory that it takes.
pub struct Code {
    /// The component.
    pub component: Component,
    /// Memory in bytes.
    pub footprint: usize,
}

/// How thoroughly stored code is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeCheck {
    /// Checks that the file exists.
    Exists,
    /// Checks that this host wrote the file for this engine. This reads all of it.
    Authentic,
}

/// The result of opening a file of compiled code.
enum Opened {
    /// The code can run.
    Code(Code),
    /// This host wrote the code for this engine, but the engine refuses it.
    Refused(Refusal),
    /// The file is missing, damaged, or from another engine.
    Unusable,
}

impl Artifacts {
    /// Creates the artifacts of `engine` for the components in `store`.
    pub fn new(
        engine: &Engine,
        key: &HostKey,
        store: Arc<dyn ComponentStore>,
        files: CodeFiles,
        compiler: Compiler,
        shield: Shield,
    ) -> Self {
        Self {
            seal: Seal::new(engine, key),
            store,
            files: Arc::new(files),
            compiler,
            shield,
            refused: moka::sync::Cache::new(REFUSALS_KEPT),
        }
    }

    /// The number of running compile workers.
    pub fn compile_workers(&self) -> u64 {
        self.compiler.workers()
    }

    /// The component store, which all nodes share.
    pub fn store(&self) -> &Arc<dyn ComponentStore> {
        &self.store
    }

    /// Reads, checks and compiles an upload for `plugin`, and stores its code. The component itself
    /// is not stored.
    pub async fn compile_upload(
        &self,
        plugin: &PluginName,
        component: &VerifiedComponent,
        compiled_size: ByteSize,
    ) -> Result<DescribedManifest, LoadError> {
        let digest = component.digest();
        let is_compiled = self.has_code(digest, CodeCheck::Authentic).await?;
        let job = Job {
            upload: Some(plugin.clone()),
            compile: !is_compiled,
            shield: self.shield.clone(),
        };
        let permit = self.compiler.permit(Urgency::Awaited).await?;
        let mut compiled = self
            .compiler
            .run(permit, &job, component.bytes(), compiled_size)
            .await?;
        let garbled = || CompileError::Worker("it accepted an upload without its manifest".to_owned());
        let manifest = compiled.description.manifest.take().ok_or_else(garbled)?;
        manifest.manifest.check().map_err(|_| garbled())?;
        if is_compiled {
            // The code from another tenant's upload may exceed this tenant's limit.
            let size = self.compiled_size(digest).await?;
            if size.is_some_and(|size| size > compiled_size.0) {
                return Err(CompileError::TooLarge(compiled_size).into());
            }
            self.write_uses(digest, &compiled.description.uses).await?;
        } else {
            self.write_code(digest, compiled).await?;
        }
        Ok(manifest)
    }

    /// Compiles a stored component again if its code is missing or damaged. It was accepted
    /// earlier, so the checks of an upload do not apply.
    pub async fn repair_code(&self, component: &VerifiedComponent) -> Result<(), LoadError> {
        let digest = component.digest();
        if self.has_code(digest, CodeCheck::Authentic).await? {
            return Ok(());
        }
        let permit = self.compiler.permit(Urgency::Awaited).await?;
        let compiled = self.compile_stored(permit, component.bytes()).await?;
        self.write_code(digest, compiled).await?;
        Ok(())
    }

    /// Compiles a stored component in the background if its code is missing, damaged or from
    /// another engine. Uploads and requests get a worker first.
    pub async fn recompile(&self, digest: VersionDigest) -> Result<(), LoadError> {
        let permit = self.compiler.permit(Urgency::Background).await?;
        // A request may have compiled it meanwhile.
        if self.has_code(digest, CodeCheck::Authentic).await? {
            return Ok(());
        }
        let compiled = async {
            let source = self.source(digest).await?;
            self.compile_stored(permit, &source).await
        };
        match compiled.await {
            Ok(compiled) => self.write_code(digest, compiled).await.map(drop)?,
            Err(error) => {
                // This engine cannot use the old file. Without it, the next check finds a missing
                // file without reading it.
                let files = self.files.clone();
                blocking(move || files.remove_compiled(digest)).await?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether the code of a component is stored.
    pub async fn has_code(&self, digest: VersionDigest, check: CodeCheck) -> std::io::Result<bool> {
        let (files, seal) = (self.files.clone(), self.seal);
        blocking(move || match check {
            CodeCheck::Exists => Ok(files.compiled_size(digest)?.is_some()),
            CodeCheck::Authentic => {
                let stored = files.read_compiled(digest)?;
                Ok(stored.is_some_and(|stored| seal.authentic(digest, &stored).is_some()))
            }
        })
        .await
    }

    /// Whether the code of all active versions was compiled for this engine, according to the last
    /// record.
    pub async fn is_code_current(&self) -> std::io::Result<bool> {
        let (files, engine) = (self.files.clone(), self.seal.engine());
        blocking(move || {
            Ok(files
                .read_engine()?
                .is_some_and(|stored| stored == engine.as_bytes()))
        })
        .await
    }

    /// Records whether the code of all active versions is compiled for this engine.
    pub async fn set_code_current(&self, is_current: bool) -> std::io::Result<()> {
        let (files, engine) = (self.files.clone(), self.seal.engine());
        blocking(move || match is_current {
            true => files.write_engine(engine.as_bytes()),
            false => files.remove_engine(),
        })
        .await
    }

    /// The component as it was uploaded.
    pub async fn source(&self, digest: VersionDigest) -> Result<Bytes, LoadError> {
        let component = self.store.get(digest).await?;
        let component = component.ok_or(LoadError::Missing(digest))?;
        Ok(component.into_bytes())
    }

    /// Loads a component for `engine`. Compiles it first if necessary.
    pub async fn load(&self, engine: &Engine, digest: VersionDigest) -> Result<Code, LoadError> {
        self.check_refused(digest)?;
        if !self.shield.is_empty() {
            let refused = accept::refuse_shielded(&self.shield, &self.uses(digest).await?);
            refused.map_err(|refusal| LoadError::Refused(Arc::new(refusal)))?;
        }
        if let Some(code) = self.kept(engine, digest).await? {
            return Ok(code);
        }
        let permit = self.compiler.permit(Urgency::Awaited).await?;
        // Another task may have compiled it while this one waited for a worker.
        if let Some(code) = self.kept(engine, digest).await? {
            return Ok(code);
        }
        tracing::warn!(%digest, "compiled code is missing, damaged or from another engine; compiling again");
        let source = self.source(digest).await?;
        let compiled = self.compile_stored(permit, &source).await?;
        let (code, written) = self.try_write_code(digest, compiled).await?;
        if let Err(error) = written {
            tracing::warn!(%digest, %error, "compiled code cannot be stored; it serves from memory");
        }
        let engine = engine.clone();
        let open = move || {
            // SAFETY: the code comes from the compile worker of this executable, in this call.
            judged(unsafe { deserialize(&engine, &code) })
        };
        blocking(open).await?.usable()?.ok_or(LoadError::Missing(digest))
    }

    /// Remembers the refusal of a component until it is removed or stored again.
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

    /// What a stored component uses. The result is stored beside the code.
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
        let permit = self.compiler.permit(Urgency::Awaited).await?;
        let compiled = self.compiler.run(permit, &job, &component, ByteSize(0)).await?;
        let uses = compiled.description.uses;
        self.write_uses(digest, &uses).await?;
        Ok(uses)
    }

    /// The rules of the operator.
    pub fn shield(&self) -> &Shield {
        &self.shield
    }

    /// Loads the component `name`, which is embedded in the host.
    pub async fn embedded(
        &self,
        engine: &Engine,
        name: &'static str,
        component: &'static [u8],
    ) -> Result<Component, LoadError> {
        let digest = VersionDigest::of(component);
        let (files, seal, for_engine) = (self.files.clone(), self.seal, engine.clone());
        let open = move || match files.read_embedded(name, digest)? {
            Some(stored) => open(&seal, &for_engine, digest, &stored),
            None => Ok(Opened::Unusable),
        };
        if let Opened::Code(code) = blocking(open).await? {
            return Ok(code.component);
        }
        let compile = || async {
            let size = Limits::ceiling().compiled_size;
            let compiler = self.compiler.for_host();
            let permit = compiler.permit(Urgency::Awaited).await?;
            let compiled = compiler.run(permit, &Job::stored(), component, size).await?;
            Ok::<_, LoadError>(Arc::new(compiled.code))
        };
        let code = of_process(digest).get_or_try_init(compile).await?.clone();
        let (files, seal, for_engine) = (self.files.clone(), self.seal, engine.clone());
        let load = move || {
            let mac = seal.mac(digest, &code);
            files.write_embedded(name, digest, &[mac.as_bytes(), &code])?;
            // SAFETY: the code comes from the compile worker of this executable, in this process.
            judged(unsafe { deserialize(&for_engine, &code) })
        };
        let code = blocking(load).await?.usable()?;
        code.map(|code| code.component).ok_or(LoadError::Missing(digest))
    }

    /// Size of the compiled code, if it exists.
    pub async fn compiled_size(&self, digest: VersionDigest) -> std::io::Result<Option<u64>> {
        let files = self.files.clone();
        let size = blocking(move || files.compiled_size(digest)).await?;
        Ok(size.map(|size| size.saturating_sub(as_u64(MAC_BYTES))))
    }

    /// Removes this node's files of a component.
    pub async fn evict(&self, digest: VersionDigest) -> std::io::Result<()> {
        self.refused.invalidate(&digest);
        let files = self.files.clone();
        blocking(move || files.remove(digest)).await
    }

    /// Fails if the component was refused before.
    fn check_refused(&self, digest: VersionDigest) -> Result<(), LoadError> {
        match self.refused.get(&digest) {
            Some(refusal) => Err(LoadError::Refused(refusal)),
            None => Ok(()),
        }
    }

    /// Loads the stored code of a component. `None` if the component must be compiled.
    async fn kept(&self, engine: &Engine, digest: VersionDigest) -> Result<Option<Code>, LoadError> {
        self.check_refused(digest)?;
        let (files, seal, engine) = (self.files.clone(), self.seal, engine.clone());
        let opened = blocking(move || match files.read_compiled(digest) {
            Ok(Some(stored)) => {
                let opened = open(&seal, &engine, digest, &stored)?;
                if matches!(opened, Opened::Unusable) {
                    // Other files may be damaged too: the next start checks the code of all active
                    // versions.
                    if let Err(error) = files.remove_engine() {
                        tracing::warn!(%error, "the next start does not check the compiled code");
                    }
                }
                Ok(opened)
            }
            Ok(None) => Ok(Opened::Unusable),
            Err(error) => {
                tracing::warn!(%digest, %error, "compiled code cannot be read");
                Ok(Opened::Unusable)
            }
        });
        opened.await?.usable()
    }

    /// Compiles a component that was accepted earlier.
    async fn compile_stored(&self, permit: WorkerPermit, component: &[u8]) -> Result<Compiled, LoadError> {
        let size = Limits::ceiling().compiled_size;
        let job = Job::stored();
        Ok(self.compiler.run(permit, &job, component, size).await?)
    }

    /// Writes the code and what the component uses.
    async fn write_code(&self, digest: VersionDigest, compiled: Compiled) -> std::io::Result<Vec<u8>> {
        let (code, written) = self.try_write_code(digest, compiled).await?;
        written.map(|()| code)
    }

    /// Writes the code and what the component uses. Gives back the code also if it cannot be
    /// written.
    async fn try_write_code(
        &self,
        digest: VersionDigest,
        compiled: Compiled,
    ) -> std::io::Result<(Vec<u8>, std::io::Result<()>)> {
        let uses_written = self.write_uses(digest, &compiled.description.uses).await;
        self.refused.invalidate(&digest);
        let (files, seal) = (self.files.clone(), self.seal);
        blocking(move || {
            let code = compiled.code;
            let written = uses_written
                .and_then(|()| files.write_compiled(digest, &[seal.mac(digest, &code).as_bytes(), &code]));
            Ok((code, written))
        })
        .await
    }

    async fn write_uses(&self, digest: VersionDigest, uses: &Uses) -> std::io::Result<()> {
        let json = serde_json::to_vec(uses)?;
        let (files, seal) = (self.files.clone(), self.seal);
        blocking(move || files.write_uses(digest, &[seal.mac_of_uses(digest, &json).as_bytes(), &json])).await
    }

    /// What a component uses, if the result is stored.
    async fn known_uses(&self, digest: VersionDigest) -> std::io::Result<Option<Uses>> {
        let (files, seal) = (self.files.clone(), self.seal);
        blocking(move || {
            let stored = files.read_uses(digest)?;
            Ok(stored.and_then(|stored| serde_json::from_slice(seal.authentic_uses(digest, &stored)?).ok()))
        })
        .await
    }
}

impl Opened {
    /// The code, if it can run. `None` if it must be compiled again.
    fn usable(self) -> Result<Option<Code>, LoadError> {
        match self {
            Self::Code(code) => Ok(Some(code)),
            Self::Refused(refusal) => Err(LoadError::Refused(Arc::new(refusal))),
            Self::Unusable => Ok(None),
        }
    }
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(digest) => Self::Missing(digest),
            StoreError::Unavailable(_) => Self::Store(Arc::new(error)),
        }
    }
}

/// Opens a stored file. Large code takes long, so call it on a blocking thread.
fn open(seal: &Seal, engine: &Engine, digest: VersionDigest, stored: &[u8]) -> std::io::Result<Opened> {
    let Some(code) = seal.authentic(digest, stored) else {
        return Ok(Opened::Unusable);
    };
    // SAFETY: the MAC proves that this host wrote exactly these bytes, for this component and a
    // compatible engine. They were read into memory before the check, so they cannot change after
    // it.
    judged(unsafe { deserialize(engine, code) })
}

/// Distinguishes a failure of the system, which may be temporary, from a refusal of the engine.
/// After a refusal, compiling again would give the same code.
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

/// The refusal of a component that needs more than the instance pool has.
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
