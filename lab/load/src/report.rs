//! What came of a load.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// Latencies are kept from a microsecond to this, with three digits. Longer ones count as this.
const LONGEST: Duration = Duration::from_secs(600);

/// Why a request has no whole response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The server could not be connected to.
    Connect,
    /// The connection ended before the response did.
    Closed,
    /// The response did not come in time.
    Timeout,
    /// It was due, and all connections were busy until the load ended.
    Unsent,
}

/// How long requests took.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// What came of a load.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// From the first request that was due to the end of the last one.
    pub elapsed: Duration,
    responses: BTreeMap<u16, Latencies>,
    faults: BTreeMap<Fault, u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let longest = u64::try_from(LONGEST.as_micros()).unwrap_or(u64::MAX);
        Self(Histogram::new_with_bounds(1, longest, 3).expect("the bounds are constants that it takes"))
    }
}

impl Latencies {
    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this part of the requests did not exceed, from 0 to 1; zero where there were none.
    pub fn quantile(&self, part: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(part))
    }

    /// The latency that half of the requests did not exceed.
    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    /// The latency that 99 of 100 requests did not exceed.
    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    /// The longest one.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        self.0
            .saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// Adds those of `other`.
    pub fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("both have the same bounds");
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut numbers = BTreeMap::from([("count".to_owned(), self.count())]);
        for (name, part) in [
            ("p50", 0.5),
            ("p90", 0.9),
            ("p99", 0.99),
            ("p999", 0.999),
            ("max", 1.0),
        ] {
            numbers.insert(format!("{name}_us"), self.0.value_at_quantile(part));
        }
        numbers.serialize(serializer)
    }
}

impl Report {
    /// The responses with this status.
    pub fn latency(&self, status: u16) -> Latencies {
        self.responses.get(&status).cloned().unwrap_or_default()
    }

    /// How many responses had a status for which `is_wanted` holds.
    pub fn responses(&self, is_wanted: impl Fn(u16) -> bool) -> u64 {
        let wanted = self.responses.iter().filter(|(status, _)| is_wanted(**status));
        wanted.map(|(_, latencies)| latencies.count()).sum()
    }

    /// How many requests had this fault.
    pub fn faults(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    /// How many requests did not end with a status from 200 to 299.
    pub fn failures(&self) -> u64 {
        self.requests() - self.responses(|status| (200..300).contains(&status))
    }

    /// All requests that were due.
    pub fn requests(&self) -> u64 {
        self.responses(|_| true) + self.faults.values().sum::<u64>()
    }

    /// Responses with this status per second.
    pub fn per_second(&self, status: u16) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far fewer responses than 2^52")]
        let count = self.latency(status).count() as f64;
        count / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// What did not end with a status from 200 to 299, in words; empty where nothing did.
    pub fn trouble(&self) -> String {
        let statuses = self
            .responses
            .iter()
            .filter(|(status, _)| !(200..300).contains(*status));
        let statuses = statuses.map(|(status, latencies)| format!("{} × {status}", latencies.count()));
        let faults = self
            .faults
            .iter()
            .map(|(fault, count)| format!("{count} × {fault:?}"));
        statuses.chain(faults).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn record(&mut self, outcome: Result<u16, Fault>, latency: Duration) {
        match outcome {
            Ok(status) => self.responses.entry(status).or_default().record(latency),
            Err(fault) => self.miss(fault, 1),
        }
    }

    pub(crate) fn miss(&mut self, fault: Fault, count: u64) {
        if count > 0 {
            *self.faults.entry(fault).or_default() += count;
        }
    }

    pub(crate) fn add(&mut self, other: &Report) {
        for (status, latencies) in &other.responses {
            self.responses.entry(*status).or_default().add(latencies);
        }
        for (fault, count) in &other.faults {
            self.miss(*fault, *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_read_per_status() {
        let mut report = Report::default();
        for millisecond in 1..=100 {
            report.record(Ok(200), Duration::from_millis(millisecond));
        }
        report.record(Ok(503), Duration::from_micros(7));
        let (served, refused) = (report.latency(200), report.latency(503));
        assert!(served.p50().abs_diff(Duration::from_millis(50)) < Duration::from_micros(100));
        assert!(served.p99().abs_diff(Duration::from_millis(99)) < Duration::from_micros(200));
        assert_eq!((refused.count(), refused.p99()), (1, Duration::from_micros(7)));
        assert_eq!(report.latency(404).count(), 0);
    }

    #[test]
    fn reports_add_up_and_name_their_trouble() {
        let mut one = Report::default();
        one.record(Ok(200), Duration::from_millis(1));
        one.record(Err(Fault::Closed), Duration::ZERO);
        let mut other = Report::default();
        other.record(Ok(503), Duration::from_millis(1));
        other.miss(Fault::Unsent, 3);
        other.miss(Fault::Connect, 0);
        one.add(&other);
        assert_eq!((one.requests(), one.failures()), (6, 5));
        assert_eq!(one.trouble(), "1 × 503, 1 × Closed, 3 × Unsent");
    }

    #[test]
    fn a_latency_beyond_the_histogram_is_kept_as_its_end() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_secs(86_400));
        assert!(latencies.max() >= LONGEST);
    }
}
