//! One invocation as host calls see it: who it is, how much time it has left, what it has used.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use wasmtime::component::{Resource, ResourceTable, ResourceTableError};

use super::active_version::ActiveVersion;
use super::cpu_time::CpuTime;
use super::last_calls::LastCalls;
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::InvocationId;
use crate::domain::invocation::{Trigger, Usage};
use crate::domain::limits::Limits;
use crate::domain::log_line::LogLine;
use crate::domain::principal::Principal;
use crate::domain::units::{ByteSize, as_u64};

/// One run of one instance. It is boxed where it is handed on, since it is large and changes hands a dozen times.
pub struct Invocation {
    /// Its id.
    pub id: InvocationId,
    /// What runs.
    pub active: Arc<ActiveVersion>,
    /// Why it runs.
    pub trigger: Trigger,
    /// Who called, on routes that ask.
    pub principal: Option<Principal>,
    /// How many requests from plugin to plugin of this host led here: 0 for a call from outside. It comes in the
    /// header [`DEPTH_HEADER`](super::http_client::DEPTH_HEADER) and bounds plugins that call each other in a circle.
    pub call_depth: u32,
    /// The caller's trace context.
    pub traceparent: Option<String>,
    /// Where the call came from, if it came over the network.
    pub remote_address: Option<IpAddr>,
    /// When it began.
    pub started_at: Timestamp,
    /// When the host ends it.
    pub deadline: Instant,
    /// The time of the host.
    pub clock: SharedClock,
    /// The CPU time that it has used so far, on whichever thread.
    pub cpu_time: Arc<CpuTime>,
    /// What else it has used so far.
    pub usage: Usage,
    /// Transactions, cursors and outbound requests that it holds.
    pub held: u32,
    /// What it called last.
    pub last_calls: LastCalls,
    /// The lines that it logged.
    pub log_lines: Vec<LogLine>,
    /// Secrets that the plugin has seen, so that its log can leave them out: each once, the longest first, since one
    /// may be a part of another.
    pub revealed: Vec<SecretString>,
}

/// Why a host call is not made. It is the contract's own error where the function has one for that, and ends the
/// invocation where not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostCallRefused {
    /// The invocation has made all the host calls that it may.
    #[error("this invocation has made its {0} host calls")]
    Spent(u32),
    /// The call hands over more than one may.
    #[error("this host call hands over {0} bytes, more than {1}")]
    TooLarge(usize, ByteSize),
}

/// The invocation holds as many resources as it may.
#[derive(Debug, thiserror::Error)]
#[error("this invocation holds as many resources as its {0} handles; drop some")]
pub struct HandlesSpent(u32);

impl HostCallRefused {
    /// The name of the limit.
    pub fn limit(&self) -> &'static str {
        match self {
            Self::Spent(_) => "host_calls",
            Self::TooLarge(..) => "host_call_bytes",
        }
    }
}

/// A host call that waits leaves a tenth of the remaining time to the plugin, at most 500 ms, so that
/// the plugin can still respond after a timeout.
const ANSWER_PART: u32 = 10;
const LONGEST_ANSWER: Duration = Duration::from_millis(500);

/// A shorter line of a secret, such as a bracket, says nothing and stands in other texts as well.
const SECRET_LINE_BYTES: usize = 8;

/// If so many texts are looked for in each line of the log already, further lines of secrets are
/// not. A private key in PEM has some 50 lines.
const MOST_REVEALED: usize = 128;

impl Invocation {
    /// The limits that hold.
    pub fn limits(&self) -> &Limits {
        &self.active.limits
    }

    /// Counts one host call, in which the guest hands over `bytes`. Every host call does this before anything else.
    pub fn charge_host_call(&mut self, bytes: usize) -> Result<(), HostCallRefused> {
        let (most_calls, most_bytes) = (self.limits().host_calls, self.limits().host_call_bytes);
        if self.usage.host_calls >= most_calls {
            return Err(HostCallRefused::Spent(most_calls));
        }
        self.usage.host_calls += 1;
        if bytes > most_bytes.as_usize() {
            return Err(HostCallRefused::TooLarge(bytes, most_bytes));
        }
        self.usage.host_call_bytes = self.usage.host_call_bytes.max(as_u64(bytes));
        Ok(())
    }

    /// Puts what the guest opened into its table, where there is room.
    pub fn hold<T: Send + 'static>(
        &mut self,
        table: &mut ResourceTable,
        opened: T,
    ) -> Result<Resource<T>, HandlesSpent> {
        let handle = table
            .push(opened)
            .map_err(|_| HandlesSpent(self.limits().handles))?;
        self.held += 1;
        self.usage.handles = self.usage.handles.max(self.held);
        Ok(handle)
    }

    /// Takes what the guest gives up out of its table.
    pub fn release<T: 'static>(
        &mut self,
        table: &mut ResourceTable,
        handle: Resource<T>,
    ) -> Result<T, ResourceTableError> {
        let opened = table.delete(handle)?;
        self.held = self.held.saturating_sub(1);
        Ok(opened)
    }

    /// Remembers that the plugin has seen a secret. What a plugin prints comes line by line, so
    /// each line of the secret is one as well.
    pub fn has_seen(&mut self, secret: &SecretString) {
        self.leave_out_of_log(secret);
        let lines: Vec<SecretString> = match secret.expose_secret() {
            value if value.contains('\n') => value.lines().map(SecretString::from).collect(),
            _ => Vec::new(),
        };
        for line in lines {
            if line.expose_secret().len() >= SECRET_LINE_BYTES && self.revealed.len() < MOST_REVEALED {
                self.leave_out_of_log(&line);
            }
        }
    }

    fn leave_out_of_log(&mut self, secret: &SecretString) {
        let value = secret.expose_secret();
        let known = self.revealed.iter().any(|known| known.expose_secret() == value);
        if !known && !value.is_empty() {
            let place = self
                .revealed
                .partition_point(|known| known.expose_secret().len() >= value.len());
            self.revealed.insert(place, secret.clone());
        }
    }

    /// How long a host call may wait, so that the plugin has time left to respond.
    pub fn patience(&self) -> Duration {
        let left = self.remaining();
        left - (left / ANSWER_PART).min(LONGEST_ANSWER)
    }

    /// The wall-clock time that is left.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
