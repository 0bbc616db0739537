//! The part of a manifest about work outside of requests: kinds of jobs, schedules, topics of
//! events, subscriptions, and webhooks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::cron::Cron;
use super::event::TopicPattern;
use super::id::JobName;
use super::job::JobSpec;
use super::limits::LimitOverrides;
use super::manifest::{Manifest, ManifestError, meaning};
use super::outbox::UNUSABLE_ENTRY;
use super::schedule::{CatchUp, MAX_CAUGHT_UP, ScheduleSpec};
use super::units::{ByteSize, Span, as_u64};

/// Events that the plugin publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsSection {
    /// Topics, or patterns of topics.
    pub publish: Vec<TopicPattern>,
}

/// A subscription: each event with a matching topic adds a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// The topic, or a pattern of topics.
    pub topic: TopicPattern,
    /// The kind of job.
    pub job: JobName,
}

/// The most kinds of jobs of a plugin. Those of every active version are held in memory.
const MAX_JOBS: usize = 200;

/// The most schedules of a plugin, for the same reason.
const MAX_SCHEDULES: usize = 200;

/// The most subscriptions of a plugin. Each published event is compared with all of a tenant.
const MAX_SUBSCRIPTIONS: usize = 200;

/// The most webhooks of a plugin, for the same reason as kinds of jobs.
const MAX_WEBHOOKS: usize = 100;

/// The most attempts of a job.
const MAX_ATTEMPTS: u32 = 100;

/// The most jobs of a concurrency key that run at once, which is also the most of a tenant.
const MAX_CONCURRENCY: u32 = 1_024;

/// The longest wait between two attempts of a job.
const MAX_BACKOFF: Span = Span::s(7 * 24 * 60 * 60);

/// The largest payload of the jobs of a schedule.
const MAX_SCHEDULE_PAYLOAD: ByteSize = ByteSize::kib(64);

impl Manifest {
    /// The limits of kinds of jobs, with their keys. They lower the limits of jobs, not those of
    /// requests.
    pub fn job_limits(&self) -> Vec<(String, LimitOverrides)> {
        let jobs = self.jobs.iter().enumerate();
        jobs.map(|(index, job)| (format!("job[{index}].limits"), job.limits.overrides()))
            .collect()
    }
}

/// Checks the values of this part of a manifest.
pub(super) fn check(manifest: &Manifest) -> Result<(), ManifestError> {
    check_count("job", "kinds of jobs", manifest.jobs.len(), MAX_JOBS)?;
    check_count("schedule", "schedules", manifest.schedules.len(), MAX_SCHEDULES)?;
    check_count(
        "subscribe",
        "subscriptions",
        manifest.subscriptions.len(),
        MAX_SUBSCRIPTIONS,
    )?;
    let mut jobs = BTreeSet::new();
    for (index, job) in manifest.jobs.iter().enumerate() {
        let place = |field: &str| format!("job[{index}].{field}");
        if !jobs.insert(&job.name) {
            return Err(meaning(place("name"), format!("{} is defined twice", job.name)));
        }
        check_job(job).map_err(|(field, problem)| meaning(place(field), problem))?;
    }
    let mut schedules = BTreeSet::new();
    for (index, schedule) in manifest.schedules.iter().enumerate() {
        let place = |field: &str| format!("schedule[{index}].{field}");
        if !schedules.insert(&schedule.name) {
            return Err(meaning(
                place("name"),
                format!("{} is defined twice", schedule.name),
            ));
        }
        check_job_name(&schedule.job, &jobs).map_err(|problem| meaning(place("job"), problem))?;
        check_schedule(schedule).map_err(|(field, problem)| meaning(place(field), problem))?;
    }
    let mut subscriptions = BTreeSet::new();
    for (index, subscription) in manifest.subscriptions.iter().enumerate() {
        let place = |field: &str| format!("subscribe[{index}].{field}");
        let Subscription { topic, job } = subscription;
        check_job_name(job, &jobs).map_err(|problem| meaning(place("job"), problem))?;
        if !subscriptions.insert(subscription) {
            let problem = format!("the job {job} subscribes to {topic} twice");
            return Err(meaning(place("topic"), problem));
        }
    }
    check_webhooks(manifest, &jobs)
}

