//! The memory of one instance: all its linear memories and tables against one sum.

use wasmtime::ResourceLimiter;

/// Bytes that a table element takes in the host.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// Counts what one instance holds and refuses what would be too much.
pub struct Limiter {
    limit: usize,
    held: usize,
    peak: usize,
    refused: bool,
}

impl Limiter {
    /// Allows `limit` bytes together.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            held: 0,
            peak: 0,
            refused: false,
        }
    }

    /// The most that was held at once.
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// Whether the instance was ever refused memory.
    pub fn has_refused(&self) -> bool {
        self.refused
    }

    /// `current` and `desired` come from the guest.
    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let held = self.held.saturating_add(desired.saturating_sub(current));
        if held > self.limit {
            self.refused = true;
            return false;
        }
        self.held = held;
        self.peak = self.peak.max(held);
        true
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(
            current.saturating_mul(TABLE_ELEMENT),
            desired.saturating_mul(TABLE_ELEMENT),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_memories_and_tables_share_one_sum() {
        let mut limiter = Limiter::new(1_000);
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.table_growing(0, 50, None).unwrap());
        assert!(!limiter.has_refused());
        assert!(!limiter.memory_growing(0, 1, None).unwrap());
        assert!(limiter.has_refused());
        assert_eq!(limiter.peak(), 1_000);
    }

    #[test]
    fn growth_counts_from_what_is_there() {
        let mut limiter = Limiter::new(1_000);
        assert!(limiter.memory_growing(0, 900, None).unwrap());
        assert!(limiter.memory_growing(900, 1_000, None).unwrap());
        assert!(!limiter.memory_growing(1_000, usize::MAX, None).unwrap());
    }
}
