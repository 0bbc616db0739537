//! The host call of the log.

use wasmtime::component::{HasData, Linker};

use super::super::bindings::log;
use super::super::{HasCapabilities, Invocation};
use crate::domain::log_line::Level;

/// What the log sees of its invocation.
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
    log::add_to_linker::<T, Log>(linker, |data| LogView {
        invocation: &mut data.capabilities().invocation,
    })
}

impl log::Host for LogView<'_> {
    async fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.invocation.last_calls.note("log.write");
        let of_fields = fields.iter().map(|(name, value)| name.len() + value.len());
        self.invocation
            .charge_host_call(message.len() + of_fields.sum::<usize>())?;
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        super::append(self.invocation, level, &message, &fields);
        Ok(())
    }
}
