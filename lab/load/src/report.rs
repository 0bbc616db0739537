//! The report of a load: latencies, statuses and faults.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// The longest latency that is stored, with three significant digits. Longer ones count as this.
const LONGEST: Duration = Duration::from_secs(600);

/// Why a request has no complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The connection failed.
    Connect,
    /// The connection ended before the response did.
    Closed,
    /// The response did not come in time.
    Timeout,
    /// The request was due, but all connections were busy until the load ended.
    Unsent,
}

/// The latencies of requests.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// The report of a load.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The time from the first due request to the end of the last one.
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
    /// The number of latencies.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The quantile `part` of the latencies, from 0 to 1; zero if there are none.
    pub fn quantile(&self, part: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(part))
    }

    /// The median latency.
    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    /// The 99th percentile of the latency.
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

    /// Adds the latencies of `other`.
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
    /// The latencies of responses with this status.
    pub fn latency(&self, status: u16) -> Latencies {
        self.responses.get(&status).cloned().unwrap_or_default()
    }

    /// The number of responses with a status for which `is_wanted` is true.
    pub fn responses(&self, is_wanted: impl Fn(u16) -> bool) -> u64 {
        let wanted = self.responses.iter().filter(|(status, _)| is_wanted(**status));
        wanted.map(|(_, latencies)| latencies.count()).sum()
    }

    /// The number of requests with this fault.
    pub fn faults(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    /// The number of requests without a status from 200 to 299.
    pub fn failures(&self) -> u64 {
        self.requests() - self.responses(|status| (200..300).contains(&status))
    }

    /// The number of due requests.
    pub fn requests(&self) -> u64 {
        self.responses(|_| true) + self.faults.values().sum::<u64>()
    }

    /// Responses with this status per second.
    pub fn per_second(&self, status: u16) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far fewer responses than 2^52")]
        let count = self.latency(status).count() as f64;
        count / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Describes the requests without a status from 200 to 299; empty if there are none.
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
