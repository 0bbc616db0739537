//! The host call that reads a plugin's settings.

use wasmtime::component::{HasData, Linker};

use super::super::bindings::{v0_1, v0_2};
use super::super::{HasCapabilities, Invocation};

/// The part of the invocation that the settings may use.
pub struct ConfigView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
}

struct Config;

impl HasData for Config {
    type Data<'a> = ConfigView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::config::add_to_linker::<T, Config>(linker, view)?;
    v0_2::config::add_to_linker::<T, Config>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> ConfigView<'_> {
    ConfigView {
        invocation: &mut data.capabilities().invocation,
    }
}

macro_rules! serve {
    ($contract:ident) => {
        impl $contract::config::Host for ConfigView<'_> {
            async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
                self.invocation.last_calls.note("config.get");
                self.invocation.charge_host_call(key.len())?;
                Ok(self.invocation.active.config.get(&key).cloned())
            }
        }
    };
}

serve!(v0_1);
serve!(v0_2);
