//! `[runtime]`: how plugins run.

use serde::{Deserialize, Serialize};

use crate::domain::units::ByteSize;

/// How plugins run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeSection {
    /// Instances of all tenants at once. Each reserves 4 GiB of address space, but memory only as it is used.
    pub instances: u32,
    /// Besides those, instances of all tenants that wait for the next request of a plugin that reuses them.
    pub instances_kept: u32,
    /// Memories that nobody uses and that keep the data of the plugin that used them last, whose next request is then as
    /// fast as the one before. They are divided among the processors, up to 16. Each takes up to 512 KiB, and little where plugins
    /// write little.
    pub memories_warm: u32,
    /// Threads that run plugins. 0: one for each core.
    pub threads: u32,
    /// How much the system prefers other work to those threads: 0 (not at all) to 19.
    pub nice: u8,
    /// Compiled code that is kept in memory.
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
    /// Threads that run plugins: as many as there are cores, where none are given.
    pub fn threads(&self) -> usize {
        match usize::try_from(self.threads) {
            Ok(0) | Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
            Ok(threads) => threads,
        }
    }
}
