//! The host calls that describe the current invocation.

use wasmtime::component::{HasData, Linker};

use super::super::bindings::{context, v0_1, v0_2};
use super::super::{HasCapabilities, Invocation};
use crate::domain::invocation::Trigger;

/// The part of the invocation that the context may use.
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
    v0_1::context::add_to_linker::<T, Context>(linker, view)?;
    v0_2::context::add_to_linker::<T, Context>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> ContextView<'_> {
    ContextView {
        invocation: &mut data.capabilities().invocation,
    }
}

impl ContextView<'_> {
    fn current(&mut self) -> wasmtime::Result<context::Invocation> {
        self.invocation.last_calls.note("context.current");
        self.invocation.charge_host_call(0)?;
        let Invocation {
            id,
            active,
            trigger,
            principal,
            traceparent,
            remote_address,
            ..
        } = &*self.invocation;
        Ok(context::Invocation {
            id: id.to_string(),
            tenant: active.tenant_name.to_string(),
            plugin: active.plugin.to_string(),
            version: active.version.clone(),
            trigger: match trigger {
                Trigger::Http => context::Trigger::Http,
                Trigger::Function => context::Trigger::Function,
                Trigger::Job => context::Trigger::Job,
            },
            principal: principal.as_ref().map(|principal| context::Principal {
                kind: principal.id().kind().to_owned(),
                id: principal.id().within_kind(),
                scopes: principal.scopes().to_vec(),
                claims: "{}".to_owned(),
                customer: None,
                attributes: "{}".to_owned(),
            }),
            traceparent: traceparent.clone(),
            remote_address: remote_address.map(|address| address.to_string()),
        })
    }

    fn remaining_ms(&mut self) -> wasmtime::Result<u64> {
        self.invocation.last_calls.note("context.remaining_ms");
        self.invocation.charge_host_call(0)?;
        Ok(u64::try_from(self.invocation.remaining().as_millis()).unwrap_or(u64::MAX))
    }
}

macro_rules! serve {
    ($contract:ident) => {
        impl $contract::context::Host for ContextView<'_> {
            async fn current(&mut self) -> wasmtime::Result<$contract::context::Invocation> {
                ContextView::current(self).map(Into::into)
            }

            async fn remaining_ms(&mut self) -> wasmtime::Result<u64> {
                ContextView::remaining_ms(self)
            }
        }
    };
}

serve!(v0_1);
serve!(v0_2);
