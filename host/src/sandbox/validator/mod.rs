//! Checks bodies against JSON schemas in sandboxes, where the CPU time of a check is charged and a
//! check can be stopped.
//!
//! The validator is a component of the host (`validator/`) that is embedded and compiled once. A
//! sandbox serves one version and holds its schemas. After a check it stays warm for that version's
//! next check.
//!
//! A check runs under the CPU, wall and memory limits of its invocation and in the time slices of
//! its tenant. It moves to the background at the first tick, like every guest.

mod instance;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasmtime::Engine;

use super::embedded::{CallFailure, Data, Embedded, Payer, Slices, memory};
use super::loaded::ComponentCache;
use super::meter::Meter;
use super::placement::{Placement, RunQueues};
use super::warm::{WarmPool, WarmPools};
use crate::components::LoadError;
use crate::components::bundle::schema::{Schema, Schemas};
use crate::domain::limits::Limits;
use crate::domain::units::ByteSize;
use crate::unguarded::{Guard, is_off};
pub use instance::Mismatch;
use instance::{Instance, ValidatorPre, Verdict};

/// The validator, a WebAssembly component.
const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/validator.wasm"));

/// A sandbox stays warm only if it holds at most this fraction (one half) of its memory.
const KEPT_MEMORY: usize = 2;

/// The number of uploads whose schemas are compiled at once.
pub(super) const UPLOADS: usize = 2;

/// The CPU time for compiling one schema of an upload, and for all of them together.
const UPLOAD_CPU: Duration = Duration::from_secs(1);
const UPLOAD_CPU_TOGETHER: Duration = Duration::from_secs(10);

/// The wall time for compiling all schemas of an upload, including waiting for other uploads.
const UPLOAD_WALL: Duration = Duration::from_secs(60);

/// The warm sandboxes of a tenant.
pub type WarmValidators = WarmPool<Instance, Schemas>;

/// The validator of bodies, with its pool of sandboxes.
pub struct Validators {
    embedded: Arc<Embedded<ValidatorPre<Data>>>,
    warm_pools: Arc<WarmPools<Instance, Schemas>>,
    uploads: Semaphore,
    upload_slices: Slices,
}

/// Why a body did not pass its check.
#[derive(Debug, thiserror::Error)]
pub enum CheckFailure {
    /// The body does not match. The list is empty if collecting the mismatches exceeded a limit.
    #[error("the body does not match its schema")]
    Mismatch(Vec<Mismatch>),
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The check used up the CPU budget of the invocation.
    #[error("checking the body against its schema took more than the {0:?} of CPU time of an invocation")]
    Cpu(Duration),
    /// The invocation's time ran out.
    #[error("checking the body against its schema took longer than the {0:?} of an invocation")]
    Timeout(Duration),
    /// The check needed more memory than the invocation may have.
    #[error("checking the body against its schema needs more than {0} of memory")]
    Memory(ByteSize),
    /// The check exceeded another limit.
    #[error("checking the body against its schema was stopped: {0}")]
    Stopped(String),
    /// All sandboxes are in use.
    #[error("all sandboxes for checks are in use")]
    NoInstance,
    /// The host failed.
    #[error("the validator cannot be used: {0}")]
    Host(String),
}

impl CheckFailure {
    /// The reason with the first place that does not match, if there is one.
    pub fn reason(&self) -> String {
        match self {
            Self::Mismatch(mismatches) => match mismatches.first() {
                Some(Mismatch { pointer, detail }) => {
                    format!("the body does not match its schema at `{pointer}`: {detail}")
                }
                None => self.to_string(),
            },
            failure => failure.to_string(),
        }
    }
}

/// Why the schemas of an upload cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A schema does not compile.
    #[error("{file}: {problem}")]
    Refused {
        /// The path of the schema inside the plugin.
        file: String,
        /// What is wrong, and where in the schema.
        problem: String,
    },
    /// The validator could not start in time, or no sandbox is free. A later attempt may succeed.
    #[error("the validator is not available: {0}")]
    Unavailable(String),
    /// The host failed.
    #[error("the validator cannot be used: {0}")]
    Host(String),
}

/// A check to be made: the body, its schema and the limits.
pub(super) struct Check<'a> {
    pub schema: &'a Schema,
    pub body: &'a [u8],
    pub warm: Option<&'a WarmValidators>,
    pub limits: &'a Limits,
    pub meter: &'a Arc<Meter>,
    pub placement: &'a Arc<Placement>,
}

