//! The part of a snapshot about work outside of requests: kinds of jobs, schedules, subscriptions
//! and webhooks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::snapshot::{EntryPoint, PluginRoutes};
use super::webhook::WebhookEntry;
use crate::capability::ActiveVersion;
use crate::domain::cron::Cron;
use crate::domain::id::{JobName, VersionDigest};
use crate::domain::job::JobSpec;
use crate::domain::limits::LimitOverrides;
use crate::domain::manifest::Manifest;
use crate::domain::manifest_background::Subscription;
use crate::domain::schedule::ScheduleSpec;

/// The kinds of jobs, the schedules, the subscriptions and the webhooks of a version.
#[derive(Clone, Default)]
pub(super) struct BackgroundEntries {
    /// The kinds of jobs, in the order of the manifest.
    pub jobs: Vec<Arc<JobEntry>>,
    /// The same as the manifest declares them, by name.
    pub specs: Arc<BTreeMap<JobName, JobSpec>>,
    /// The schedules, in the order of the manifest.
    pub schedules: Vec<Arc<ScheduleEntry>>,
    /// The subscriptions, in the order of the manifest.
    pub subscriptions: Vec<Subscription>,
    /// The webhooks, in the order of the manifest.
    pub webhooks: Vec<Arc<WebhookEntry>>,
}

/// A kind of job of a version.
pub struct JobEntry {
    /// Its declaration.
    pub spec: JobSpec,
    /// The data that all entry points share.
    pub entry: EntryPoint,
}

/// A kind of job and the version that runs it.
#[derive(Clone)]
pub struct CallableJob {
    /// The kind of job.
    pub job: Arc<JobEntry>,
    /// The version that runs, with the limits of the job: its `cpu` and `wall` are those of jobs.
    pub active: Arc<ActiveVersion>,
}

/// A schedule of a version.
pub struct ScheduleEntry {
    /// Its declaration.
    pub spec: ScheduleSpec,
    /// Its times.
    pub cron: Cron,
}

impl BackgroundEntries {
    /// The entries of a version. `entry` makes the entry point of a kind of job.
    pub fn new(manifest: &Manifest, digest: VersionDigest, entry: impl Fn() -> EntryPoint) -> Self {
        let job = |spec: &JobSpec| {
            Arc::new(JobEntry {
                spec: spec.clone(),
                entry: entry(),
            })
        };
        let specs = manifest.jobs.iter().map(|spec| (spec.name.clone(), spec.clone()));
        Self {
            jobs: manifest.jobs.iter().map(job).collect(),
            specs: Arc::new(specs.collect()),
            schedules: manifest
                .schedules
                .iter()
                .filter_map(|spec| schedule(spec, digest))
                .collect(),
            subscriptions: manifest.subscriptions.clone(),
            webhooks: manifest
                .webhooks
                .iter()
                .filter_map(|spec| WebhookEntry::new(spec, digest))
                .collect(),
        }
    }

    /// The kinds of jobs with the version that runs them, by name.
    pub fn callable(&self, active: &Arc<ActiveVersion>) -> HashMap<JobName, CallableJob> {
        let limits = active.limits.for_jobs();
        let with = |limits| {
            Arc::new(ActiveVersion {
                limits: Arc::new(limits),
                ..ActiveVersion::clone(active)
            })
        };
        let without_own_limits = with(limits.clone());
        let callable = |job: &Arc<JobEntry>| {
            let own = job.spec.limits.overrides();
            let active = match own == LimitOverrides::default() {
                true => without_own_limits.clone(),
                false => with(limits.lowered_by(&own)),
            };
            let job = job.clone();
            (job.spec.name.clone(), CallableJob { job, active })
        };
        self.jobs.iter().map(callable).collect()
    }
}

/// A schedule with its times. It was checked at the upload. If it is not valid any more, for
/// example because the database of time zones changed, the plugin is served without it.
fn schedule(spec: &ScheduleSpec, digest: VersionDigest) -> Option<Arc<ScheduleEntry>> {
    match Cron::parse(&spec.cron, &spec.zone) {
        Ok(cron) => Some(Arc::new(ScheduleEntry {
            spec: spec.clone(),
            cron,
        })),
        Err(error) => {
            tracing::error!(version = %digest, schedule = %spec.name, %error, "a schedule does not run");
            None
        }
    }
}

impl PluginRoutes {
    /// The kinds of jobs with the version that runs them, by name.
    pub fn jobs(&self) -> &HashMap<JobName, CallableJob> {
        &self.jobs
    }

    /// The schedules, in the order of the manifest.
    pub fn schedules(&self) -> &[Arc<ScheduleEntry>] {
        &self.router.background.schedules
    }

    /// The subscriptions, in the order of the manifest.
    pub fn subscriptions(&self) -> &[Subscription] {
        &self.router.background.subscriptions
    }

    /// The webhooks, in the order of the manifest.
    pub fn webhooks(&self) -> &[Arc<WebhookEntry>] {
        &self.router.background.webhooks
    }

    /// The webhook of this name.
    pub fn webhook(&self, name: &str) -> Option<&Arc<WebhookEntry>> {
        self.webhooks()
            .iter()
            .find(|webhook| webhook.spec.name.as_str() == name)
    }
}
