//! The slots of this node: how many jobs it may run at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// The slots of a node.
#[derive(Debug)]
pub struct Slots {
    total: u32,
    in_use: AtomicU32,
    freed: Notify,
    all_free: Notify,
}

/// A slot in use: from the claim of a job until the end of its attempt is written. Dropping it
/// frees the slot.
#[derive(Debug)]
pub struct Slot {
    /// `None` once the slot is freed.
    slots: Option<Arc<Slots>>,
}

impl Slots {
    /// `total` free slots.
    pub fn new(total: u32) -> Arc<Self> {
        Arc::new(Self {
            total,
            in_use: AtomicU32::new(0),
            freed: Notify::new(),
            all_free: Notify::new(),
        })
    }

    /// The number of slots.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The slots in use.
    pub fn in_use(&self) -> u32 {
        self.in_use.load(Ordering::Acquire)
    }

    /// The free slots.
    pub fn free(&self) -> u32 {
        self.total.saturating_sub(self.in_use())
    }

    /// Takes a slot. Only the dispatcher takes slots, and never more than were free.
    pub fn take(self: &Arc<Self>) -> Slot {
        self.in_use.fetch_add(1, Ordering::AcqRel);
        Slot {
            slots: Some(self.clone()),
        }
    }

    /// Frees slots together. One by one, the dispatcher would claim a job for the first of them
    /// before the others are free.
    pub fn free_together(in_use: impl IntoIterator<Item = Slot>) {
        let mut freed = 0;
        let mut slots = None;
        for mut slot in in_use {
            freed += 1;
            slots = slot.slots.take();
        }
        if let Some(slots) = slots {
            slots.release(freed);
        }
    }

    fn release(&self, freed: u32) {
        if self.in_use.fetch_sub(freed, Ordering::AcqRel) == freed {
            self.all_free.notify_waiters();
        }
        self.freed.notify_one();
    }

    /// Waits until a slot is freed.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Waits until no slot is in use.
    pub async fn all_free(&self) {
        loop {
            let notified = self.all_free.notified();
            if self.in_use() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Slot {
    /// How many slots of the node are in use, this one included.
    pub fn all_in_use(&self) -> u32 {
        self.slots.as_ref().map_or(0, |slots| slots.in_use())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.slots.take() {
            slots.release(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_slot_is_in_use_until_it_is_dropped() {
        let slots = Slots::new(2);
        let (first, second) = (slots.take(), slots.take());
        assert_eq!((slots.free(), slots.in_use(), slots.total()), (0, 2, 2));
        let mut idle = Box::pin(slots.all_free());
        assert!((&mut idle).now_or_never().is_none());
        drop(first);
        assert!(slots.freed().now_or_never().is_some());
        assert!((&mut idle).now_or_never().is_none());
        drop(second);
        assert!(idle.now_or_never().is_some());
        assert_eq!(slots.free(), 2);
    }

    #[test]
    fn slots_that_are_freed_together_wake_the_dispatcher_once() {
        let slots = Slots::new(3);
        let in_use = [slots.take(), slots.take()];
        assert_eq!(in_use[0].all_in_use(), 2);
        let rest = slots.take();
        Slots::free_together(in_use);
        assert_eq!(slots.free(), 2);
        assert!(slots.freed().now_or_never().is_some());
        assert!(slots.freed().now_or_never().is_none());
        Slots::free_together([]);
        drop(rest);
        assert_eq!(slots.in_use(), 0);
    }
}
