//! The host calls of the context.

use wasmtime::component::{HasData, Linker};

use super::super::bindings::context;
use super::super::{HasCapabilities, Invocation};
use crate::domain::invocation::Trigger;

/// What the context sees of its invocation.
pub struct ContextView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
}

struct Context;

impl HasData for Context {
    type Data<'a> = ContextView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    context::add_to_linker::<T, Context>(linker, |data| ContextView {
        invocation: &mut data.capabilities().invocation,
    })
}

impl context::Host for ContextView<'_> {
    async fn current(&mut self) -> wasmtime::Result<context::Invocation> {
        self.invocation.last_calls.note("context.current");
        self.invocation.charge_host_call(0)?;
        let Invocation {
            id,
            active,
            trigger,
            principal,
            traceparent,
            ..
        } = &*self.invocation;
        Ok(context::Invocation {
            id: id.to_string(),
            tenant: active.tenant_name.to_string(),
            plugin: active.plugin.to_string(),
            version: active.version.clone(),
            trigger: match trigger {
                Trigger::Http => context::Trigger::Http,
            },
            principal: principal.as_ref().map(|principal| context::Principal {
                kind: principal.id().kind().to_owned(),
                id: principal.id().within_kind(),
                scopes: principal.scopes().to_vec(),
                claims: "{}".to_owned(),
            }),
            traceparent: traceparent.clone(),
        })
    }

    async fn remaining_ms(&mut self) -> wasmtime::Result<u64> {
        self.invocation.last_calls.note("context.remaining_ms");
        self.invocation.charge_host_call(0)?;
        Ok(u64::try_from(self.invocation.remaining().as_millis()).unwrap_or(u64::MAX))
    }
}
