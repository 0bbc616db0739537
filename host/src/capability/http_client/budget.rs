//! What one invocation may send, shared with its requests under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::SendError;
use crate::domain::limits::Limits;

/// The requests of one invocation: how many there were, and how many more there may be.
#[derive(Debug)]
pub struct Budget {
    requests: AtomicU32,
    bytes: AtomicU64,
    most_requests: u32,
    most_at_once: u32,
    under_way: Arc<Semaphore>,
}

impl Budget {
    /// The budget that `limits` give.
    pub fn new(limits: &Limits) -> Self {
        let at_once = usize::try_from(limits.http_concurrency).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            requests: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            most_requests: limits.http_requests,
            most_at_once: limits.http_concurrency,
            under_way: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// A place among the requests under way. It is held until the guest has the response, because the host keeps the
    /// body as long.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, SendError> {
        self.under_way.clone().try_acquire_owned().map_err(|_| {
            SendError::Limit(format!(
                "this invocation has {} requests under way already; wait for one of them or drop it",
                self.most_at_once
            ))
        })
    }

    /// Counts one attempt to send.
    pub fn take_request(&self) -> Result<(), SendError> {
        let most = self.most_requests;
        let taken = self
            .requests
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |requests| {
                (requests < most).then(|| requests + 1)
            });
        taken.map(drop).map_err(|_| {
            SendError::Limit(format!(
                "this invocation has sent its {most} requests, retries included"
            ))
        })
    }

    /// Counts the bytes of a body.
    pub fn count_bytes(&self, bytes: usize) {
        self.bytes
            .fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Attempts so far.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of bodies so far, both ways.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
