//! The limits and metrics of one invocation's outbound requests, shared with its running requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::SendError;
use crate::domain::invocation::Usage;
use crate::domain::limits::Limits;
use crate::domain::units::{as_u64, microseconds};

/// Counts the requests of one invocation and enforces their limits.
#[derive(Debug)]
pub struct Budget {
    requests: AtomicU32,
    bytes: AtomicU64,
    at_once: AtomicU32,
    times: Times,
    response_bytes: AtomicU64,
    most_requests: u32,
    most_at_once: u32,
    under_way: Arc<Semaphore>,
}

/// Durations of requests, in microseconds.
#[derive(Debug, Default)]
struct Times {
    sum: AtomicU64,
    longest: AtomicU64,
    longest_connect: AtomicU64,
    longest_first_byte: AtomicU64,
}

impl Budget {
    /// The budget that `limits` define.
    pub fn new(limits: &Limits) -> Self {
        let at_once = usize::try_from(limits.http_concurrency).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            requests: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            at_once: AtomicU32::new(0),
            times: Times::default(),
            response_bytes: AtomicU64::new(0),
            most_requests: limits.http_requests,
            most_at_once: limits.http_concurrency,
            under_way: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// Takes a permit for a concurrent request. It is held until the guest has the response,
    /// because the host buffers the body until then.
    pub fn permit(&self) -> Result<OwnedSemaphorePermit, SendError> {
        let permit = self.under_way.clone().try_acquire_owned().map_err(|_| {
            SendError::Limit(format!(
                "this invocation has {} requests under way already; wait for one of them or drop it",
                self.most_at_once
            ))
        })?;
        let free = u32::try_from(self.under_way.available_permits()).unwrap_or(u32::MAX);
        self.at_once
            .fetch_max(self.most_at_once.saturating_sub(free), Ordering::Relaxed);
        Ok(permit)
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

    /// Counts the bytes of a body that is sent.
    pub fn count_sent(&self, bytes: usize) {
        self.bytes.fetch_add(as_u64(bytes), Ordering::Relaxed);
    }

    /// Counts the bytes of a received body.
    pub fn count_received(&self, bytes: usize) {
        self.bytes.fetch_add(as_u64(bytes), Ordering::Relaxed);
        self.response_bytes.fetch_max(as_u64(bytes), Ordering::Relaxed);
    }

    /// Records the total duration of a request.
    pub fn count_time(&self, took: Duration) {
        self.times.sum.fetch_add(microseconds(took), Ordering::Relaxed);
        self.times
            .longest
            .fetch_max(microseconds(took), Ordering::Relaxed);
    }

    /// Records the duration of connecting.
    pub fn count_connect(&self, took: Duration) {
        self.times
            .longest_connect
            .fetch_max(microseconds(took), Ordering::Relaxed);
    }

    /// Records the time until the response head arrived.
    pub fn count_first_byte(&self, took: Duration) {
        self.times
            .longest_first_byte
            .fetch_max(microseconds(took), Ordering::Relaxed);
    }

    /// Writes the current counts into `usage`.
    pub fn settle(&self, usage: &mut Usage) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        usage.http_requests = self.requests.load(Ordering::Relaxed);
        usage.http_bytes = read(&self.bytes);
        usage.http_us = read(&self.times.sum);
        usage.http_at_once = self.at_once.load(Ordering::Relaxed);
        usage.http_request_us = read(&self.times.longest);
        usage.http_connect_us = read(&self.times.longest_connect);
        usage.http_first_byte_us = read(&self.times.longest_first_byte);
        usage.http_response_bytes = read(&self.response_bytes);
    }
}