impl Validators {
    /// A validator with at most `warm` warm sandboxes. The pool of `engine` has a place for each of
    /// them, for each instance of a plugin, and for [`UPLOADS`].
    pub(super) fn new(
        warm: u32,
        engine: Engine,
        components: Arc<ComponentCache>,
        queues: Arc<RunQueues>,
        background: Handle,
    ) -> Self {
        let bind = ValidatorPre::new;
        let slices = Slices::new(queues, background.clone());
        Self {
            embedded: Arc::new(Embedded::new(
                "validator",
                COMPONENT,
                bind,
                engine,
                components,
                background,
            )),
            warm_pools: Arc::new(WarmPools::new(warm)),
            uploads: Semaphore::new(UPLOADS),
            upload_slices: slices,
        }
    }

    /// A pool for the warm sandboxes of one tenant. It is empty at first and never holds more than
    /// `most`.
    pub fn warm_pool(&self, most: u32) -> Arc<WarmValidators> {
        self.warm_pools.tenant(most)
    }

    pub(super) fn warm_pools(&self) -> &Arc<WarmPools<Instance, Schemas>> {
        &self.warm_pools
    }

    /// Loads the validator in the background, so that the first check need not wait for it.
    pub fn prepare(&self) {
        self.embedded.prepare();
    }

    /// Compiles the schemas of an upload in a sandbox. `limits` are the limits of the version.
    pub async fn try_schemas(
        self: &Arc<Self>,
        schemas: &BTreeMap<String, Arc<Schema>>,
        limits: &Limits,
    ) -> Result<(), SchemaError> {
        if schemas.is_empty() {
            return Ok(());
        }
        if is_off(Guard::SchemasApart) {
            return compile_here(schemas);
        }
        let host = |error: String| SchemaError::Host(error);
        // The first start compiles the validator, with a time limit of its own.
        self.embedded
            .load()
            .await
            .map_err(|error: LoadError| SchemaError::Unavailable(error.to_string()))?;
        let schemas = schemas.clone();
        let memory = memory(limits);
        let compile = async {
            let _permit = self
                .uploads
                .acquire()
                .await
                .map_err(|error| host(error.to_string()))?;
            let payer = self.upload_slices.payer(Arc::default(), UPLOAD_CPU);
            let (own, paid) = (self.clone(), payer.clone());
            let work = async move { own.compile_each(&schemas, memory, &paid).await };
            let compiled = self.upload_slices.run(payer, work).await;
            compiled.unwrap_or_else(|error| Err(host(error.to_string())))
        };
        let compiled = tokio::time::timeout(UPLOAD_WALL, compile).await;
        compiled.unwrap_or_else(|_| {
            Err(SchemaError::Unavailable(format!(
                "the schemas were not compiled within {UPLOAD_WALL:?}"
            )))
        })
    }

    async fn compile_each(
        &self,
        schemas: &BTreeMap<String, Arc<Schema>>,
        memory: ByteSize,
        paid: &Payer,
    ) -> Result<(), SchemaError> {
        let pre = self
            .embedded
            .bindings()
            .await
            .map_err(|error| SchemaError::Host(error.to_string()))?;
        for (file, schema) in schemas {
            let payer = Payer {
                cpu: UPLOAD_CPU_TOGETHER.min(paid.meter.counted() + UPLOAD_CPU),
                ..paid.clone()
            };
            let refused = |problem: String| SchemaError::Refused {
                file: file.clone(),
                problem,
            };
            let mut instance = Instance::fresh(pre, memory.as_usize(), &payer)
                .await
                .map_err(|error| match CallFailure::of(&error, false) {
                    CallFailure::NoInstance => SchemaError::Unavailable(format!("{error:#}")),
                    _ => SchemaError::Host(format!("{error:#}")),
                })?;
            match instance
                .try_schema(schema.version(), schema.index(), &payer)
                .await
            {
                Ok(compiled) => compiled.map_err(refused)?,
                Err(error) => {
                    let failure = CallFailure::of(&error, instance.was_refused_memory());
                    return Err(match failure {
                        CallFailure::Cpu => refused(format!(
                            "compiling it took too long: a schema has {UPLOAD_CPU:?} of CPU time, all of a plugin {UPLOAD_CPU_TOGETHER:?}; make it smaller"
                        )),
                        CallFailure::Memory => refused(format!(
                            "compiling it needs more than {memory} of memory; use fewer or shorter patterns"
                        )),
                        CallFailure::Stack => refused("it is nested too deep".to_owned()),
                        CallFailure::Other(problem) => {
                            refused(format!("compiling it was stopped: {problem}"))
                        }
                        CallFailure::NoInstance => SchemaError::Unavailable(format!("{error:#}")),
                    });
                }
            }
        }
        Ok(())
    }

