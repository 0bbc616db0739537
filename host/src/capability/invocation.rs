//! The state of one invocation that host calls use: its identity, its deadline and its usage.

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
use crate::domain::id::{InvocationId, JobId};
use crate::domain::invocation::{Trigger, Usage};
use crate::domain::limits::Limits;
use crate::domain::log_line::LogLine;
use crate::domain::principal::Principal;
use crate::domain::units::{ByteSize, as_u64};

/// One invocation of a plugin. It is boxed where it is passed on, because it is large and is moved
/// often.
pub struct Invocation {
    /// Its id.
    pub id: InvocationId,
    /// The version that runs.
    pub active: Arc<ActiveVersion>,
    /// The trigger.
    pub trigger: Trigger,
    /// The authenticated caller, on routes that require one.
    pub principal: Option<Principal>,
    /// The number of requests between plugins of this host that led here; 0 for an external call.
    /// It comes from the header [`DEPTH_HEADER`](super::http_client::DEPTH_HEADER) and stops
    /// plugins that call each other in a circle.
    pub call_depth: u32,
    /// The caller's trace context.
    pub traceparent: Option<String>,
    /// The address of the caller, if the call came over the network.
    pub remote_address: Option<IpAddr>,
    /// When it began.
    pub started_at: Timestamp,
    /// The time at which the host ends it.
    pub deadline: Instant,
    /// The host's clock.
    pub clock: SharedClock,
    /// The CPU time used so far, on all threads.
    pub cpu_time: Arc<CpuTime>,
    /// The other usage so far.
    pub usage: Usage,
    /// The number of open transactions, cursors and outbound requests.
    pub held: u32,
    /// The job that runs, if the trigger is a job.
    pub job: Option<RunningJob>,
    /// The last host calls.
    pub last_calls: LastCalls,
    /// The logged lines.
    pub log_lines: Vec<LogLine>,
    /// The secrets that the plugin has read, which are removed from its log. Each occurs once, the
    /// longest first, because one may be part of another.
    pub revealed: Vec<SecretString>,
}

/// The job that an invocation runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningJob {
    /// The job.
    pub id: JobId,
    /// The number of this attempt, 1 for the first one.
    pub attempt: u32,
    /// How many jobs led to this one.
    pub depth: u32,
    /// Whether the invocation marked the job as done in a transaction that it committed.
    pub completed: bool,
}

/// Why a host call was rejected. If the function has a matching error in the contract, the guest
/// gets that error. Otherwise the invocation ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostCallRefused {
    /// The limit of host calls is reached.
    #[error("this invocation has made its {0} host calls")]
    Spent(u32),
    /// The arguments of the call are too large.
    #[error("this host call hands over {0} bytes, more than {1}")]
    TooLarge(usize, ByteSize),
}

/// The limit of open resources is reached.
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

/// A waiting host call leaves a tenth of the remaining time to the plugin, at most 500 ms, so that
/// the plugin can still respond after a timeout.
const ANSWER_PART: u32 = 10;
const LONGEST_ANSWER: Duration = Duration::from_millis(500);

/// Shorter lines of a secret, such as a bracket, are not secret and occur in other texts as well.
const SECRET_LINE_BYTES: usize = 8;

/// The most texts that are searched for in each line of the log; further lines of secrets are
/// ignored. A private key in PEM has some 50 lines.
const MOST_REVEALED: usize = 128;

impl Invocation {
    /// The limits of the invocation.
    pub fn limits(&self) -> &Limits {
        &self.active.limits
    }

    /// Counts one host call with arguments of `bytes`. Every host call does this first.
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

    /// Adds a resource to the guest's table, if the limit allows it.
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

    /// Removes a resource from the guest's table.
    pub fn release<T: 'static>(
        &mut self,
        table: &mut ResourceTable,
        handle: Resource<T>,
    ) -> Result<T, ResourceTableError> {
        let opened = table.delete(handle)?;
        self.held = self.held.saturating_sub(1);
        Ok(opened)
    }

    /// Records that the plugin has read a secret. Printed output arrives line by line, so each line
    /// of the secret is recorded as well.
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

    /// The longest wait of a host call that leaves the plugin time to respond.
    pub fn host_call_timeout(&self) -> Duration {
        let left = self.remaining();
        left - (left / ANSWER_PART).min(LONGEST_ANSWER)
    }

    /// The wall-clock time that is left.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
