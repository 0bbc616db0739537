//! Outbound webhooks: endpoints of a tenant, and deliveries of events to them.
//!
//! An event has one body, which all its deliveries share. A delivery is tried up to [`ATTEMPTS`]
//! times. Its id and its body stay the same; its signature and its time are made for each attempt.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clock::Timestamp;
use super::event::{Event, Topic, TopicPattern};
use super::host_job::HostJob;
use super::id::{DeliveryId, EndpointId, EventId, JobId, PluginName, TenantId};
use super::job::{Concurrency, ConcurrencyKey, JobOrigin, NewJob};
use super::outbox::PublishedEvent;

/// How often a delivery is tried, until somebody replays it.
pub const ATTEMPTS: u32 = 8;

/// The waits between the attempts, in seconds. The first attempt is made at once.
const WAITS: [u64; 7] = [5, 5 * 60, 30 * 60, 2 * 3_600, 5 * 3_600, 10 * 3_600, 10 * 3_600];

/// After this time of only failures, an endpoint is disabled.
pub const DISABLED_AFTER: Duration = Duration::from_secs(120 * 60 * 60);

/// The most secrets of an endpoint that are valid at once.
pub const MOST_SECRETS: usize = 10;

/// The most patterns of topics of an endpoint.
pub const MOST_TOPICS: usize = 50;

/// Deliveries to one endpoint that run at once, so that a slow endpoint does not take all slots of
/// its tenant.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(4).expect("4 is not zero");

/// The most attempts of the job of a delivery. An attempt of the job that sends nothing, because
/// the endpoint is not to be called now, is no attempt of the delivery.
const MOST_JOB_ATTEMPTS: u32 = 10_000;

/// The plugin that events of the host itself name as their source.
const HOST_SOURCE: &str = "mortise";

/// The topic of the event that tells that an endpoint was disabled.
const DISABLED: &str = "webhook.endpoint.disabled";

/// An address that gets the events of some topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// The URL.
    pub url: String,
    /// A text for people.
    pub description: String,
    /// The topics. An event is delivered once, even if several patterns stand for its topic.
    pub topics: Vec<TopicPattern>,
    /// Whether events are delivered to it.
    pub enabled: bool,
    /// How many deliveries are sent in a minute at most; `None`: any number.
    pub rate_per_minute: Option<NonZeroU32>,
    /// When it was created.
    pub created_at: Timestamp,
    /// The first failure since the last success.
    pub failing_since: Option<Timestamp>,
    /// When it was disabled.
    pub disabled_at: Option<Timestamp>,
    /// Why it was disabled.
    pub disabled_because: Option<String>,
}

/// An endpoint that is enabled, as the publishing of events sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointTopics {
    /// Its id.
    pub id: EndpointId,
    /// Its topics.
    pub topics: Vec<TopicPattern>,
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// It was not delivered yet, and is tried again.
    Waiting,
    /// The endpoint accepted it.
    Delivered,
    /// It failed for good.
    Failed,
    /// It was given up: its endpoint was disabled, or somebody cancelled its job.
    Cancelled,
}

/// An event on its way to endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// The event.
    pub event: Event,
    /// The body of all deliveries.
    pub body: String,
    /// The deliveries.
    pub deliveries: Vec<NewDelivery>,
}

/// A delivery that is to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// The job that sends it.
    pub job: JobId,
    /// When it was added.
    pub created_at: Timestamp,
}

/// What an event becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FanOut {
    /// The jobs of the subscribers and those of the deliveries.
    pub jobs: Vec<NewJob>,
    /// The event for endpoints; `None` if no endpoint gets it.
    pub outgoing: Option<OutgoingEvent>,
}

/// A stored delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// The event, without its data.
    pub event: Event,
    /// The job that sends it, or sent it last.
    pub job: JobId,
    /// Its state.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// How many of the attempts were made before it was last replayed.
    pub attempts_before: u32,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// Why the last attempt failed, or why it was given up.
    pub error: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When the next attempt is due.
    pub next_at: Option<Timestamp>,
    /// When it was delivered or given up.
    pub ended_at: Option<Timestamp>,
}

/// One attempt of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryAttempt {
    /// 1 for the first one.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The status of the answer; `None` if there was none.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// The beginning of the body of the answer.
    pub answer: Option<String>,
}

/// An attempt with what becomes of its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedAttempt {
    /// The attempt.
    pub attempt: DeliveryAttempt,
    /// The state of the delivery from now on.
    pub state: DeliveryState,
    /// See [`Delivery::attempts_before`].
    pub attempts_before: u32,
    /// When the attempt ended.
    pub ended_at: Timestamp,
    /// When the next attempt is due.
    pub next_at: Option<Timestamp>,
}

