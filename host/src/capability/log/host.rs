//! The host call of the log.

use wasmtime::component::{HasData, Linker};

use super::super::bindings::{v0_1, v0_2};
use super::super::{HasCapabilities, Invocation};
use crate::domain::log_line::Level;

/// The part of the invocation that the log may use.
pub struct LogView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
}

struct Log;

impl HasData for Log {
    type Data<'a> = LogView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::log::add_to_linker::<T, Log>(linker, view)?;
    v0_2::log::add_to_linker::<T, Log>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> LogView<'_> {
    LogView {
        invocation: &mut data.capabilities().invocation,
    }
}

macro_rules! serve {
    ($contract:ident) => {
        impl $contract::log::Host for LogView<'_> {
            async fn write(
                &mut self,
                level: $contract::log::Level,
                message: String,
                fields: Vec<(String, String)>,
            ) -> wasmtime::Result<()> {
                self.invocation.last_calls.note("log.write");
                let of_fields = fields.iter().map(|(name, value)| name.len() + value.len());
                self.invocation
                    .charge_host_call(message.len() + of_fields.sum::<usize>())?;
                let level = match level {
                    $contract::log::Level::Trace => Level::Trace,
                    $contract::log::Level::Debug => Level::Debug,
                    $contract::log::Level::Info => Level::Info,
                    $contract::log::Level::Warn => Level::Warn,
                    $contract::log::Level::Error => Level::Error,
                };
                super::append(self.invocation, level, &message, &fields);
                Ok(())
            }
        }
    };
}

serve!(v0_1);
serve!(v0_2);
