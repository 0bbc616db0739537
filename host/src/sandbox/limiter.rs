//! Limits the memory of one instance: the sum of all its linear memories and tables.

use wasmtime::ResourceLimiter;

use super::engine::{CORE_INSTANCES, MEMORIES, TABLES};

/// Bytes that a table element takes in the host.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// Counts the memory of one instance and refuses growth beyond the limit.
pub struct Limiter {
    limit: usize,
    held: usize,
    peak: usize,
    refused: bool,
}

impl Limiter {
    /// Allows `limit` bytes in total.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            held: 0,
            peak: 0,
            refused: false,
        }
    }

    /// Resets the peak, at the start of an invocation.
    pub fn begin(&mut self) {
        self.peak = self.held;
    }

    /// The most bytes that were held at once since the last [`begin`](Self::begin).
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// Whether the instance was ever refused memory.
    pub fn has_refused(&self) -> bool {
        self.refused
    }

    /// Counts growth from `current` to `desired` bytes. Both values come from the guest.
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

    fn instances(&self) -> usize {
        as_usize(CORE_INSTANCES)
    }

    fn memories(&self) -> usize {
        as_usize(MEMORIES)
    }

    fn tables(&self) -> usize {
        as_usize(TABLES)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(
            current.saturating_mul(TABLE_ELEMENT),
            desired.saturating_mul(TABLE_ELEMENT),
        ))
    }
}

fn as_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
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

    /// A module that consists of this section.
    fn module(id: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [b"\0asm\x01\0\0\0", [id, length].as_slice(), content].concat()
    }

    /// A memory of two pages.
    fn memory() -> Vec<u8> {
        module(5, &[1, 0, 2])
    }

    /// A table of 100 functions.
    fn table() -> Vec<u8> {
        module(4, &[1, 0x70, 0, 100])
    }

    /// How many of `modules` can be instantiated in one store with a limit of `limit` bytes.
    async fn instantiated(limit: usize, modules: &[Vec<u8>]) -> usize {
        let engine = crate::sandbox::engine::compiling().unwrap();
        let mut store = wasmtime::Store::new(&engine, Limiter::new(limit));
        store.limiter(|limiter| limiter);
        store.set_epoch_deadline(1);
        let mut count = 0;
        for bytes in modules {
            let module = wasmtime::Module::new(&engine, bytes).unwrap();
            if wasmtime::Instance::new_async(&mut store, &module, &[])
                .await
                .is_err()
            {
                break;
            }
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn instances_of_one_store_share_the_sum_to_the_byte() {
        let needed = 2 * (128 << 10) + 2 * 100 * TABLE_ELEMENT;
        for (limit, count) in [(needed - 1, 3), (needed, 4), (needed + 1, 4)] {
            let modules = [memory(), table(), memory(), table()];
            assert_eq!(instantiated(limit, &modules).await, count);
        }
    }

    #[tokio::test]
    async fn instances_memories_and_tables_are_counted() {
        for (module, most) in [
            (module(1, &[0]), CORE_INSTANCES),
            (memory(), MEMORIES),
            (table(), TABLES),
        ] {
            let many = vec![module; as_usize(most) + 1];
            assert_eq!(instantiated(usize::MAX, &many).await, as_usize(most));
        }
    }
}
