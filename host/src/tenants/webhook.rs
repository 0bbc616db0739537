//! An inbound webhook of a version, with what this node counted of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::clock::Timestamp;
use crate::domain::id::VersionDigest;
use crate::domain::webhook::{Scheme, WebhookSpec};

/// A webhook of a version.
pub struct WebhookEntry {
    /// Its declaration.
    pub spec: WebhookSpec,
    /// Its scheme of signatures.
    pub scheme: Scheme,
    /// What this node received since the version became active.
    pub tally: WebhookTally,
}

/// Counts of a webhook. They belong to a version and to this process, and help its developers.
#[derive(Debug, Default)]
pub struct WebhookTally {
    stored: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
    last_refusal: Mutex<Option<LastRefusal>>,
}

/// The last request to a webhook that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRefusal {
    /// When it came.
    pub at: Timestamp,
    /// Why it was refused: a sentence for the plugin's developers, which the sender does not see.
    pub reason: String,
}

impl WebhookEntry {
    /// The entry of a webhook. It was checked at the upload. If its scheme is not valid any more,
    /// the plugin is served without it.
    pub(super) fn new(spec: &WebhookSpec, digest: VersionDigest) -> Option<Arc<Self>> {
        match spec.scheme() {
            Ok(scheme) => Some(Arc::new(Self {
                spec: spec.clone(),
                scheme,
                tally: WebhookTally::default(),
            })),
            Err((key, problem)) => {
                tracing::error!(
                    version = %digest,
                    webhook = %spec.name,
                    key,
                    problem,
                    "a webhook is not served"
                );
                None
            }
        }
    }
}

impl WebhookTally {
    /// Counts a webhook that was stored.
    pub fn stored(&self) {
        self.stored.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a webhook that was stored before.
    pub fn repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a refused request.
    pub fn refused(&self, at: Timestamp, reason: String) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        *self.last() = Some(LastRefusal { at, reason });
    }

    /// The numbers of stored, repeated and refused webhooks.
    pub fn counts(&self) -> (u64, u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.stored), read(&self.repeated), read(&self.refused))
    }

    /// The last refused request.
    pub fn last_refusal(&self) -> Option<LastRefusal> {
        self.last().clone()
    }

    fn last(&self) -> MutexGuard<'_, Option<LastRefusal>> {
        // Nothing panics while the lock is held.
        self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_refusal_is_kept_with_its_reason() {
        let tally = WebhookTally::default();
        tally.stored();
        tally.repeated();
        for second in [1, 2] {
            tally.refused(Timestamp(second * 1_000), format!("reason {second}"));
        }
        assert_eq!(tally.counts(), (1, 1, 2));
        let last = tally.last_refusal().unwrap();
        assert_eq!((last.at, last.reason.as_str()), (Timestamp(2_000), "reason 2"));
    }
}
