//! `[runtime]`: instances, threads and memory for running plugins.

use serde::{Deserialize, Serialize};

use crate::domain::units::ByteSize;

/// Instances, threads and memory for running plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeSection {
    /// Running instances of all tenants. Each reserves 4 GiB of address space, but uses only the
    /// memory that it needs.
    pub instances: u32,
    /// Warm instances of all tenants, in addition to the running ones. Only plugins that reuse
    /// instances have any.
    pub instances_kept: u32,
    /// Unused memories that keep the data of their last plugin, which makes that plugin's next
    /// instance fast. They are divided among the processors, up to 16. Each takes up to 512 KiB,
    /// and less if plugins write little.
    pub memories_warm: u32,
    /// Threads that run plugins. 0: one for each core.
    pub threads: u32,
    /// The nice value of these threads: 0 (normal priority) to 19.
    pub nice: u8,
    /// Memory for loaded compiled code.
    pub loaded: ByteSize,
}

impl Default for RuntimeSection {
    fn default() -> Self {
        Self {
            instances: 256,
            instances_kept: 64,
            memories_warm: 1_024,
            threads: 0,
            nice: 0,
            loaded: ByteSize::mib(512),
        }
    }
}

impl RuntimeSection {
    /// The number of threads that run plugins. If none is configured, it is the number of cores.
    pub fn threads(&self) -> usize {
        match usize::try_from(self.threads) {
            Ok(0) | Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
            Ok(threads) => threads,
        }
    }
}
