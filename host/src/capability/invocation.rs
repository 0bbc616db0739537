//! One invocation as host calls see it: who it is, how much time it has left, what it has used.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::active_version::ActiveVersion;
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::InvocationId;
use crate::domain::invocation::{Trigger, Usage};
use crate::domain::limits::Limits;
use crate::domain::log_line::LogLine;
use crate::domain::principal::Principal;

/// One run of one instance.
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
    /// When it began.
    pub started_at: Timestamp,
    /// When the host ends it.
    pub deadline: Instant,
    /// The time of the host.
    pub clock: SharedClock,
    /// What it has used so far.
    pub usage: Usage,
    /// The lines that it logged.
    pub log_lines: Vec<LogLine>,
    /// Bytes of those lines.
    pub log_bytes: usize,
    /// Secrets that the plugin has seen, so that its log can leave them out: each once, the longest first, since one
    /// may be a part of another.
    pub revealed: Vec<SecretString>,
}

/// The invocation has made all the host calls that it may.
#[derive(Debug, thiserror::Error)]
#[error("this invocation has made its {0} host calls")]
pub struct HostCallsSpent(u32);

impl Invocation {
    /// The limits that hold.
    pub fn limits(&self) -> &Limits {
        &self.active.limits
    }

    /// Counts one host call. Every host call does this before anything else.
    pub fn charge_host_call(&mut self) -> Result<(), HostCallsSpent> {
        let allowed = self.limits().host_calls;
        if self.usage.host_calls >= allowed {
            return Err(HostCallsSpent(allowed));
        }
        self.usage.host_calls += 1;
        Ok(())
    }

    /// Remembers that the plugin has seen a secret.
    pub fn has_seen(&mut self, secret: &SecretString) {
        let value = secret.expose_secret();
        let known = self.revealed.iter().any(|known| known.expose_secret() == value);
        if !known && !value.is_empty() {
            let place = self
                .revealed
                .partition_point(|known| known.expose_secret().len() >= value.len());
            self.revealed.insert(place, secret.clone());
        }
    }

    /// The wall-clock time that is left.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