impl EndpointTopics {
    /// Whether events on a topic are delivered to it.
    pub fn gets(&self, topic: &Topic) -> bool {
        self.topics.iter().any(|pattern| pattern.matches(topic))
    }
}

impl DeliveryState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Delivered, Self::Failed, Self::Cancelled];

    /// The state as it is stored and written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::str::FromStr for DeliveryState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let state = Self::ALL.into_iter().find(|state| state.as_str() == text);
        state.ok_or_else(|| format!("it is one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// How long a delivery waits after an attempt failed; `None` if it was the last. `attempt` is 1 for
/// the first one since the delivery was added or replayed. `random` is between 0 and 1. The value
/// of `Retry-After` counts between the wait and twice the wait.
pub fn wait_after(attempt: u32, retry_after: Option<Duration>, random: f64) -> Option<Duration> {
    let index = usize::try_from(attempt.saturating_sub(1)).ok()?;
    let step = Duration::from_secs(*WAITS.get(index)?);
    let spread = step.mul_f64(1.0 + random.clamp(0.0, 1.0) / 5.0);
    Some(match retry_after {
        Some(asked) => asked.clamp(spread, (2 * step).max(spread)),
        None => spread,
    })
}

/// The body of the deliveries of an event. `data` is JSON by convention; another text becomes a
/// JSON text.
pub fn body(event: &Event, data: &str) -> String {
    let data = match serde_json::from_str::<IgnoredAny>(data) {
        Ok(_) => data.trim().to_owned(),
        Err(_) => Value::from(data).to_string(),
    };
    let Event {
        id,
        source,
        topic,
        time,
    } = event;
    // Ids, names, topics and times have no characters that JSON escapes. The data is copied as it
    // was published, so that no number loses digits.
    format!(r#"{{"id":"{id}","type":"{topic}","source":"{source}","timestamp":"{time}","data":{data}}}"#)
}

/// The deliveries of an event, one for each endpoint of its topic, and their jobs.
pub fn deliveries<'a, E: IntoIterator<Item = &'a EndpointTopics>>(
    tenant: TenantId,
    published: &PublishedEvent,
    endpoints: E,
    now: Timestamp,
) -> FanOut {
    let (mut jobs, mut deliveries) = (Vec::new(), Vec::new());
    for endpoint in endpoints {
        if !endpoint.gets(&published.event.topic) {
            continue;
        }
        let id = DeliveryId::generate();
        let job = NewJob {
            depth: published.depth,
            traceparent: published.traceparent.clone(),
            ..job(tenant, id, endpoint.id, published.event.clone(), now)
        };
        deliveries.push(NewDelivery {
            id,
            endpoint: endpoint.id,
            job: job.id,
            created_at: now,
        });
        jobs.push(job);
    }
    let outgoing = (!deliveries.is_empty()).then(|| OutgoingEvent {
        event: published.event.clone(),
        body: body(&published.event, &published.data),
        deliveries,
    });
    FanOut { jobs, outgoing }
}

/// The job of a delivery, which is due now.
pub fn job(
    tenant: TenantId,
    delivery: DeliveryId,
    endpoint: EndpointId,
    event: Event,
    now: Timestamp,
) -> NewJob {
    NewJob {
        origin: JobOrigin::Event { event },
        max_attempts: MOST_JOB_ATTEMPTS,
        concurrency: Some(ConcurrencyKey {
            key: endpoint.to_string(),
            bound: Concurrency {
                limit: AT_ONCE,
                ordered: false,
            },
        }),
        ..HostJob::Delivery.job(tenant, delivery.to_string(), now)
    }
}

/// An event of the host itself.
pub fn host_event(topic: Topic, data: &Value, now: Timestamp) -> PublishedEvent {
    PublishedEvent {
        event: Event {
            id: EventId::generate(),
            source: host_source(),
            topic,
            time: now,
        },
        data: data.to_string(),
        depth: 0,
        traceparent: None,
    }
}

/// The event that tells that an endpoint was disabled.
pub fn disabled_event(endpoint: &Endpoint, because: &str, now: Timestamp) -> PublishedEvent {
    let data = serde_json::json!({
        "endpoint": endpoint.id,
        "url": endpoint.url,
        "because": because,
        "failing_since": endpoint.failing_since,
    });
    let topic = DISABLED.parse().expect("it is a topic, which a test shows");
    host_event(topic, &data, now)
}

fn host_source() -> PluginName {
    HOST_SOURCE
        .parse()
        .expect("it is the name of a plugin, which a test shows")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(topic: &str) -> Event {
        Event {
            id: "0190a5c0-0000-7000-8000-000000000001".parse().unwrap(),
            source: "orders".parse().unwrap(),
            topic: topic.parse().unwrap(),
            time: Timestamp(0),
        }
    }

    fn published(topic: &str) -> PublishedEvent {
        PublishedEvent {
            event: event(topic),
            data: "{}".to_owned(),
            depth: 2,
            traceparent: None,
        }
    }

    fn endpoint(topics: &[&str]) -> EndpointTopics {
        EndpointTopics {
            id: EndpointId::generate(),
            topics: topics.iter().map(|topic| topic.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn an_event_is_delivered_once_to_each_endpoint_of_its_topic() {
        let endpoints = [
            endpoint(&["order.*", "*.created"]),
            endpoint(&["payment.>"]),
            endpoint(&[">"]),
        ];
        let tenant = TenantId::generate();
        let fan_out = deliveries(tenant, &published("order.created"), &endpoints, Timestamp(7));
        let outgoing = fan_out.outgoing.unwrap();
        let reached: Vec<_> = outgoing.deliveries.iter().map(|new| new.endpoint).collect();
        assert_eq!(reached, [endpoints[0].id, endpoints[2].id]);
        for (job, delivery) in fan_out.jobs.iter().zip(&outgoing.deliveries) {
            assert_eq!(
                (job.id, &*job.payload),
                (delivery.job, delivery.id.to_string().as_str())
            );
            assert_eq!((job.depth, job.tenant, job.run_at), (2, tenant, Timestamp(7)));
        }
        let nobody = deliveries(tenant, &published("stock.low"), &endpoints[..2], Timestamp(7));
        assert_eq!(nobody, FanOut::default());
    }

    #[test]
    fn the_body_has_the_data_as_it_was_published() {
        let start =
            r#"{"id":"0190a5c0-0000-7000-8000-000000000001","type":"order.created","source":"orders","#;
        let event = event("order.created");
        for (data, written) in [
            (
                r#"{"total": 10000000000000000000001.10}"#,
                r#"{"total": 10000000000000000000001.10}"#,
            ),
            (" 7\n", "7"),
            ("7 \"apples\"", r#""7 \"apples\"""#),
            ("", r#""""#),
        ] {
            let body = body(&event, data);
            let wanted = format!(r#"{start}"timestamp":"1970-01-01T00:00:00.000Z","data":{written}}}"#);
            assert_eq!(body, wanted);
            assert!(serde_json::from_str::<IgnoredAny>(&body).is_ok(), "{body}");
        }
    }

    #[test]
    fn the_waits_are_those_of_the_schedule_and_the_last_attempt_has_none() {
        let waits: Vec<u64> = (1..ATTEMPTS)
            .map(|attempt| wait_after(attempt, None, 0.0).unwrap().as_secs())
            .collect();
        assert_eq!(waits, WAITS);
        assert_eq!(wait_after(ATTEMPTS, None, 0.0), None);
        assert_eq!(wait_after(1, None, 1.0), Some(Duration::from_secs(6)));
    }

    #[test]
    fn retry_after_counts_between_the_wait_and_twice_the_wait() {
        let wait = |asked| {
            wait_after(2, Some(Duration::from_secs(asked)), 0.0)
                .unwrap()
                .as_secs()
        };
        assert_eq!((wait(0), wait(400), wait(100_000)), (300, 400, 600));
    }

    #[test]
    fn the_host_s_own_events_are_well_formed() {
        let endpoint = Endpoint {
            id: EndpointId::generate(),
            url: "https://example.com/hook".to_owned(),
            description: String::new(),
            topics: Vec::new(),
            enabled: true,
            rate_per_minute: None,
            created_at: Timestamp(0),
            failing_since: Some(Timestamp(0)),
            disabled_at: None,
            disabled_because: None,
        };
        let told = disabled_event(&endpoint, "it answered 410", Timestamp(1));
        assert_eq!(told.event.topic.as_str(), DISABLED);
        assert_eq!(told.event.source.as_str(), HOST_SOURCE);
        let data: Value = serde_json::from_str(&told.data).unwrap();
        assert_eq!(data["because"], "it answered 410");
        assert_eq!(data["failing_since"], "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in DeliveryState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("dead".parse::<DeliveryState>().is_err());
    }
}
