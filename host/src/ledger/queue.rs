//! The queue of unwritten ledger entries: one queue per tenant, read round robin by the writer.
//!
//! The queues share one capacity. If it is exhausted, the tenant with the most queued entries loses
//! one. A tenant within its share loses nothing, however much another tenant sends.
//!
//! Each thread collects a few entries before it adds them to the queue, so that requests do not
//! contend for one lock.

use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{Entry, LedgerHeld};
use crate::domain::id::TenantId;
use crate::domain::log_line::LogLine;
use crate::domain::units::as_u64;
use crate::metrics::per_thread::PerThread;
use crate::storage::{Kept, Totals};

/// The most queued entries of all tenants together.
pub(super) const MOST_ENTRIES: usize = 8_192;

/// The most bytes of log lines of all tenants together, including those that are being written.
/// Plugins choose how much they log, so this limit is needed too. Beyond it an entry loses its
/// lines, but not its usage.
pub(super) const MOST_LOG_BYTES: usize = 64 * 1024 * 1024;

/// The most entries of one transaction. They share its cost: dozens of thread switches, and a disk
/// sync.
pub(super) const BATCH_ENTRIES: usize = 2_000;

/// The most entries that a thread collects. An entry with log lines is never held back, because its
/// bytes have to be counted at once.
const GATHERED: usize = 16;

/// The time that the first entry of a batch waits for others. A crash loses at most the entries of
/// this time.
const BATCH_WAIT: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(super) struct Queue {
    /// The collected entries of each thread. This lock is taken before `state`.
    gathered: PerThread<Mutex<Gathered>>,
    state: Mutex<State>,
    changed: Notify,
    /// Whether the writer waits for a notification.
    is_writer_idle: AtomicBool,
}

/// The collected entries of a thread, each with the limits of its tenant.
type Gathered = Vec<(Box<Entry>, Kept)>;

/// The entries that the writer takes at once.
#[derive(Default)]
pub(super) struct Batch {
    pub entries: Vec<Entry>,
    /// The limits of each tenant in the batch.
    pub most: BTreeMap<TenantId, Kept>,
    /// The usage of entries that were dropped since the last batch.
    pub unrecorded: Totals,
    /// The callers that wait until this batch and everything before it is written.
    pub flushed: Vec<oneshot::Sender<()>>,
}

/// Counts of what was dropped because the queue was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GaveWay {
    pub entries: u64,
    /// Entries that lost their log lines.
    pub lines: u64,
}

#[derive(Default)]
struct State {
    tenants: HashMap<TenantId, Waiting>,
    /// The tenants in `tenants`, in round-robin order.
    round_robin: VecDeque<TenantId>,
    entries: usize,
    log_bytes: usize,
    unrecorded: Totals,
    gave_way: GaveWay,
    flushed: Vec<oneshot::Sender<()>>,
    closed: bool,
    most_entries: Largest,
    most_bytes: Largest,
}

/// Finds the tenant that holds the most, without examining all tenants each time.
///
/// The heap is created when the queue is full, and dropped when the writer takes a batch. Each
/// tenant has an entry in it that is at least its size: growth adds an entry, and an entry that is
/// too large is corrected when it is found.
#[derive(Default)]
struct Largest(Option<BinaryHeap<(usize, TenantId)>>);

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Box<Entry>>,
    log_bytes: usize,
    most: Kept,
}

impl Queue {
    /// Queues an entry of a tenant with the limits `most`. It never waits.
    pub fn push(&self, entry: Box<Entry>, most: Kept) {
        let has_lines = !entry.log_lines.is_empty();
        let is_due = {
            let mut gathered = lock(self.gathered.own());
            gathered.push((entry, most));
            (has_lines || gathered.len() >= GATHERED) && self.lock().take_in(&mut gathered)
        };
        // The fence ensures that either this thread sees that the writer is idle, or the writer
        // sees the entry.
        fence(Ordering::SeqCst);
        let is_awaited =
            self.is_writer_idle.load(Ordering::Relaxed) && self.is_writer_idle.swap(false, Ordering::Relaxed);
        if is_due || is_awaited {
            self.changed.notify_one();
        }
    }

    /// Notifies `flushed` once everything that was pushed before is written.
    pub fn flush(&self, flushed: oneshot::Sender<()>) {
        // Added after the collected entries, so that the batch with `flushed` contains them.
        self.with_all().flushed.push(flushed);
        self.changed.notify_one();
    }

