//! The errors of outbound requests.

use std::time::Duration;

use super::super::{HandlesSpent, HostCallRefused, HostFault};
use super::allowance::Excess;
use crate::storage::vault::VaultError;

/// Why a request has no response. The texts are shown to the guest. They name what the guest or its
/// tenant can change, but no internal addresses and no secrets.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The tenant or the operator does not allow it.
    #[error("{0}")]
    Denied(String),
    /// The request is invalid.
    #[error("{0}")]
    InvalidRequest(String),
    /// The host name cannot be resolved.
    #[error("the name `{0}` could not be resolved")]
    Dns(String),
    /// The connection failed.
    #[error("no connection to {origin}: {reason}")]
    Connect {
        /// The origin of the request.
        origin: String,
        /// The kind of failure.
        reason: std::io::ErrorKind,
    },
    /// The server has no valid certificate, or does not speak TLS.
    #[error("no TLS connection to {origin}: {reason}")]
    Tls {
        /// The origin of the request.
        origin: String,
        /// The error of the TLS handshake.
        reason: String,
    },
    /// One of the time limits was reached.
    #[error("the request took longer than it may ({phase:?}, after {after:?})")]
    Timeout {
        /// The phase that took too long.
        phase: Phase,
        /// How long the attempt had lasted.
        after: Duration,
    },
    /// The response body is larger than the plan allows.
    #[error("the response body is larger than the plan allows")]
    TooLarge,
    /// The origin failed too often just now.
    #[error("the origin failed too often just now")]
    CircuitOpen,
    /// The response is not valid HTTP for this host.
    #[error("{0}")]
    Protocol(String),
    /// A limit of the invocation.
    #[error("{0}")]
    Limit(String),
    /// The server sent too much data besides the body of a response.
    #[error(transparent)]
    Excess(#[from] Excess),
    /// Reading responses took all the CPU time that the invocation may use.
    #[error(
        "reading the responses of this invocation took its {0:?} of CPU time; request less or \
         raise the limit `cpu`"
    )]
    CpuSpent(Duration),
    /// The host cannot open a secret that it stored.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// An error that the contract has a case for.
#[derive(Debug)]
pub enum TypedError {
    /// The tenant or the operator does not allow it.
    Denied(String),
    /// The request is invalid.
    InvalidRequest(String),
    /// The host name cannot be resolved.
    Dns(String),
    /// The connection failed.
    Connect(String),
    /// The TLS handshake failed.
    Tls(String),
    /// A time limit was reached.
    Timeout,
    /// The response body is too large.
    TooLarge,
    /// The origin failed too often just now.
    CircuitOpen,
    /// The response is not valid HTTP for this host.
    Protocol(String),
    /// A limit of the invocation.
    Limit(String),
}

/// The phase that a time limit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Resolving, connecting and TLS: nothing of the request was sent.
    Connect,
    /// Waiting for the response.
    Response,
    /// The request as a whole, by its own time limit or because the invocation ends.
    Whole,
}

impl From<HostCallRefused> for SendError {
    fn from(error: HostCallRefused) -> Self {
        SendError::Limit(error.to_string())
    }
}

impl From<HandlesSpent> for SendError {
    fn from(error: HandlesSpent) -> Self {
        SendError::Limit(error.to_string())
    }
}

impl SendError {
    /// The error as the guest gets it. A vault that cannot decrypt is the host's fault and ends the
    /// invocation.
    pub fn typed(self) -> wasmtime::Result<TypedError> {
        let text = self.to_string();
        Ok(match self {
            SendError::Denied(_) => TypedError::Denied(text),
            SendError::InvalidRequest(_) => TypedError::InvalidRequest(text),
            SendError::Dns(_) => TypedError::Dns(text),
            SendError::Connect { .. } => TypedError::Connect(text),
            SendError::Tls { .. } => TypedError::Tls(text),
            SendError::Timeout { .. } => TypedError::Timeout,
            SendError::TooLarge => TypedError::TooLarge,
            SendError::CircuitOpen => TypedError::CircuitOpen,
            SendError::Protocol(_) => TypedError::Protocol(text),
            SendError::Limit(_) | SendError::Excess(_) | SendError::CpuSpent(_) => TypedError::Limit(text),
            SendError::Vault(error) => return Err(HostFault::new(error).into()),
        })
    }
}
