//! How a thread competes with others for processors.
//!
//! What is short has to interrupt what is long as soon as it wakes up. Linux decides that by deadlines: that of a thread
//! is its *slice* away, divided by its weight, and the nearer one goes first (EEVDF: I. Stoica, H. Abdel-Wahab, "Earliest
//! Eligible Virtual Deadline First", 1995; in Linux since 6.6). Weights alone leave a few wake-ups in a hundred without effect
//! until the next tick of the system, up to 4 ms later, so the threads ask for slices of their own (since Linux 6.12;
//! older ones ignore that).
#![expect(
    unsafe_code,
    reason = "no safe interface of the system call is known that can set a slice"
)]

use std::io;
use std::time::Duration;

/// How a thread competes with others for processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduling {
    /// How much the system prefers other threads: 0 to 19. One less is a quarter more, where both want more than there is.
    pub nice: u8,
    /// How long it may run before the system looks for others again: 100 µs to 100 ms.
    pub slice: Duration,
}

impl Scheduling {
    /// Applies to the calling thread, and to what it starts from now on.
    pub fn apply(self) -> io::Result<()> {
        system::apply(self)
    }
}

/// Lets the calling thread run before all that is not real time, as soon as there is something to do, for as long as it
/// likes (`SCHED_FIFO`, sched(7)). It takes a privilege, and is for threads that do next to nothing.
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
        // SAFETY: the call reads as many bytes as `size` says, which is the size of what the pointer leads to, and
        // keeps nothing of it (sched_setattr(2)). 0 is the calling thread.
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
        // Elsewhere this is the whole process, and nothing to share by.
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
        // Clamped by Linux, or refused: it never looks as if it had been done.
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