    /// Closes the queue: no more entries will be pushed.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for the next batch: the entries that arrive within its time, until it is full or a
    /// caller waits for a flush. Returns `None` when the queue is closed and empty.
    pub async fn next(&self) -> Option<Batch> {
        loop {
            // Read before the entries are checked, so that entries pushed before the close are not
            // lost.
            let is_closed = self.lock().closed;
            self.is_writer_idle.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if !self.with_all().is_empty() {
                break;
            }
            if is_closed {
                return None;
            }
            self.changed.notified().await;
        }
        self.is_writer_idle.store(false, Ordering::Relaxed);
        let deadline = Instant::now() + BATCH_WAIT;
        while !self.lock().is_due() && timeout_at(deadline, self.changed.notified()).await.is_ok() {}
        Some(self.with_all().take())
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes the callers that wait for a flush.
    pub fn take_flushed(&self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut self.lock().flushed)
    }

    /// Records that the log lines of a batch were written or dropped.
    pub fn written(&self, log_bytes: usize) {
        let mut state = self.lock();
        state.log_bytes = state.log_bytes.saturating_sub(log_bytes);
    }

    /// The counts of dropped entries and lines so far.
    pub fn gave_way(&self) -> GaveWay {
        self.with_all().gave_way
    }

    /// The entries that wait now.
    pub fn held(&self) -> LedgerHeld {
        let state = self.with_all();
        LedgerHeld {
            entries: as_u64(state.entries),
            log_bytes: as_u64(state.log_bytes),
        }
    }

    /// The state, after adding the collected entries of all threads.
    fn with_all(&self) -> MutexGuard<'_, State> {
        for gathered in self.gathered.all() {
            let mut gathered = lock(gathered);
            if !gathered.is_empty() {
                self.lock().take_in(&mut gathered);
            }
        }
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Adds the collected entries of a thread. Returns whether a batch is full.
    fn take_in(&mut self, gathered: &mut Gathered) -> bool {
        for (entry, most) in gathered.drain(..) {
            self.push(entry, most);
        }
        self.entries >= BATCH_ENTRIES
    }

    fn push(&mut self, mut entry: Box<Entry>, most: Kept) {
        let tenant = entry.record.tenant;
        while self.log_bytes + log_bytes(&entry) > MOST_LOG_BYTES {
            let own = self.tenants.get(&tenant).map_or(0, |own| own.log_bytes) + log_bytes(&entry);
            let size = |waiting: &Waiting| waiting.log_bytes;
            match self.most_bytes.find(&mut self.tenants, size) {
                Some(largest) if largest.log_bytes > own => self.log_bytes -= largest.lose_lines(),
                _ => lose_lines(&mut entry),
            }
            self.gave_way.lines += 1;
        }
        if self.entries >= MOST_ENTRIES {
            let own = self.tenants.get(&tenant).map_or(0, |own| own.entries.len());
            let size = |waiting: &Waiting| waiting.entries.len();
            self.gave_way.entries += 1;
            match self.most_entries.find(&mut self.tenants, size) {
                Some(largest) if largest.entries.len() > own + 1 => {
                    if let Some(mut lost) = largest.entries.pop_back() {
                        let bytes = log_bytes(&lost);
                        largest.log_bytes -= bytes;
                        self.log_bytes -= bytes;
                        lose_lines(&mut lost);
                        self.unrecorded.add(&lost.record);
                    }
                    self.entries -= 1;
                }
                _ => {
                    lose_lines(&mut entry);
                    self.unrecorded.add(&entry.record);
                    return;
                }
            }
        }
        let waiting = self.tenants.entry(tenant).or_default();
        if waiting.entries.is_empty() {
            self.round_robin.push_back(tenant);
        }
        let bytes = log_bytes(&entry);
        waiting.log_bytes += bytes;
        waiting.most = most;
        waiting.entries.push_back(entry);
        self.most_bytes.grew(tenant, waiting.log_bytes);
        self.most_entries.grew(tenant, waiting.entries.len());
        self.log_bytes += bytes;
        self.entries += 1;
    }

    fn is_empty(&self) -> bool {
        self.entries == 0 && self.flushed.is_empty()
    }