    /// Checks a body in a sandbox.
    pub(super) async fn check(self: &Arc<Self>, check: Check<'_>) -> Result<(), CheckFailure> {
        self.embedded
            .load()
            .await
            .map_err(|error| CheckFailure::Host(error.to_string()))?;
        let pre = self
            .embedded
            .bindings()
            .await
            .map_err(|error| CheckFailure::Host(error.to_string()))?;
        let payer = Payer {
            meter: check.meter.clone(),
            placement: check.placement.clone(),
            cpu: check.limits.cpu.0,
        };
        let memory = memory(check.limits);
        let running = Running {
            pre,
            memory,
            payer,
            check: &check,
        };
        let warm = check.warm.and_then(|warm| warm.take(check.schema.version()));
        let (mut instance, verdict) = running.verdict(warm).await?;
        let outcome = match verdict {
            Verdict::Valid => Ok(()),
            Verdict::NotJson(problem) => Err(CheckFailure::NotJson(problem)),
            Verdict::Invalid => {
                let explained = instance.explain(check.schema.index(), &running.payer).await;
                let Ok(mismatches) = explained else {
                    // The body certainly does not match. The sandbox is not used again.
                    return Err(CheckFailure::Mismatch(Vec::new()));
                };
                Err(CheckFailure::Mismatch(mismatches))
            }
        };
        if let Some(warm) = check.warm
            && instance.memory() <= memory.as_usize() / KEPT_MEMORY
        {
            drop(warm.keep(check.schema.version().clone(), instance, Instant::now()));
        }
        outcome
    }
}

/// Compiles the schemas without a sandbox and limits, as a host without this guard would.
fn compile_here(schemas: &BTreeMap<String, Arc<Schema>>) -> Result<(), SchemaError> {
    for (file, schema) in schemas {
        let version = schema.version();
        let compiled = mortise_validator::Schema::compile(version.text(schema.index()), version.formats());
        compiled.map_err(|problem| SchemaError::Refused {
            file: file.clone(),
            problem,
        })?;
    }
    Ok(())
}

/// A check in progress.
struct Running<'a> {
    pre: &'a ValidatorPre<Data>,
    memory: ByteSize,
    payer: Payer,
    check: &'a Check<'a>,
}

impl Running<'_> {
    /// Checks the body. Returns the verdict and the sandbox that was used.
    async fn verdict(&self, warm: Option<Instance>) -> Result<(Instance, Verdict), CheckFailure> {
        if let Some(mut instance) = warm {
            match self.compile_and_check(&mut instance).await {
                Ok(verdict) => return Ok((instance, verdict)),
                // Memory that earlier checks and other schemas left in use must not fail this
                // check, so it is repeated in a fresh sandbox.
                Err(CheckFailure::Memory(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        let fresh = Instance::fresh(self.pre, self.memory.as_usize(), &self.payer).await;
        let mut instance = fresh.map_err(|error| self.failure(&error, false))?;
        let verdict = self.compile_and_check(&mut instance).await?;
        Ok((instance, verdict))
    }

    async fn compile_and_check(&self, instance: &mut Instance) -> Result<Verdict, CheckFailure> {
        let schema = self.check.schema;
        let compiled = instance
            .compile(schema.version(), schema.index(), &self.payer)
            .await;
        match compiled {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => return Err(CheckFailure::Stopped(problem)),
            Err(error) => return Err(self.failure(&error, instance.was_refused_memory())),
        }
        let verdict = instance.check(schema.index(), self.check.body, &self.payer).await;
        verdict.map_err(|error| self.failure(&error, instance.was_refused_memory()))
    }

    fn failure(&self, error: &wasmtime::Error, was_refused_memory: bool) -> CheckFailure {
        match CallFailure::of(error, was_refused_memory) {
            CallFailure::Cpu => CheckFailure::Cpu(self.payer.cpu),
            CallFailure::Memory => CheckFailure::Memory(self.memory),
            CallFailure::Stack => {
                CheckFailure::Stopped("the schema recurses without end or too deep".to_owned())
            }
            CallFailure::NoInstance => CheckFailure::NoInstance,
            CallFailure::Other(problem) => CheckFailure::Stopped(problem),
        }
    }
}
