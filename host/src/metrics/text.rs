//! Writes the metrics in the OpenMetrics text format, which Prometheus reads.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::deliveries::DeliveryTotals;
use super::gauges::Gauges;
use super::histogram::Distribution;
use super::jobs::JobTotals;
use super::ledger::LedgerCounts;
use super::mail::MailFigures;
use super::requests::Requests;
use super::webhooks::WebhookTotals;

/// The content type of the format.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The prefix of all names.
const PREFIX: &str = "mortise";

/// All metrics of the host.
#[derive(Debug)]
pub struct Figures {
    /// The gauges.
    pub gauges: Gauges,
    /// The ledger's counters.
    pub ledger: LedgerCounts,
    /// The counters of jobs.
    pub jobs: JobTotals,
    /// The counters of outbound webhooks.
    pub deliveries: DeliveryTotals,
    /// The counters of mail.
    pub mail: MailFigures,
    /// The counters of received webhooks.
    pub webhooks: WebhookTotals,
    /// The counters of requests and invocations.
    pub requests: Arc<Requests>,
}

/// Writes all metrics.
pub fn write(figures: Figures) -> Result<String, Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(figures));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        for (name, meaning, value) in self.gauges.known() {
            encoder
                .encode_descriptor(name, meaning, None, MetricType::Gauge)?
                .encode_gauge(&value)?;
        }
        let requests = &self.requests;
        by_label(
            &mut encoder,
            (
                "requests",
                "Requests of the public listener by the class of their status.",
            ),
            "class",
            &requests.by_class(),
        )?;
        by_label(
            &mut encoder,
            (
                "problems",
                "Requests of the public listener that ended with a problem, by its code.",
            ),
            "code",
            &requests.by_code(),
        )?;
        by_label(
            &mut encoder,
            ("invocations", "Invocations by how they ended."),
            "ending",
            &requests.by_ending(),
        )?;
        by_label(
            &mut encoder,
            ("invocations_triggered", "Invocations by what triggered them."),
            "trigger",
            &requests.by_trigger(),
        )?;
        let LedgerCounts {
            written,
            dropped,
            without_lines,
            lost,
        } = self.ledger;
        by_label(
            &mut encoder,
            ("ledger_records", "Records of invocations by what became of them."),
            "outcome",
            &[
                ("written", written),
                ("dropped", dropped),
                ("without_lines", without_lines),
                ("lost", lost),
            ],
        )?;
        self.encode_jobs(&mut encoder)?;
        self.encode_deliveries(&mut encoder)?;
        by_label(
            &mut encoder,
            (
                "mails",
                "Mails and recipients by what became of them on this node.",
            ),
            "outcome",
            &self.mail.by_outcome(),
        )?;
        let WebhookTotals {
            stored,
            repeated,
            refused,
            deferred,
        } = self.webhooks;
        by_label(
            &mut encoder,
            (
                "webhooks_received",
                "Requests to webhooks, by what became of them.",
            ),
            "result",
            &[
                ("stored", stored),
                ("repeated", repeated),
                ("refused", refused),
                ("deferred", deferred),
            ],
        )?;
        let seconds = Some(&Unit::Seconds);
        encoder
            .encode_descriptor(
                "guest_cpu",
                "CPU time of invocations.",
                seconds,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, f64>(&requests.cpu().as_secs_f64(), None)?;
        let Distribution { sum, count, buckets } = requests.duration();
        encoder
            .encode_descriptor(
                "request_duration",
                "From the head of a request of the public listener until the head of its response.",
                seconds,
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

impl Figures {
    fn encode_jobs(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let JobTotals {
            enqueued,
            done,
            retried,
            dead,
            cancelled,
            lost,
            stale,
        } = self.jobs;
        encoder
            .encode_descriptor(
                "jobs_enqueued",
                "Jobs that were added.",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, f64>(&enqueued, None)?;
        by_label(
            encoder,
            ("jobs_ended", "Jobs that ended, by how."),
            "outcome",
            &[("done", done), ("dead", dead), ("cancelled", cancelled)],
        )?;
        by_label(
            encoder,
            (
                "job_retries",
                "Failed attempts after which the job runs again, by why.",
            ),
            "reason",
            &[("failed", retried), ("lost", lost)],
        )?;
        encoder
            .encode_descriptor(
                "job_results_stale",
                "Results of attempts that came after their lease had ended, and were ignored.",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, f64>(&stale, None)
    }

    fn encode_deliveries(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let DeliveryTotals {
            delivered,
            retried,
            failed,
            postponed,
            cancelled,
            disabled,
        } = self.deliveries;
        by_label(
            encoder,
            (
                "webhook_attempts",
                "Attempts to deliver outbound webhooks, by what became of them.",
            ),
            "outcome",
            &[
                ("delivered", delivered),
                ("retried", retried),
                ("failed", failed),
                ("postponed", postponed),
                ("cancelled", cancelled),
            ],
        )?;
        encoder
            .encode_descriptor(
                "webhook_endpoints_disabled",
                "Endpoints that were disabled because they failed for too long or asked for it.",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, f64>(&disabled, None)
    }
}

/// Writes one counter for each value of a label.
fn by_label(
    encoder: &mut DescriptorEncoder<'_>,
    (name, meaning): (&str, &str),
    label: &str,
    counts: &[(&str, impl EncodeCounterValue)],
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, meaning, None, MetricType::Counter)?;
    for (value, count) in counts {
        family
            .encode_family(&[(label, *value)])?
            .encode_counter::<NoLabelSet, _, f64>(count, None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::domain::invocation::Trigger;
    use crate::domain::problem::Code;
    use crate::metrics::Outcome;

    #[test]
    fn every_kind_of_figure_is_written_as_prometheus_reads_it() {
        let requests = Arc::new(Requests::default());
        requests.answered(StatusCode::OK, None, Duration::from_millis(3));
        requests.answered(
            StatusCode::NOT_FOUND,
            Some(Code::NotFound),
            Duration::from_micros(40),
        );
        requests.invocation(Trigger::Function, Outcome::Answered, 1_500_000);
        let gauges = Gauges {
            guests_running: Some(2),
            ..Gauges::default()
        };
        let ledger = LedgerCounts {
            written: 7,
            ..LedgerCounts::default()
        };
        let jobs = JobTotals {
            enqueued: 9,
            done: 5,
            retried: 3,
            ..JobTotals::default()
        };
        let mail = MailFigures {
            caught: 4,
            ..MailFigures::default()
        };
        let text = write(Figures {
            gauges,
            ledger,
            jobs,
            deliveries: DeliveryTotals {
                delivered: 4,
                ..DeliveryTotals::default()
            },
            mail,
            webhooks: WebhookTotals {
                repeated: 4,
                ..WebhookTotals::default()
            },
            requests,
        })
        .unwrap();
        for line in [
            "# HELP mortise_guests_running Plugins that run.",
            "# TYPE mortise_guests_running gauge",
            "mortise_guests_running 2",
            "# TYPE mortise_requests counter",
            "mortise_requests_total{class=\"2xx\"} 1",
            "mortise_requests_total{class=\"abandoned\"} 0",
            "mortise_problems_total{code=\"not-found\"} 1",
            "mortise_invocations_total{ending=\"answered\"} 1",
            "mortise_invocations_triggered_total{trigger=\"http\"} 0",
            "mortise_invocations_triggered_total{trigger=\"function\"} 1",
            "mortise_ledger_records_total{outcome=\"written\"} 7",
            "mortise_jobs_enqueued_total 9",
            "mortise_jobs_ended_total{outcome=\"done\"} 5",
            "mortise_jobs_ended_total{outcome=\"dead\"} 0",
            "mortise_job_retries_total{reason=\"failed\"} 3",
            "mortise_webhook_attempts_total{outcome=\"delivered\"} 4",
            "mortise_webhook_endpoints_disabled_total 0",
            "mortise_mails_total{outcome=\"caught\"} 4",
            "mortise_mails_total{outcome=\"failed\"} 0",
            "mortise_webhooks_received_total{result=\"repeated\"} 4",
            "mortise_guest_cpu_seconds_total 1.5",
            "mortise_request_duration_seconds_bucket{le=\"0.0005\"} 1",
            "mortise_request_duration_seconds_bucket{le=\"0.005\"} 2",
            "mortise_request_duration_seconds_bucket{le=\"+Inf\"} 2",
            "mortise_request_duration_seconds_count 2",
            "# EOF",
        ] {
            assert!(
                text.lines().any(|written| written == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(!text.contains("process_threads"), "what is not known is left out");
    }
}