    fn is_due(&self) -> bool {
        self.entries >= BATCH_ENTRIES || !self.flushed.is_empty() || self.closed
    }

    /// Takes a batch, one entry of each tenant in turn. If a caller waits for a flush, the batch
    /// contains everything.
    fn take(&mut self) -> Batch {
        let mut batch = Batch {
            flushed: std::mem::take(&mut self.flushed),
            unrecorded: std::mem::take(&mut self.unrecorded),
            ..Batch::default()
        };
        let most = if batch.flushed.is_empty() {
            BATCH_ENTRIES
        } else {
            usize::MAX
        };
        while batch.entries.len() < most {
            let Some(tenant) = self.round_robin.pop_front() else {
                break;
            };
            let Some(waiting) = self.tenants.get_mut(&tenant) else {
                continue;
            };
            if let Some(entry) = waiting.entries.pop_front() {
                waiting.log_bytes -= log_bytes(&entry);
                self.entries -= 1;
                batch.most.insert(tenant, waiting.most);
                batch.entries.push(*entry);
            }
            if waiting.entries.is_empty() {
                self.tenants.remove(&tenant);
            } else {
                self.round_robin.push_back(tenant);
            }
        }
        // The queue is no longer full.
        (self.most_entries, self.most_bytes) = (Largest::default(), Largest::default());
        batch
    }
}

impl Largest {
    /// The tenant with the largest `size`; `None` if all are empty.
    fn find<'a>(
        &mut self,
        tenants: &'a mut HashMap<TenantId, Waiting>,
        size: impl Fn(&Waiting) -> usize,
    ) -> Option<&'a mut Waiting> {
        // Growth adds entries to the heap. If there are too many, the heap is rebuilt.
        let heap = match self.0.take() {
            Some(heap) if heap.len() <= 2 * tenants.len() + 64 => heap,
            _ => tenants.iter().map(|(id, waiting)| (size(waiting), *id)).collect(),
        };
        let heap = self.0.insert(heap);
        loop {
            let (known, id) = *heap.peek()?;
            let now = tenants.get(&id).map_or(0, &size);
            if now == known {
                return tenants.get_mut(&id);
            }
            heap.pop();
            if now > 0 {
                heap.push((now, id));
            }
        }
    }

    /// Records that a tenant holds more than before.
    fn grew(&mut self, tenant: TenantId, size: usize) {
        if let Some(heap) = &mut self.0 {
            heap.push((size, tenant));
        }
    }
}

impl Waiting {
    /// Drops the log lines of the newest entry that has some. Returns their bytes.
    fn lose_lines(&mut self) -> usize {
        let newest = self
            .entries
            .iter_mut()
            .rev()
            .find(|entry| !entry.log_lines.is_empty());
        let bytes = newest.map_or(0, |entry| {
            let bytes = log_bytes(entry);
            lose_lines(entry);
            bytes
        });
        self.log_bytes -= bytes;
        bytes
    }
}

/// The bytes of an entry's log lines, as they count towards limits.
pub(super) fn log_bytes(entry: &Entry) -> usize {
    entry.log_lines.iter().map(LogLine::stored_bytes).sum()
}

fn lose_lines(entry: &mut Entry) {
    keep_lines(entry, 0);
}

