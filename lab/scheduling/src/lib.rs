//! Sets how a thread competes with others for processors: its niceness and its time slice.
//!
//! Short work must preempt long work as soon as it wakes up. Linux schedules by virtual deadlines:
//! a thread's deadline is one *slice*, divided by its weight, away, and the earliest goes first
//! (EEVDF: I. Stoica, H. Abdel-Wahab, "Earliest Eligible Virtual Deadline First", 1995; in Linux
//! since 6.6). With weights alone, a few percent of wake-ups preempt only at the next tick, up to 4
//! ms later. So the threads also set their slices (since Linux 6.12; older kernels ignore them).
#![expect(
    unsafe_code,
    reason = "no safe interface of the system call is known that can set a slice"
)]

use std::io;
use std::time::Duration;

/// How a thread competes with others for processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduling {
    /// The niceness: 0 to 19. One less means about a quarter more processor time under contention.
    pub nice: u8,
    /// The time slice: 100 µs to 100 ms.
    pub slice: Duration,
}

impl Scheduling {
    /// Applies to the calling thread and to threads that it starts later.
    pub fn apply(self) -> io::Result<()> {
        system::apply(self)
    }
}

/// Gives the calling thread real-time priority (`SCHED_FIFO`, sched(7)). It requires a privilege,
/// and is for threads that do very little.
pub fn come_first() -> io::Result<()> {
    system::come_first()
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;

    use super::Scheduling;

    pub fn apply(scheduling: Scheduling) -> io::Result<()> {
        set(libc::sched_attr {
            sched_policy: libc::SCHED_OTHER.unsigned_abs(),
            sched_nice: scheduling.nice.into(),
            sched_runtime: u64::try_from(scheduling.slice.as_nanos()).unwrap_or(u64::MAX),
            ..NOTHING
        })
    }

    pub fn come_first() -> io::Result<()> {
        set(libc::sched_attr {
            sched_policy: libc::SCHED_FIFO.unsigned_abs(),
            sched_priority: 1,
            ..NOTHING
        })
    }

    const NOTHING: libc::sched_attr = libc::sched_attr {
        size: 0,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };

    fn set(attributes: libc::sched_attr) -> io::Result<()> {
        let attributes = libc::sched_attr {
            size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(u32::MAX),
            ..attributes
        };
        // SAFETY: the call reads `size` bytes, which is the size of the struct, and does not keep
        // the pointer (sched_setattr(2)). 0 is the calling thread.
        let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    use super::Scheduling;

    pub fn apply(_: Scheduling) -> io::Result<()> {
        // On other systems the niceness applies to the whole process, so nothing is done.
        Ok(())
    }

    pub fn come_first() -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_as_nice_as_it_was_told() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let thread = std::thread::spawn(move || {
            let scheduling = Scheduling {
                nice: 19,
                slice: Duration::from_millis(10),
            };
            scheduling.apply().unwrap();
            nice()
        });
        assert_eq!(thread.join().unwrap(), 19);
        assert_eq!(nice(), before);
    }

    #[test]
    fn what_the_system_refuses_is_an_error() {
        let scheduling = Scheduling {
            nice: 200,
            slice: Duration::ZERO,
        };
        // Linux clamps or rejects the value: it never appears to be applied unchanged.
        let thread = std::thread::spawn(move || {
            scheduling
                .apply()
                .map(|()| rustix::process::getpriority_process(None).unwrap())
        });
        assert!(matches!(thread.join().unwrap(), Err(_) | Ok(19)));
    }

    #[test]
    fn who_comes_first_is_scheduled_in_real_time_or_was_refused() {
        let policy = std::thread::spawn(|| {
            let first = come_first().is_ok();
            // The 41st field: 0 is `SCHED_OTHER`, 1 `SCHED_FIFO` (proc_pid_stat(5)).
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let after_the_name = stat.rsplit(") ").next().unwrap();
            let policy = after_the_name.split_whitespace().nth(38).unwrap().to_owned();
            (first, policy)
        });
        let (first, policy) = policy.join().unwrap();
        assert_eq!(policy, if first { "1" } else { "0" });
    }
}
