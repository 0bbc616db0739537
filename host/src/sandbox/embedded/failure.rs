//! Why a call of an embedded component returned no result.

use wasmtime::{PoolConcurrencyLimitError, Trap};

use super::super::store::CpuSpent;

/// Why a call returned no result.
pub enum CallFailure {
    /// The CPU budget is spent.
    Cpu,
    /// The sandbox was refused memory.
    Memory,
    /// The stack overflowed.
    Stack,
    /// All sandboxes are in use.
    NoInstance,
    /// Anything else, such as a panic.
    Other(String),
}

impl CallFailure {
    /// The reason of an error.
    pub fn of(error: &wasmtime::Error, was_refused_memory: bool) -> Self {
        let trap: Option<&Trap> = error.downcast_ref();
        if error.is::<CpuSpent>() || matches!(trap, Some(Trap::Interrupt)) {
            Self::Cpu
        } else if error.is::<PoolConcurrencyLimitError>() {
            Self::NoInstance
        } else if matches!(trap, Some(Trap::StackOverflow)) {
            Self::Stack
        } else if was_refused_memory {
            Self::Memory
        } else {
            Self::Other(error.root_cause().to_string())
        }
    }
}