/// Drops the log lines of an entry except the first `kept`. The record counts the dropped ones.
pub(super) fn keep_lines(entry: &mut Entry, kept: usize) {
    let lost = entry.log_lines.len().saturating_sub(kept);
    if lost == 0 {
        return;
    }
    entry.log_lines.truncate(kept);
    let bytes: usize = entry.log_lines.iter().map(LogLine::bytes).sum();
    let usage = &mut entry.record.usage;
    let lost = u32::try_from(lost).unwrap_or(u32::MAX);
    usage.log_lines_dropped = usage.log_lines_dropped.saturating_add(lost);
    usage.log_lines = usage.log_lines.saturating_sub(lost);
    usage.log_bytes = as_u64(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::log_line::Level;
    use crate::storage::conformance::entry;

    /// An entry with a line that counts for `bytes`, at least those of an empty one.
    fn with_line(tenant: TenantId, bytes: usize) -> Entry {
        let mut entry = entry(tenant, "orders", 1, &[Level::Info]);
        entry.log_lines[0].message.clear();
        entry.log_lines[0].fields.clear();
        let text = bytes.saturating_sub(entry.log_lines[0].stored_bytes());
        entry.log_lines[0].message = "x".repeat(text);
        entry.record.usage.log_lines = 1;
        entry
    }

    /// Pushes an entry and returns what was dropped for it.
    fn push(queue: &Queue, entry: Entry) -> GaveWay {
        let before = queue.gave_way();
        queue.push(Box::new(entry), Kept::default());
        let after = queue.gave_way();
        GaveWay {
            entries: after.entries - before.entries,
            lines: after.lines - before.lines,
        }
    }

    fn of(batch: &Batch, tenant: TenantId) -> usize {
        let entries = batch.entries.iter();
        entries.filter(|entry| entry.record.tenant == tenant).count()
    }

    #[test]
    fn a_tenant_that_floods_is_dropped_before_others() {
        let queue = Queue::default();
        let (loud, quiet) = (TenantId::generate(), TenantId::generate());
        for _ in 0..MOST_ENTRIES {
            assert_eq!(push(&queue, entry(loud, "orders", 1, &[])), GaveWay::default());
        }
        let one = GaveWay { entries: 1, lines: 0 };
        assert_eq!(push(&queue, entry(loud, "orders", 1, &[])), one);
        for _ in 0..MOST_ENTRIES / 2 {
            assert_eq!(push(&queue, entry(quiet, "orders", 1, &[])), one);
        }
        // Now each tenant has its half, and a tenant that sends more loses its own entries.
        push(&queue, entry(quiet, "orders", 1, &[]));
        push(&queue, entry(loud, "orders", 1, &[]));
        let (done, _waits) = oneshot::channel();
        queue.flush(done);
        let batch = queue.with_all().take();
        assert_eq!(
            (of(&batch, loud), of(&batch, quiet)),
            (MOST_ENTRIES / 2, MOST_ENTRIES / 2)
        );
        assert_eq!(queue.lock().entries, 0);
        let lost = batch.unrecorded.usage.sums().map(|(_, _, sum)| sum.invocations);
        assert_eq!(lost.sum::<u64>(), as_u64(1 + MOST_ENTRIES / 2 + 2));
    }

    #[test]
    fn a_batch_takes_of_each_tenant_in_turn() {
        let queue = Queue::default();
        let (loud, quiet) = (TenantId::generate(), TenantId::generate());
        for _ in 0..3 * BATCH_ENTRIES {
            push(&queue, entry(loud, "orders", 1, &[]));
        }
        for _ in 0..3 {
            push(&queue, entry(quiet, "orders", 1, &[]));
        }
        let batch = queue.with_all().take();
        assert_eq!((of(&batch, loud), of(&batch, quiet)), (BATCH_ENTRIES - 3, 3));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_threads_gather_is_written_before_they_are_told_so() {
        const EACH: usize = 200;
        let queue = Arc::new(Queue::default());
        let written: Arc<Mutex<HashMap<TenantId, usize>>> = Arc::default();
        let (source, count) = (queue.clone(), written.clone());
        let writer = tokio::spawn(async move {
            while let Some(batch) = source.next().await {
                for entry in &batch.entries {
                    *lock(&count).entry(entry.record.tenant).or_default() += 1;
                }
                for done in batch.flushed {
                    done.send(()).unwrap();
                }
            }
        });
        let threads = (0..4).map(|_| {
            let (queue, written, tenant) = (queue.clone(), written.clone(), TenantId::generate());
            tokio::spawn(async move {
                for count in 1..=EACH {
                    queue.push(Box::new(entry(tenant, "orders", 1, &[])), Kept::default());
                    if count % 7 == 0 {
                        let (done, is_written) = oneshot::channel();
                        queue.flush(done);
                        is_written.await.unwrap();
                        assert_eq!(lock(&written)[&tenant], count);
                    }
                }
            })
        });
        for thread in futures_util::future::join_all(threads).await {
            thread.unwrap();
        }
        // The last entries of each thread were not flushed.
        queue.close();
        writer.await.unwrap();
        let all: Vec<usize> = lock(&written).values().copied().collect();
        assert_eq!(all, [EACH; 4]);
    }

    #[test]
    fn empty_lines_fill_the_room_too() {
        let queue = Queue::default();
        let tenant = TenantId::generate();
        let mut entry = with_line(tenant, 0);
        entry.log_lines = vec![entry.log_lines[0].clone(); 10_000];
        let fit = MOST_LOG_BYTES / log_bytes(&entry);
        for _ in 0..fit {
            assert_eq!(push(&queue, entry.clone()), GaveWay::default());
        }
        assert_eq!(push(&queue, entry), GaveWay { entries: 0, lines: 1 });
        assert!(fit < 40, "10,000 empty lines take memory: {fit}");
    }

    #[test]
    fn the_largest_is_found_whatever_grows_and_shrinks() {
        let ids: Vec<TenantId> = (0..20).map(|_| TenantId::generate()).collect();
        let mut tenants: HashMap<TenantId, Waiting> = HashMap::new();
        let mut largest = Largest::default();
        let mut random = 0x6d6f_7274_6973_6521_u64;
        for round in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let id = ids[usize::try_from(random % 20).unwrap()];
            if random % 64 < 33 {
                let waiting = tenants.entry(id).or_default();
                waiting.log_bytes += 1;
                largest.grew(id, waiting.log_bytes);
            } else if let Some(waiting) = tenants.get_mut(&id) {
                waiting.log_bytes -= 1;
                if waiting.log_bytes == 0 {
                    tenants.remove(&id);
                }
            }
            let most = tenants.values().map(|waiting| waiting.log_bytes).max();
            let found = largest.find(&mut tenants, |waiting| waiting.log_bytes);
            assert_eq!(found.map(|waiting| waiting.log_bytes), most, "round {round}");
            if round % 1_000 == 999 {
                largest = Largest::default();
            }
        }
    }

    #[test]
    fn finding_the_largest_does_not_look_at_all_tenants_each_time() {
        const TENANTS: usize = 10_000;
        const ROUNDS: usize = 5_000;
        let ids: Vec<TenantId> = (0..TENANTS).map(|_| TenantId::generate()).collect();
        let mut tenants: HashMap<TenantId, Waiting> = HashMap::new();
        for id in &ids {
            tenants.entry(*id).or_default().log_bytes = 1;
        }
        let (mut largest, looks) = (Largest::default(), std::cell::Cell::new(0));
        let size = |waiting: &Waiting| {
            looks.set(looks.get() + 1);
            waiting.log_bytes
        };
        for round in 0..ROUNDS {
            let id = ids[round * 7 % TENANTS];
            let grown = tenants.get_mut(&id).unwrap();
            grown.log_bytes += 1;
            largest.grew(id, grown.log_bytes);
            largest.find(&mut tenants, size).unwrap().log_bytes -= 1;
        }
        // Each tenant is examined once to build the heap.
        let beyond = looks.get() - TENANTS;
        assert!(beyond <= 8 * ROUNDS, "{beyond} looks in {ROUNDS} rounds");
    }

    #[test]
    fn lines_of_the_loudest_are_lost_first_and_no_record() {
        let queue = Queue::default();
        let (loud, quiet) = (TenantId::generate(), TenantId::generate());
        let part = MOST_LOG_BYTES / 64;
        for _ in 0..64 {
            assert_eq!(push(&queue, with_line(loud, part)), GaveWay::default());
        }
        let one = GaveWay { entries: 0, lines: 1 };
        assert_eq!(push(&queue, with_line(loud, 300)), one);
        assert_eq!(push(&queue, with_line(quiet, part)), one);
        assert_eq!(queue.held().log_bytes, as_u64(MOST_LOG_BYTES));
        let batch = queue.with_all().take();
        let lines = |tenant| {
            let entries = batch.entries.iter();
            let entries = entries.filter(move |entry| entry.record.tenant == tenant);
            entries.map(|entry| entry.record.usage).collect::<Vec<_>>()
        };
        assert_eq!(lines(quiet)[0].log_lines, 1);
        let loud = lines(loud);
        assert_eq!(loud.len(), 65);
        assert_eq!(loud.iter().map(|usage| usage.log_lines).sum::<u32>(), 63);
        assert_eq!(loud.iter().map(|usage| usage.log_lines_dropped).sum::<u32>(), 2);
        // The lines are counted until they are written.
        assert_eq!(queue.held().log_bytes, as_u64(MOST_LOG_BYTES));
        queue.written(MOST_LOG_BYTES);
        assert_eq!(queue.held().log_bytes, 0);
    }
}
