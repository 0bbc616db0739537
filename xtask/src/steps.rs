//! Prints the progress of a command: its steps and their durations.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// The result of a command. Its error is one line that tells what to do.
pub type Result<T, E = String> = std::result::Result<T, E>;

/// The steps of a command.
pub struct Steps {
    done: usize,
    all: usize,
}

impl Steps {
    /// A command with `all` steps.
    pub fn new(all: usize) -> Self {
        Self { done: 0, all }
    }

    /// Runs the next step and prints its duration.
    pub fn step<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.done += 1;
        say(&format!("[{}/{}] {what} …\n", self.done, self.all));
        let begin = now();
        let result = work()?;
        say(&format!(
            "[{}/{}] done in {}\n",
            self.done,
            self.all,
            spoken(begin.elapsed())
        ));
        Ok(result)
    }
}

/// The current time, for measuring a step.
#[expect(
    clippy::disallowed_methods,
    reason = "progress shows real time; nothing is decided by it"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Writes to standard output. Errors are ignored, for example if it is closed.
pub fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
    let _ = std::io::stdout().flush();
}

/// Writes a line to standard error.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn spoken(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_at_a_glance() {
        assert_eq!(spoken(Duration::from_millis(1_250)), "1.2 s");
        assert_eq!(spoken(Duration::from_secs(125)), "2 min 5 s");
    }

    #[test]
    fn a_failed_step_ends_the_command() {
        let mut steps = Steps::new(2);
        assert_eq!(steps.step("one", || Ok(1)), Ok(1));
        assert_eq!(
            steps.step("two", || Err::<(), _>("no".to_owned())),
            Err("no".to_owned())
        );
    }
}
