//! What stands beside a connection while a plugin's statement runs: whose it is, when it must be
//! done, and why it was refused. SQLite's callbacks and other threads see this and not the
//! connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mortise_sql::{Author, Authorizer};

use crate::unguarded::{Guard, is_off};

/// The state of one connection that its callbacks share.
pub struct Watch {
    origin: Instant,
    /// Both in nanoseconds since `origin`.
    armed_at: AtomicU64,
    deadline: AtomicU64,
    cancelled: AtomicBool,
    /// What the statement may do.
    pub authorizer: Authorizer,
    /// Bytes that a statement may write.
    room: AtomicU64,
    /// What the thread had written when that was looked at first, and when it is looked at next.
    written_before: AtomicU64,
    next_look: AtomicU64,
    outgrown: AtomicBool,
}

/// How often it is looked at what a statement writes.
const LOOK: Duration = Duration::from_millis(20);

impl Watch {
    /// A watch over the SQL of `author`.
    pub fn new(author: Author) -> Self {
        Self {
            origin: monotonic(),
            armed_at: AtomicU64::new(0),
            deadline: AtomicU64::new(u64::MAX),
            cancelled: AtomicBool::new(false),
            authorizer: Authorizer::new(author),
            room: AtomicU64::new(u64::MAX),
            written_before: AtomicU64::new(u64::MAX),
            next_look: AtomicU64::new(u64::MAX),
            outgrown: AtomicBool::new(false),
        }
    }

    /// From now on the connection works for somebody until `deadline`.
    pub fn arm(&self, deadline: Instant) {
        self.cancelled.store(false, Ordering::Relaxed);
        self.outgrown.store(false, Ordering::Relaxed);
        self.written_before.store(u64::MAX, Ordering::Relaxed);
        self.next_look
            .store(self.nanoseconds(monotonic() + LOOK), Ordering::Relaxed);
        self.arm_again(deadline);
    }

    /// How many bytes statements may write from now on.
    pub fn set_room(&self, bytes: u64) {
        self.room.store(bytes, Ordering::Relaxed);
    }

    /// Whether the statement was stopped because it wrote too much.
    pub fn has_outgrown(&self) -> bool {
        self.outgrown.load(Ordering::Relaxed)
    }

    /// A new deadline for the same somebody: a cancellation stays.
    pub fn arm_again(&self, deadline: Instant) {
        self.armed_at
            .store(self.nanoseconds(monotonic()), Ordering::Relaxed);
        self.deadline.store(self.nanoseconds(deadline), Ordering::Relaxed);
    }

    /// From now on nobody bounds it: what the host itself does between statements must not be
    /// interrupted.
    pub fn disarm(&self) {
        self.deadline.store(u64::MAX, Ordering::Relaxed);
        self.next_look.store(u64::MAX, Ordering::Relaxed);
        self.cancelled.store(false, Ordering::Relaxed);
    }

    /// Cancels the statement, because its caller is gone.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// How long the statement was allowed to take.
    pub fn allowed(&self) -> Duration {
        let armed_at = self.armed_at.load(Ordering::Relaxed);
        Duration::from_nanos(self.deadline.load(Ordering::Relaxed).saturating_sub(armed_at))
    }

    /// True where the statement has to stop.
    pub fn is_over(&self) -> bool {
        let now = self.nanoseconds(monotonic());
        self.cancelled.load(Ordering::Relaxed)
            || now >= self.deadline.load(Ordering::Relaxed)
            || self.outgrows(now)
    }

    /// Whether to refuse memory, so that the statement stops. The host's own SQL ends by itself.
    pub fn refuses_memory(&self) -> bool {
        self.authorizer.author() != Author::Host && self.is_over() && !is_off(Guard::SqlClock)
    }

    /// Whether the statement has written more than it may. SQLite asks on the thread that runs it,
    /// so that what this thread has written is what the statement has.
    fn outgrows(&self, now: u64) -> bool {
        if now < self.next_look.load(Ordering::Relaxed) {
            return false;
        }
        let wait = u64::try_from(LOOK.as_nanos()).unwrap_or(u64::MAX);
        self.next_look.store(now.saturating_add(wait), Ordering::Relaxed);
        // Where the system does not say it, time alone bounds it.
        let Some(written) = written_by_this_thread() else {
            return false;
        };
        let before = self.written_before.load(Ordering::Relaxed);
        if before == u64::MAX {
            self.written_before.store(written, Ordering::Relaxed);
            return false;
        }
        let outgrown = written.saturating_sub(before) > self.room.load(Ordering::Relaxed);
        self.outgrown.fetch_or(outgrown, Ordering::Relaxed);
        outgrown
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Bytes that the thread has handed to the system so far.
fn written_by_this_thread() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    counts
        .lines()
        .find_map(|line| line.strip_prefix("wchar: ")?.parse().ok())
}

/// The time that deadlines of statements are measured in.
#[expect(
    clippy::disallowed_methods,
    reason = "SQLite asks from threads of its own, where tokio's time is not"
)]
fn monotonic() -> Instant {
    Instant::now()
}
