//! Counts the bytes of a tenant's responses that are in memory until they are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::domain::units::ByteSize;

/// The unsent responses of one tenant.
#[derive(Debug, Default)]
pub struct Backlog {
    most: AtomicU64,
    held: AtomicU64,
}

impl Backlog {
    /// Sets the limit for the following requests.
    pub fn limit(&self, most: ByteSize) {
        self.most.store(most.0, Ordering::Relaxed);
    }

    /// The bytes that are not sent yet.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// Whether another request may run. Running requests are not stopped, so the memory of a
    /// tenant's responses is bounded by its backlog and by one response for each running
    /// invocation.
    pub fn has_room(&self) -> bool {
        self.held() < self.most.load(Ordering::Relaxed).max(1)
    }

    /// Wraps bytes so that they count until the last of them is sent or dropped.
    pub fn hold(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        self.held.fetch_add(count(&bytes), Ordering::AcqRel);
        Bytes::from_owner(BacklogBytes {
            bytes,
            backlog: self.clone(),
        })
    }
}

struct BacklogBytes {
    bytes: Vec<u8>,
    backlog: Arc<Backlog>,
}

impl AsRef<[u8]> for BacklogBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for BacklogBytes {
    fn drop(&mut self) {
        self.backlog.held.fetch_sub(count(&self.bytes), Ordering::AcqRel);
    }
}

/// The memory of a response. It is the capacity, because a guest can leave much of a buffer unused.
fn count(bytes: &Vec<u8>) -> u64 {
    u64::try_from(bytes.capacity()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_until_the_last_of_them_is_gone() {
        let backlog = Arc::new(Backlog::default());
        backlog.limit(ByteSize(4));
        assert_eq!(backlog.hold(Vec::new()).len(), 0);
        assert!(backlog.has_room());
        let mut bytes = backlog.hold(b"four".to_vec());
        let first = bytes.split_to(1);
        drop(bytes);
        assert!(!backlog.has_room());
        backlog.limit(ByteSize(5));
        assert!(backlog.has_room());
        backlog.limit(ByteSize(4));
        drop(first);
        assert!(backlog.has_room());
    }
}
