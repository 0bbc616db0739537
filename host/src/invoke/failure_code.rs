//! The code in the record of a job that failed without the plugin's word. Requests get their code
//! with the problem for their caller, in `gateway/`.

use crate::domain::problem::Code;
use crate::sandbox::{Failure, Side};

/// The code of a failure.
pub fn of(failure: &Failure) -> Code {
    match failure {
        Failure::NoHandler(_) | Failure::Trapped(_) => Code::PluginTrapped,
        Failure::Memory => Code::PluginMemory,
        Failure::Limit { .. } => Code::PluginLimit,
        Failure::Cpu(_) => Code::PluginCpu,
        Failure::Timeout(_) => Code::PluginTimeout,
        Failure::NoInstance => Code::Overloaded,
        Failure::Host(_) => Code::Internal,
        Failure::Response(_) | Failure::Body(Side::Output, _) => Code::PluginInvalidResponse,
        Failure::Body(Side::Input, _) => Code::ValidationFailed,
    }
}
