//! What waits to be written: a queue for each tenant, of which the writer takes in turn.
//!
//! The queues share one room. Where it is full, whoever holds most of it gives way, so that a tenant within its share
//! loses nothing, however much another one sends.
//!
//! A thread gathers a few entries of its own before it puts them there, so that requests do not wait for one lock.

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

/// Entries of all tenants together.
pub(super) const MOST_ENTRIES: usize = 8_192;

/// Bytes of log lines of all tenants together, those included that are being written. Plugins choose how much they
/// log, so the room is bounded by this too: beyond it an entry goes without its lines, and the usage stays true.
pub(super) const MOST_LOG_BYTES: usize = 64 * 1024 * 1024;

/// Entries of one transaction, which share what each one costs: dozens of switches between threads, and a wait for the disk.
pub(super) const BATCH_ENTRIES: usize = 2_000;

/// Entries that a thread gathers. None with log lines is among them: their bytes are to be counted at once.
const GATHERED: usize = 16;

/// How long the first entry of a batch waits for others: what a crash may lose.
const BATCH_WAIT: Duration = Duration::from_millis(200);

/// The queues of all tenants.
#[derive(Default)]
pub(super) struct Queue {
    /// What each thread has gathered. To be locked before `state`.
    gathered: PerThread<Mutex<Gathered>>,
    state: Mutex<State>,
    changed: Notify,
    /// Whether the writer waits to be told of the next entry.
    is_writer_idle: AtomicBool,
}

/// Entries of a thread, each with what is to be kept of its tenant.
type Gathered = Vec<(Box<Entry>, Kept)>;

/// What the writer takes at once.
#[derive(Default)]
pub(super) struct Batch {
    pub entries: Vec<Entry>,
    /// What is to be kept at most of each tenant in it.
    pub most: BTreeMap<TenantId, Kept>,
    /// What those consumed that gave way since the last batch.
    pub unrecorded: Totals,
    /// Who waits until this and everything before it is written.
    pub flushed: Vec<oneshot::Sender<()>>,
}

/// What had to give way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GaveWay {
    /// Entries dropped.
    pub entries: u64,
    /// Entries that lost their log lines.
    pub lines: u64,
}

#[derive(Default)]
struct State {
    tenants: HashMap<TenantId, Waiting>,
    /// The tenants in `tenants`, in the order of their turns.
    turns: VecDeque<TenantId>,
    entries: usize,
    log_bytes: usize,
    unrecorded: Totals,
    gave_way: GaveWay,
    flushed: Vec<oneshot::Sender<()>>,
    closed: bool,
    most_entries: Largest,
    most_bytes: Largest,
}

/// Finds the tenant that holds most, without a look at all of them each time.
///
/// The heap is made when it is first needed, and is there as long as the queue is full. Each tenant has an
/// entry in it that is at least its size: growth adds an entry, and an entry that is too large is corrected
/// when it is found.
#[derive(Default)]
struct Largest(Option<BinaryHeap<(usize, TenantId)>>);

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Box<Entry>>,
    log_bytes: usize,
    most: Kept,
}

impl Queue {
    /// Takes an entry of a tenant of which `most` is to be kept at most. It does not wait.
    pub fn push(&self, entry: Box<Entry>, most: Kept) {
        let has_lines = !entry.log_lines.is_empty();
        let is_due = {
            let mut gathered = lock(self.gathered.own());
            gathered.push((entry, most));
            (has_lines || gathered.len() >= GATHERED) && self.lock().take_in(&mut gathered)
        };
        // Either this sees that the writer is idle, or the writer sees the entry.
        fence(Ordering::SeqCst);
        let is_awaited =
            self.is_writer_idle.load(Ordering::Relaxed) && self.is_writer_idle.swap(false, Ordering::Relaxed);
        if is_due || is_awaited {
            self.changed.notify_one();
        }
    }

    /// Tells `flushed` once everything that was pushed before is written.
    pub fn flush(&self, flushed: oneshot::Sender<()>) {
        // In this order: whoever takes the one takes the others.
        self.with_all().flushed.push(flushed);
        self.changed.notify_one();
    }

    /// Nothing comes any more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// The next batch: what comes within its time, until it is full or somebody waits for it. `None` when the queue is
    /// closed and empty.
    pub async fn next(&self) -> Option<Batch> {
        loop {
            // Asked first: what comes before the end is not to be left behind.
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

    /// Whether nothing comes any more.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Those who wait for a flush.
    pub fn take_flushed(&self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut self.lock().flushed)
    }

    /// The log lines of a batch are written, or given up.
    pub fn written(&self, log_bytes: usize) {
        let mut state = self.lock();
        state.log_bytes = state.log_bytes.saturating_sub(log_bytes);
    }

    /// What had to give way so far.
    pub fn gave_way(&self) -> GaveWay {
        self.with_all().gave_way
    }

    /// What waits now.
    pub fn held(&self) -> LedgerHeld {
        let state = self.with_all();
        LedgerHeld {
            entries: as_u64(state.entries),
            log_bytes: as_u64(state.log_bytes),
        }
    }

    /// The state with what all threads have gathered.
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
    /// Takes what a thread has gathered. Whether a batch is full.
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
            self.turns.push_back(tenant);
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

    /// A batch, an entry of each tenant in turn. Whoever waits for it gets everything that is there.
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
            let Some(tenant) = self.turns.pop_front() else {
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
                self.turns.push_back(tenant);
            }
        }
        // There is room again.
        (self.most_entries, self.most_bytes) = (Largest::default(), Largest::default());
        batch
    }
}

impl Largest {
    /// The tenant whose `size` is largest, `None` if none has any.
    fn find<'a>(
        &mut self,
        tenants: &'a mut HashMap<TenantId, Waiting>,
        size: impl Fn(&Waiting) -> usize,
    ) -> Option<&'a mut Waiting> {
        // Entries of growth pile up if nothing is taken for long. Then the heap is made anew.
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

    /// A tenant holds more than before.
    fn grew(&mut self, tenant: TenantId, size: usize) {
        if let Some(heap) = &mut self.0 {
            heap.push((size, tenant));
        }
    }
}

impl Waiting {
    /// Gives up the lines of the newest entry that has some. Gives back their bytes.
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

/// What the lines of an entry count for.
pub(super) fn log_bytes(entry: &Entry) -> usize {
    entry.log_lines.iter().map(LogLine::stored_bytes).sum()
}

fn lose_lines(entry: &mut Entry) {
    keep_lines(entry, 0);
}

/// Gives up the lines of an entry but for the first `kept`. The record says so.
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

    /// What gives way for the entry.
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
    fn whoever_floods_gives_way_to_the_others() {
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
        // Now each has its half, and whoever sends more loses its own.
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
        // The last of each was not waited for.
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
        // Each tenant is looked at once to make the heap.
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
