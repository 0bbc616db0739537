//! The counted limits of one invocation, and what it has used of them.
//!
//! An invocation is one request that a test sends, or one attempt of a job. Calls that a test makes
//! itself, for example for its setup, are not counted.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// The limits in tests: those of the host's standard plan, lowered by the manifest.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Limits {
    pub host_calls: u32,
    pub sql_statements: u32,
    pub http_requests: u32,
    pub request_body: ByteSize,
    pub response_body: ByteSize,
    pub cache_value: ByteSize,
    pub job_payload: ByteSize,
    pub jobs_enqueued: u32,
    /// Of one job, not of one attempt.
    pub steps: u32,
    pub step_bytes: ByteSize,
    pub mail_recipients: u32,
    pub mail_size: ByteSize,
    pub mail_attachments: u32,
}

/// How many jobs may lead to a job. It is the tenant's limit, so a manifest cannot lower it.
pub(super) const JOB_DEPTH: u32 = 8;

/// How many jobs may wait or run. It is the tenant's limit.
pub(super) const JOB_BACKLOG: u32 = 10_000;

/// A number of bytes, written `512`, `64KiB`, `64MiB` or `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ByteSize(pub usize);

/// The counted operations.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counted {
    HostCall,
    SqlStatement,
    HttpRequest,
    /// A job or an event.
    Enqueued,
}

/// The counts of one invocation.
pub(super) struct Budget {
    /// `None` outside of an invocation.
    used: Cell<Option<[u32; 4]>>,
    /// The number of invocations so far.
    begun: Cell<u64>,
    pub limits: Limits,
}

const MIB: usize = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            host_calls: 1_000,
            sql_statements: 100,
            http_requests: 16,
            request_body: ByteSize(MIB),
            response_body: ByteSize(10 * MIB),
            cache_value: ByteSize(MIB),
            job_payload: ByteSize(64 * 1024),
            jobs_enqueued: 100,
            steps: 100,
            step_bytes: ByteSize(64 * 1024),
            mail_recipients: 50,
            mail_size: ByteSize(2 * MIB),
            mail_attachments: 10,
        }
    }
}

impl Limits {
    /// The limits of a manifest, which can only lower the standard ones.
    pub fn lowered(self) -> Self {
        let most = Self::default();
        Self {
            host_calls: self.host_calls.min(most.host_calls),
            sql_statements: self.sql_statements.min(most.sql_statements),
            http_requests: self.http_requests.min(most.http_requests),
            request_body: self.request_body.min(most.request_body),
            response_body: self.response_body.min(most.response_body),
            cache_value: self.cache_value.min(most.cache_value),
            job_payload: self.job_payload.min(most.job_payload),
            jobs_enqueued: self.jobs_enqueued.min(most.jobs_enqueued),
            steps: self.steps.min(most.steps),
            step_bytes: self.step_bytes.min(most.step_bytes),
            mail_recipients: self.mail_recipients.min(most.mail_recipients),
            mail_size: self.mail_size.min(most.mail_size),
            mail_attachments: self.mail_attachments.min(most.mail_attachments),
        }
    }
}

impl Budget {
    pub fn new(limits: Limits) -> Self {
        Self {
            used: Cell::new(None),
            begun: Cell::new(0),
            limits,
        }
    }

    /// Begins an invocation and returns its number.
    pub fn begin(&self) -> u64 {
        self.used.set(Some([0; 4]));
        self.begun.set(self.begun.get() + 1);
        self.begun.get()
    }

    /// Ends the invocation.
    pub fn end(&self) {
        self.used.set(None);
    }

    /// Counts one operation. Returns an error if the limit is reached.
    pub fn charge(&self, counted: Counted) -> Result<(), String> {
        let Some(mut used) = self.used.get() else {
            return Ok(());
        };
        let (index, most) = match counted {
            Counted::HostCall => (0, self.limits.host_calls),
            Counted::SqlStatement => (1, self.limits.sql_statements),
            Counted::HttpRequest => (2, self.limits.http_requests),
            Counted::Enqueued => (3, self.limits.jobs_enqueued),
        };
        if used[index] >= most {
            return Err(match counted {
                Counted::HostCall => format!("this invocation has made its {most} host calls"),
                Counted::SqlStatement => format!("this invocation has run its {most} SQL statements"),
                Counted::HttpRequest => {
                    format!("this invocation has sent its {most} requests, retries included")
                }
                Counted::Enqueued => {
                    format!("this invocation has added its {most} jobs and events (`jobs_enqueued`)")
                }
            });
        }
        used[index] += 1;
        self.used.set(Some(used));
        Ok(())
    }

    /// Counts a host call that has no error type. The host would end the invocation; here the test
    /// fails.
    pub fn charge_untyped(&self) {
        if let Err(why) = self.charge(Counted::HostCall) {
            panic!("{why}: the host would answer 502 `plugin-limit`");
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1 << 30), ("MiB", MIB), ("KiB", 1 << 10)];
        let unit = units
            .iter()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        let (suffix, factor) = unit.copied().unwrap_or(("B", 1));
        write!(formatter, "{}{suffix}", self.0 / factor)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [
            ("GiB", 1 << 30),
            ("MiB", MIB),
            ("KiB", 1 << 10),
            ("B", 1),
            ("", 1),
        ];
        let parsed = units.iter().find_map(|(suffix, factor)| {
            let number: usize = text.strip_suffix(suffix)?.trim_end().parse().ok()?;
            number.checked_mul(*factor)
        });
        parsed
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a size such as `64KiB` or `64MiB`"))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_lowers_limits_and_does_not_raise_them() {
        let text = "sql_statements = 5\nhost_calls = 5000\nrequest_body = '4KiB'\nresponse_body = '1GiB'\nmemory = '1MiB'";
        let limits = toml::from_str::<Limits>(text)
            .expect("those are limits")
            .lowered();
        assert_eq!(
            (limits.sql_statements, limits.host_calls, limits.http_requests),
            (5, 1_000, 16)
        );
        assert_eq!(
            (limits.request_body, limits.response_body),
            (ByteSize(4_096), ByteSize(10 * MIB))
        );
        assert!(toml::from_str::<Limits>("request_body = '4 parsecs'").is_err());
    }

    #[test]
    fn sizes_are_written_with_the_largest_unit() {
        for (size, expected) in [(0, "0B"), (1_000, "1000B"), (4_096, "4KiB"), (10 * MIB, "10MiB")] {
            assert_eq!(ByteSize(size).to_string(), expected);
        }
    }

    #[test]
    fn only_what_an_invocation_does_is_counted() {
        let budget = Budget::new(Limits {
            sql_statements: 1,
            ..Limits::default()
        });
        for _ in 0..3 {
            assert_eq!(budget.charge(Counted::SqlStatement), Ok(()));
        }
        budget.begin();
        assert_eq!(budget.charge(Counted::SqlStatement), Ok(()));
        let refused = budget.charge(Counted::SqlStatement);
        assert_eq!(
            refused,
            Err("this invocation has run its 1 SQL statements".to_owned())
        );
        assert_eq!(budget.charge(Counted::HostCall), Ok(()));
        budget.begin();
        assert_eq!(budget.charge(Counted::SqlStatement), Ok(()));
        budget.end();
        assert_eq!(budget.charge(Counted::SqlStatement), Ok(()));
    }
}
