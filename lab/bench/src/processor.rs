//! The processor time of processes, from `/proc`.

use std::fs;

use anyhow::{Context as _, Result};

/// The system counts in hundredths of a second: `USER_HZ`, which is fixed on Linux.
const MICROSECONDS_PER_TICK: f64 = 10_000.0;

/// Processor time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// User time.
    pub own: f64,
    /// System time.
    pub kernel: f64,
}

impl Spent {
    /// The time of a running process, of all its threads since its start.
    pub fn by(process: u32) -> Result<Self> {
        stat(&process.to_string(), 0)
    }

    /// The time of this process's ended children.
    pub fn by_children() -> Result<Self> {
        stat("self", 2)
    }

    /// The time since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            own: self.own - earlier.own,
            kernel: self.kernel - earlier.kernel,
        }
    }

    /// User and system time.
    pub fn all(self) -> f64 {
        self.own + self.kernel
    }
}

fn stat(process: &str, skipped: usize) -> Result<Spent> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    parse(&text, skipped).with_context(|| format!("{path} has no times"))
}

/// Parses the 14th and 15th field of a line of `/proc/PID/stat` (proc_pid_stat(5)), or later ones.
/// The name of the process may contain spaces and brackets.
fn parse(line: &str, skipped: usize) -> Option<Spent> {
    const BEFORE: usize = 14 - 3;
    let (_, after_name) = line.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(BEFORE + skipped);
    let mut next = || Some(fields.next()?.parse::<f64>().ok()? * MICROSECONDS_PER_TICK);
    Some(Spent {
        own: next()?,
        kernel: next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_stand_after_the_name() {
        let line = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 20 10 20 0 1 0";
        let spent = |own, kernel| Some(Spent { own, kernel });
        assert_eq!(parse(line, 0), spent(2_500_000.0, 500_000.0));
        assert_eq!(parse(line, 2), spent(200_000.0, 100_000.0));
        assert_eq!(parse("7 (a) S 1", 0), None);
    }

    #[test]
    fn what_this_process_spent_is_counted() {
        let spent = Spent::by(std::process::id()).unwrap();
        assert!(spent.all() < 3.6e9, "{spent:?}");
        assert_eq!(spent.since(spent).all(), 0.0);
    }
}
