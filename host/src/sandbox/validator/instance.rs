//! One sandbox of the validator: a store, the instance in it, and the schemas that it has compiled.

use std::collections::BTreeSet;
use std::time::Duration;

use mortise_validator::Formats;
use wasmtime::Store;

use super::super::embedded::{Data, Payer, begin, new_store};
use crate::components::bundle::schema::Schemas;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../validator/wit",
        world: "validator",
        exports: { default: async },
    });
}

pub use bindings::{Mismatch, ValidatorPre, Verdict};

/// The most bytes that one call may return: a list of bounded mismatches.
const MAX_LIFTED: usize = 256 * 1024;

/// The CPU time for compiling one schema, in addition to the budget of the invocation that needs
/// the schema. It is twice the time that an upload has, so that an accepted schema compiles on a
/// busy machine as well.
pub const COMPILE_CPU: Duration = Duration::from_secs(2);

/// A validator in its sandbox.
pub struct Instance {
    store: Store<Data>,
    validator: bindings::Validator,
    compiled: BTreeSet<u32>,
}

impl Instance {
    /// A fresh sandbox with at most `memory` bytes.
    pub async fn fresh(pre: &ValidatorPre<Data>, memory: usize, payer: &Payer) -> wasmtime::Result<Self> {
        let mut store = new_store(pre.engine(), memory);
        begin(&mut store, payer, MAX_LIFTED);
        let validator = pre.instantiate_async(&mut store).await?;
        Ok(Self {
            store,
            validator,
            compiled: BTreeSet::new(),
        })
    }

    /// Compiles a schema unless the sandbox has compiled it already. The CPU time is recorded as
    /// used, but not taken from the budget of `payer`.
    pub async fn compile(
        &mut self,
        schemas: &Schemas,
        index: u32,
        payer: &Payer,
    ) -> wasmtime::Result<Result<(), String>> {
        if self.compiled.contains(&index) {
            return Ok(Ok(()));
        }
        let meter = &payer.meter;
        let before = meter.busy();
        let payer = Payer {
            cpu: meter.counted() + COMPILE_CPU,
            ..payer.clone()
        };
        let compiled = self.try_schema(schemas, index, &payer).await;
        meter.excuse(meter.busy().saturating_sub(before));
        if matches!(compiled, Ok(Ok(()))) {
            self.compiled.insert(index);
        }
        compiled
    }

    /// Compiles a schema within the budget of `payer`.
    pub async fn try_schema(
        &mut self,
        schemas: &Schemas,
        index: u32,
        payer: &Payer,
    ) -> wasmtime::Result<Result<(), String>> {
        begin(&mut self.store, payer, MAX_LIFTED);
        let is_asserted = schemas.formats() == Formats::Asserted;
        let text = schemas.text(index);
        self.validator
            .call_load(&mut self.store, index, text, is_asserted)
            .await
    }

    /// Checks a body against a schema that the sandbox has compiled.
    pub async fn check(&mut self, index: u32, body: &[u8], payer: &Payer) -> wasmtime::Result<Verdict> {
        begin(&mut self.store, payer, MAX_LIFTED);
        self.validator.call_check(&mut self.store, index, body).await
    }

    /// Lists the mismatches of the body that was checked last.
    pub async fn explain(&mut self, index: u32, payer: &Payer) -> wasmtime::Result<Vec<Mismatch>> {
        begin(&mut self.store, payer, MAX_LIFTED);
        self.validator.call_explain(&mut self.store, index).await
    }

    /// Whether the sandbox was ever refused memory.
    pub fn was_refused_memory(&self) -> bool {
        self.store.data().was_refused_memory()
    }

    /// The memory that the sandbox holds, in bytes. A memory never shrinks, so this is the peak.
    pub fn memory(&self) -> usize {
        self.store.data().memory()
    }
}
