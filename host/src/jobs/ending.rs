//! Decides what becomes of a job after an attempt: from the result of the handler, or from the
//! reason why there is none.

use std::time::Duration;

use crate::domain::clock::{DAY, Timestamp};
use crate::domain::job::{Ending, Job, JobOutcome};
use crate::sandbox::JobFailure;

/// The longest text of a failure that is stored, in bytes.
pub const MAX_ERROR_BYTES: usize = 4 * 1_024;

/// The longest wait that a plugin can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * DAY.as_secs());

/// What becomes of a job whose attempt failed with this text.
pub fn retry(job: &Job, error: String, now: Timestamp) -> Ending {
    let wait = job.new.backoff.wait(job.attempt, random());
    Ending::Retry {
        at: now.saturating_add(wait),
        error,
    }
}

/// What becomes of a job after what the plugin said, and the outcome for the record. `stored`
/// prepares a text of the plugin for storage.
pub fn said(
    job: &Job,
    result: Result<(), JobFailure>,
    now: Timestamp,
    stored: impl Fn(&str) -> String,
) -> (JobOutcome, Ending) {
    match result {
        Ok(()) => (JobOutcome::Done, Ending::Done),
        Err(JobFailure::Retry(why)) => (JobOutcome::Retry, retry(job, stored(&why), now)),
        Err(JobFailure::RetryAfter(wait, why)) => {
            let ending = Ending::Retry {
                // The plugin chose the wait.
                at: now.saturating_add(wait.min(LONGEST_WAIT)),
                error: stored(&why),
            };
            (JobOutcome::Retry, ending)
        }
        Err(JobFailure::Discard(why)) => (JobOutcome::Discard, Ending::Dead { error: stored(&why) }),
    }
}

/// A line for the plugin's log about a failed attempt; `None` if the job is done. Viewers read the
/// log, so the line names the job and leaves out the plugin's text.
pub fn log_line(job: &Job, ending: &Ending) -> Option<String> {
    let (attempt, most) = (job.attempt, job.new.max_attempts);
    let then = match ending {
        Ending::Done | Ending::Cancelled | Ending::Interrupted { .. } => return None,
        Ending::Retry { .. } if attempt >= most => "the job is a dead letter".to_owned(),
        Ending::Retry { at, .. } => format!("the job runs again at {at}"),
        Ending::Dead { .. } => "the plugin discarded the job".to_owned(),
    };
    Some(format!(
        "attempt {attempt} of {most} failed, and {then}; `mortise jobs show --tenant … {}` has the error",
        job.new.id
    ))
}

/// An interval that differs by up to a quarter each time, so that several nodes do not look at the
/// same moment.
pub fn with_jitter(interval: Duration) -> Duration {
    interval.mul_f64(0.75 + random() / 2.0)
}

/// A random number from 0 to 1.
fn random() -> f64 {
    // Without randomness, jobs that failed together run again together, which is no more than
    // inconvenient.
    let bits = getrandom::u32().unwrap_or_default();
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::testing::job;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn after(failure: JobFailure) -> Ending {
        let (_, ending) = said(&job(), Err(failure), NOW, str::to_uppercase);
        ending
    }

    #[test]
    fn a_job_that_fails_waits_at_least_half_of_its_back_off() {
        let Ending::Retry { at, error } = after(JobFailure::Retry("erp is down".to_owned())) else {
            panic!("it runs again");
        };
        let wait = at.since(NOW);
        assert!((500..=1_000).contains(&wait.as_millis()), "{wait:?}");
        assert_eq!(error, "ERP IS DOWN");
    }

    #[test]
    fn a_plugin_chooses_the_wait_within_a_week() {
        for (asked, waited) in [(0, 0), (90_000, 90_000), (u64::MAX, 7 * 24 * 60 * 60 * 1_000)] {
            let failure = JobFailure::RetryAfter(Duration::from_millis(asked), String::new());
            let ending = Ending::Retry {
                at: Timestamp(NOW.0 + waited),
                error: String::new(),
            };
            assert_eq!(after(failure), ending);
        }
    }

    #[test]
    fn a_discarded_job_is_dead_at_once() {
        let dead = Ending::Dead {
            error: "NO".to_owned(),
        };
        assert_eq!(after(JobFailure::Discard("no".to_owned())), dead);
        assert_eq!(
            said(&job(), Ok(()), NOW, str::to_owned),
            (JobOutcome::Done, Ending::Done)
        );
    }

    #[test]
    fn the_log_says_whether_the_job_runs_again_and_not_why_it_failed() {
        let mut job = job();
        let error = "the card of customer 7 was refused".to_owned();
        let shown = format!("`mortise jobs show --tenant … {}` has the error", job.new.id);
        let retry = Ending::Retry {
            at: NOW,
            error: error.clone(),
        };
        let dead = Ending::Dead { error };
        for (attempt, ending, then) in [
            (2, &retry, "the job runs again at 1970-01-01T00:16:40.000Z"),
            (8, &retry, "the job is a dead letter"),
            (3, &dead, "the plugin discarded the job"),
        ] {
            job.attempt = attempt;
            assert_eq!(
                log_line(&job, ending).unwrap(),
                format!("attempt {attempt} of 8 failed, and {then}; {shown}")
            );
        }
        assert_eq!(log_line(&job, &Ending::Done), None);
    }
}