fn check_webhooks(manifest: &Manifest, jobs: &BTreeSet<&JobName>) -> Result<(), ManifestError> {
    check_count("webhook", "webhooks", manifest.webhooks.len(), MAX_WEBHOOKS)?;
    let mut webhooks = BTreeSet::new();
    for (index, webhook) in manifest.webhooks.iter().enumerate() {
        let place = |field: &str| format!("webhook[{index}].{field}");
        if !webhooks.insert(&webhook.name) {
            let problem = format!("{} is defined twice", webhook.name);
            return Err(meaning(place("name"), problem));
        }
        check_job_name(&webhook.job, jobs).map_err(|problem| meaning(place("job"), problem))?;
        webhook
            .check()
            .map_err(|(field, problem)| meaning(place(field), problem))?;
    }
    Ok(())
}

fn check_count(place: &str, what: &str, count: usize, most: usize) -> Result<(), ManifestError> {
    match count > most {
        true => Err(meaning(place, format!("{count} {what} are more than {most}"))),
        false => Ok(()),
    }
}

fn check_job(job: &JobSpec) -> Result<(), (&'static str, String)> {
    if job.name.as_str() == UNUSABLE_ENTRY {
        let problem = format!(
            "`{UNUSABLE_ENTRY}` is the host's name for damaged entries of an outbox; choose another name"
        );
        return Err(("name", problem));
    }
    let attempts = job.attempts.get();
    if attempts > MAX_ATTEMPTS {
        return Err((
            "attempts",
            format!("{attempts} attempts are more than {MAX_ATTEMPTS}"),
        ));
    }
    let backoff = &job.backoff;
    if backoff.max > MAX_BACKOFF {
        let problem = format!(
            "{} is longer than {MAX_BACKOFF}, the longest possible wait",
            backoff.max
        );
        return Err(("backoff.max", problem));
    }
    if backoff.initial > backoff.max {
        let problem = format!(
            "{} is longer than `max`, which is {}; the wait grows from the one to the other",
            backoff.initial, backoff.max
        );
        return Err(("backoff.initial", problem));
    }
    match job.concurrency {
        Some(bound) if bound.limit.get() > MAX_CONCURRENCY => Err((
            "concurrency.limit",
            format!(
                "{} are more than {MAX_CONCURRENCY}, the most jobs of a tenant that can run at once",
                bound.limit
            ),
        )),
        _ => Ok(()),
    }
}

fn check_job_name(name: &JobName, jobs: &BTreeSet<&JobName>) -> Result<(), String> {
    if jobs.contains(name) {
        return Ok(());
    }
    let names: Vec<&str> = jobs.iter().map(|job| job.as_str()).collect();
    let declared = match names.is_empty() {
        true => "the manifest declares no job".to_owned(),
        false => format!("the manifest declares {}", names.join(", ")),
    };
    Err(format!("no [[job]] is named `{name}`; {declared}"))
}

