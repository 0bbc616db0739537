//! The tenants whose outboxes are to be relayed: each at most once in the queue, and never twice at
//! the same time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::domain::id::TenantId;

/// The wait after the first failure. It doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After so many tenants with new entries in a row, one of the others has its turn.
const DIRTY_IN_A_ROW: u32 = 8;

/// How the work for a tenant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its outbox is empty.
    Empty,
    /// It has relayed one batch, and may have more entries.
    More,
    /// It failed and is tried again.
    Failed,
}

/// The tenants that wait, run, and are to be tried again.
#[derive(Debug, Default)]
pub(super) struct TenantQueue {
    /// Tenants with new entries. They come first.
    dirty: VecDeque<TenantId>,
    /// Tenants that may have entries.
    others: VecDeque<TenantId>,
    /// How many tenants of `dirty` were taken since the last one of `others`.
    in_a_row: u32,
    waiting: HashSet<TenantId>,
    /// Running tenants, and whether they have new entries since they began.
    running: HashMap<TenantId, bool>,
    /// Tenants that failed: how often in a row, and when they are tried again.
    failed: HashMap<TenantId, (u32, Duration)>,
}

impl TenantQueue {
    /// Adds tenants with new entries.
    pub fn add_dirty(&mut self, tenants: impl IntoIterator<Item = TenantId>) {
        for tenant in tenants {
            if let Some(again) = self.running.get_mut(&tenant) {
                *again = true;
            } else if self.waiting.insert(tenant) {
                self.dirty.push_back(tenant);
            }
        }
    }

    /// Adds tenants that may have entries. A tenant that failed waits for its next attempt.
    pub fn add_others(&mut self, tenants: impl IntoIterator<Item = TenantId>) {
        for tenant in tenants {
            if !self.running.contains_key(&tenant)
                && !self.failed.contains_key(&tenant)
                && self.waiting.insert(tenant)
            {
                self.others.push_back(tenant);
            }
        }
    }

    /// Adds the tenants that failed and are due again. `now` is monotonic.
    pub fn add_due(&mut self, now: Duration) {
        let due = self.failed.iter().filter(|(_, (_, at))| *at <= now);
        let due: Vec<TenantId> = due.map(|(tenant, _)| *tenant).collect();
        for tenant in due {
            if !self.running.contains_key(&tenant) && self.waiting.insert(tenant) {
                self.others.push_back(tenant);
            }
        }
    }

    /// The next tenant, which counts as running from now on.
    pub fn next(&mut self) -> Option<TenantId> {
        let dirty = match self.in_a_row >= DIRTY_IN_A_ROW && !self.others.is_empty() {
            true => None,
            false => self.dirty.pop_front(),
        };
        self.in_a_row = match dirty {
            Some(_) => self.in_a_row.saturating_add(1),
            None => 0,
        };
        let tenant = dirty.or_else(|| self.others.pop_front())?;
        self.waiting.remove(&tenant);
        self.running.insert(tenant, false);
        Some(tenant)
    }

    /// The work for the tenant ended. With more entries, the tenant goes to the end of the queue.
    /// After a failure, it is tried again.
    pub fn done(&mut self, tenant: TenantId, outcome: Outcome, now: Duration) {
        let has_new = self.running.remove(&tenant) == Some(true);
        if outcome == Outcome::Failed {
            let (attempts, due) = self.failed.entry(tenant).or_default();
            let wait = FIRST_WAIT.saturating_mul(1 << (*attempts).min(16));
            *attempts = attempts.saturating_add(1);
            *due = now + wait.min(LONGEST_WAIT);
            return;
        }
        self.failed.remove(&tenant);
        if has_new || outcome == Outcome::More {
            self.add_dirty([tenant]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn after(seconds: u64) -> Duration {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn tenants_with_new_entries_come_first_and_each_once() {
        let [a, b, c] = [(); 3].map(|()| TenantId::generate());
        let mut queue = TenantQueue::default();
        queue.add_others([a, b]);
        queue.add_dirty([c, c]);
        queue.add_others([c]);
        let order: Vec<TenantId> = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!(order, [c, a, b]);
    }

    #[test]
    fn a_running_tenant_runs_again_if_it_has_new_entries() {
        let a = TenantId::generate();
        let mut queue = TenantQueue::default();
        queue.add_dirty([a]);
        assert_eq!(queue.next(), Some(a));
        queue.add_dirty([a]);
        queue.add_others([a]);
        assert_eq!(queue.next(), None);
        queue.done(a, Outcome::Empty, NOW);
        assert_eq!(queue.next(), Some(a));
        queue.done(a, Outcome::Empty, NOW);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_tenant_with_more_entries_goes_to_the_end() {
        let [a, b, c] = [(); 3].map(|()| TenantId::generate());
        let mut queue = TenantQueue::default();
        queue.add_dirty([a, b]);
        assert_eq!(queue.next(), Some(a));
        queue.add_dirty([c]);
        queue.done(a, Outcome::More, NOW);
        let order: Vec<TenantId> = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!(order, [b, c, a]);
    }

    #[test]
    fn tenants_that_always_have_new_entries_leave_turns_to_the_others() {
        let [busy, other] = [(); 2].map(|()| TenantId::generate());
        let mut queue = TenantQueue::default();
        queue.add_others([other]);
        queue.add_dirty([busy]);
        for _ in 0..DIRTY_IN_A_ROW {
            assert_eq!(queue.next(), Some(busy));
            queue.done(busy, Outcome::More, NOW);
        }
        assert_eq!(queue.next(), Some(other));
        assert_eq!(queue.next(), Some(busy));
    }

    #[test]
    fn a_tenant_that_fails_waits_longer_each_time_and_new_entries_try_at_once() {
        let a = TenantId::generate();
        let mut queue = TenantQueue::default();
        for (failures, wait) in [(1, 1), (2, 2), (3, 4), (9, 60)] {
            let mut queue = TenantQueue::default();
            for _ in 0..failures {
                queue.add_dirty([a]);
                queue.next();
                queue.done(a, Outcome::Failed, NOW);
            }
            queue.add_others([a]);
            queue.add_due(after(wait) - Duration::from_millis(1));
            assert_eq!(queue.next(), None, "{failures} failures");
            queue.add_due(after(wait));
            assert_eq!(queue.next(), Some(a), "{failures} failures");
        }
        queue.add_dirty([a]);
        queue.next();
        queue.done(a, Outcome::Failed, NOW);
        queue.add_dirty([a]);
        assert_eq!(queue.next(), Some(a));
    }
}