fn check_schedule(schedule: &ScheduleSpec) -> Result<(), (&'static str, String)> {
    Cron::parse(&schedule.cron, &schedule.zone).map_err(|error| (error.key(), error.to_string()))?;
    let size = ByteSize(as_u64(schedule.payload.len()));
    if size > MAX_SCHEDULE_PAYLOAD {
        let problem = format!("{size} are more than the {MAX_SCHEDULE_PAYLOAD} that a schedule can carry");
        return Err(("payload", problem));
    }
    match schedule.catch_up {
        CatchUp::All(0) => Err((
            "catch_up",
            "`all = 0` catches up on nothing; write \"skip\"".to_owned(),
        )),
        CatchUp::All(most) if most > MAX_CAUGHT_UP => Err((
            "catch_up",
            format!("{most} jobs are more than {MAX_CAUGHT_UP}, the most that are caught up on"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::Overlap;

    const PLUGIN: &str = "[plugin]\nname = 'p'\nversion = '1'\n";
    const JOB: &str = "[[job]]\nname = 'report'\n";

    fn parsed(manifest: &str) -> Result<Manifest, String> {
        Manifest::parse(&format!("{PLUGIN}{manifest}")).map_err(|error| error.to_string())
    }

    #[test]
    fn jobs_schedules_and_subscriptions_are_read() {
        let manifest = parsed(
            r#"
            [[job]]
            name = "sync-erp"
            attempts = 3
            backoff = { initial = "10s", max = "1h" }
            concurrency = { limit = 1, ordered = true }
            limits = { cpu = "2s", wall = "30s" }

            [[job]]
            name = "report"

            [[schedule]]
            name = "nightly"
            cron = "0 2 * * *"
            zone = "Europe/Amsterdam"
            job = "report"
            payload = '{"days": 1}'
            catch_up = { all = 24 }
            overlap = "queue"

            [[schedule]]
            name = "often"
            cron = "*/10 * * * * *"
            job = "report"

            [events]
            publish = ["order.*", "stock.>"]

            [[subscribe]]
            topic = "payment.settled"
            job = "sync-erp"

            [[webhook]]
            name = "stripe"
            scheme = "stripe"
            secrets = ["stripe_webhook", "stripe_webhook_next"]
            job = "sync-erp"
            tolerance = "10min"
            "#,
        )
        .unwrap();
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
        let [sync, report] = manifest.jobs.as_slice() else {
            panic!("{:?}", manifest.jobs);
        };
        assert_eq!((sync.attempts.get(), report.attempts.get()), (3, 8));
        assert!(sync.concurrency.unwrap().ordered && report.concurrency.is_none());
        assert_eq!(report.backoff.initial, Span::s(1));
        let [nightly, often] = manifest.schedules.as_slice() else {
            panic!("{:?}", manifest.schedules);
        };
        assert_eq!(
            (nightly.catch_up, nightly.overlap),
            (CatchUp::All(24), Overlap::Queue)
        );
        assert_eq!((often.zone.as_str(), often.payload.as_str()), ("UTC", "{}"));
        assert_eq!(manifest.events.publish.len(), 2);
        assert_eq!(manifest.subscriptions[0].topic.as_str(), "payment.settled");
        assert_eq!(manifest.webhooks[0].secrets.len(), 2);
        let limits = manifest.job_limits();
        assert_eq!(limits[0].0, "job[0].limits");
        assert_eq!(limits[0].1.cpu, Some(Span::s(2)));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let job = |more: &str| format!("{JOB}{more}\n");
        let schedule = |more: &str| format!("{JOB}[[schedule]]\nname = 's'\njob = 'report'\n{more}\n");
        let subscribe = |more: &str| format!("{JOB}[[subscribe]]\n{more}\n");
        let webhook =
            |more: &str| format!("{JOB}[[webhook]]\nname = 'in'\nsecrets = ['k']\njob = 'report'\n{more}\n");
        for (manifest, wanted) in [
            (job(JOB), "job[1].name: report is defined twice"),
            (
                job("[[job]]\nname = 'unusable-outbox-entry'"),
                "job[1].name: `unusable-outbox-entry` is the host's name",
            ),
            (
                job("attempts = 101"),
                "job[0].attempts: 101 attempts are more than 100",
            ),
            (job("attempts = 0"), "expected a nonzero u32"),
            (
                job("backoff = { initial = '10s', max = '5s' }"),
                "job[0].backoff.initial: 10s is longer than `max`, which is 5s",
            ),
            (
                job("backoff = { max = '169h' }"),
                "job[0].backoff.max: 169h is longer than 168h",
            ),
            (job("concurrency = {}"), "missing field `limit`"),
            (job("concurrency = { limit = 0 }"), "expected a nonzero u32"),
            (
                job("concurrency = { limit = 1025 }"),
                "job[0].concurrency.limit: 1025 are more than 1024",
            ),
            (job("limits = { sql_rows = 1 }"), "unknown field `sql_rows`"),
            (job("retries = 1"), "unknown field `retries`"),
            (
                "[[job]]\nname = 'Report'\n".to_owned(),
                "`Report` is not a job name",
            ),
            (
                schedule("cron = '0 25 * * *'"),
                "schedule[0].cron: `25` is no hour; write minute, hour",
            ),
            (
                schedule("cron = '0 2 * * *'\nzone = 'Europe/Atlantis'"),
                "schedule[0].zone: no time zone is named `Europe/Atlantis`",
            ),
            (
                schedule("cron = '0 2 30 2 *'"),
                "schedule[0].cron: `0 2 30 2 *` names a time that never comes",
            ),
            (
                schedule("cron = '0 2 * * *'").replace("job = 'report'", "job = 'other'"),
                "schedule[0].job: no [[job]] is named `other`; the manifest declares report",
            ),
            (
                schedule("cron = '0 2 * * *'\n[[schedule]]\nname = 's'\njob = 'report'\ncron = '0 3 * * *'"),
                "schedule[1].name: s is defined twice",
            ),
            (
                schedule("cron = '0 2 * * *'\ncatch_up = { all = 101 }"),
                "schedule[0].catch_up: 101 jobs are more than 100",
            ),
            (
                schedule("cron = '0 2 * * *'\ncatch_up = { all = 0 }"),
                "schedule[0].catch_up: `all = 0` catches up on nothing",
            ),
            (
                schedule(&format!("cron = '0 2 * * *'\npayload = '{}'", "x".repeat(65_537))),
                "schedule[0].payload: 65537B are more than the 64KiB",
            ),
            (
                schedule("cron = '0 2 * * *'\noverlap = 'run'"),
                "unknown variant `run`",
            ),
            (
                subscribe("topic = 'a.b'\njob = 'other'"),
                "subscribe[0].job: no [[job]] is named `other`",
            ),
            (
                "[[subscribe]]\ntopic = 'a.b'\njob = 'x'".to_owned(),
                "the manifest declares no job",
            ),
            (
                subscribe("topic = 'a.>'\njob = 'report'\n[[subscribe]]\ntopic = 'a.>'\njob = 'report'"),
                "subscribe[1].topic: the job report subscribes to a.> twice",
            ),
            (
                subscribe("topic = 'a.>.b'\njob = 'report'"),
                "`a.>.b` is not a topic",
            ),
            (subscribe("topic = 'a*'\njob = 'report'"), "`a*` is not a topic"),
            (
                webhook("scheme = 'github'").replace("job = 'report'", "job = 'other'"),
                "webhook[0].job: no [[job]] is named `other`",
            ),
            (
                webhook(
                    "scheme = 'github'\n[[webhook]]\nname = 'in'\nsecrets = ['k']\njob = 'report'\nscheme = 'github'",
                ),
                "webhook[1].name: in is defined twice",
            ),
            (
                webhook("scheme = 'hmac'"),
                "webhook[0].header: the scheme `hmac` needs",
            ),
            (webhook("scheme = 'md5'"), "unknown variant `md5`"),
            ("[events]\npublish = ['A.b']".to_owned(), "`A.b` is not a topic"),
            ("[events]\nsubscribe = []".to_owned(), "unknown field `subscribe`"),
        ] {
            let error = parsed(&manifest).unwrap_err();
            assert!(error.contains(wanted), "{error} does not contain {wanted}");
        }
    }

    #[test]
    fn there_are_only_so_many_of_each() {
        let jobs = |count: usize| {
            (0..count)
                .map(|n| format!("[[job]]\nname = 'j{n}'\n"))
                .collect::<String>()
        };
        let schedules = |count: usize| {
            let schedule = |n| format!("[[schedule]]\nname = 's{n}'\ncron = '0 2 * * *'\njob = 'j0'\n");
            jobs(1) + &(0..count).map(schedule).collect::<String>()
        };
        let subscriptions = |count: usize| {
            let subscription = |n| format!("[[subscribe]]\ntopic = 't{n}'\njob = 'j0'\n");
            jobs(1) + &(0..count).map(subscription).collect::<String>()
        };
        for (most, more, wanted) in [
            (jobs(200), jobs(201), "job: 201 kinds of jobs are more than 200"),
            (
                schedules(200),
                schedules(201),
                "schedule: 201 schedules are more than 200",
            ),
            (
                subscriptions(200),
                subscriptions(201),
                "subscribe: 201 subscriptions are more than 200",
            ),
        ] {
            assert!(parsed(&most).is_ok());
            let error = parsed(&more).unwrap_err();
            assert!(error.contains(wanted), "{error} does not contain {wanted}");
        }
    }

    #[test]
    fn a_stored_manifest_of_another_host_is_read() {
        let without = Manifest::stored(PLUGIN).unwrap();
        assert!(without.jobs.is_empty() && without.schedules.is_empty() && without.subscriptions.is_empty());
        assert!(without.events.publish.is_empty());
        // A newer host has more keys, and checks of this host do not apply to what is stored.
        let later = format!(
            "{PLUGIN}{JOB}attempts = 1000\nqueue = 'fast'\n[[schedule]]\nname = 's'\ncron = 'later'\njob = 'gone'\n\
             jitter = '1s'\n[events]\npublish = ['a.b']\nformat = 'avro'\n"
        );
        assert!(Manifest::parse(&later).is_err());
        let manifest = Manifest::stored(&later).unwrap();
        assert_eq!(manifest.jobs[0].attempts.get(), 1_000);
        assert_eq!(manifest.schedules[0].cron, "later");
        assert_eq!(manifest.events.publish.len(), 1);
    }
}
