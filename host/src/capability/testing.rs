//! Test invocations, and a job queue and mail in memory, for host calls without WebAssembly.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::time::Instant;

use super::database::{DatabaseError, OutboxMarks, OutboxRoom};
use super::email::{MailQueue, MailRefused, MailSender};
use super::jobs::queue::{JobQueue, PublishError, QueueError};
use super::{ActiveVersion, Invocation};
use crate::domain::clock::{Clock as _, SystemClock};
use crate::domain::event::{MOST_RECEIVERS, Topic};
use crate::domain::grant::Grants;
use crate::domain::id::{InvocationId, JobId, MailId, TenantId, VersionDigest};
use crate::domain::invocation::{Trigger, Usage};
use crate::domain::job::{JobSpec, NewJob};
use crate::domain::limits::Limits;
use crate::domain::mail::Draft;
use crate::domain::outbox::{OutboxMark, PublishedEvent};
use crate::domain::units::as_u64;

/// An invocation of the plugin `plugin` of a new tenant `tenant`, without settings or secrets.
pub fn invocation(limits: Limits, grants: Grants) -> Invocation {
    let wall = limits.wall.0;
    Invocation {
        id: InvocationId::generate(),
        active: Arc::new(ActiveVersion {
            snapshot: 0,
            tenant: TenantId::generate(),
            tenant_name: "tenant".parse().expect("it is a tenant's name"),
            plugin: "plugin".parse().expect("it is a plugin's name"),
            digest: VersionDigest::of(b"component"),
            version: "1.0.0".to_owned(),
            limits: Arc::new(limits),
            grants: Arc::new(grants),
            config: Arc::default(),
            secrets: Arc::default(),
            jobs: Arc::default(),
            mail_from: None,
            templates: Arc::default(),
        }),
        trigger: Trigger::Http,
        principal: None,
        call_depth: 0,
        traceparent: None,
        remote_address: None,
        started_at: SystemClock.now(),
        deadline: Instant::now() + wall,
        clock: Arc::new(SystemClock),
        cpu_time: Arc::default(),
        usage: Usage::default(),
        held: 0,
        job: None,
        last_calls: Default::default(),
        log_lines: Vec::new(),
        revealed: Vec::new(),
    }
}

/// Gives the plugin of `invocation` these kinds of jobs, written as in a manifest.
pub fn declare_jobs(invocation: &mut Invocation, jobs: &[&str]) {
    let specs = jobs.iter().map(|job| toml::from_str::<JobSpec>(job).unwrap());
    let specs = specs.map(|spec| (spec.name.clone(), spec)).collect();
    Arc::make_mut(&mut invocation.active).jobs = Arc::new(specs);
}

/// What a [`QueueInMemory`] was told.
#[derive(Default)]
pub struct Told {
    /// The added jobs.
    pub jobs: Vec<NewJob>,
    /// The published events.
    pub events: Vec<PublishedEvent>,
    /// The marks of outboxes.
    pub marks: BTreeMap<TenantId, OutboxMark>,
    /// The tenants whose outboxes were written, once for each transaction.
    pub written: Vec<TenantId>,
}

/// A job queue that remembers what it was told.
#[derive(Default)]
pub struct QueueInMemory {
    told: Mutex<Told>,
    fails: Mutex<Option<QueueError>>,
    /// The receivers of each event, if they were set; one otherwise.
    receivers: Mutex<Option<u64>>,
    /// The jobs for which transactions have room, or had it when they were committed.
    reserved: Arc<AtomicU64>,
}

/// Room that a [`QueueInMemory`] gave.
struct RoomInMemory {
    jobs: u64,
    reserved: Arc<AtomicU64>,
    is_committed: bool,
}

impl OutboxRoom for RoomInMemory {
    fn jobs(&self) -> u64 {
        self.jobs
    }

    fn committed(mut self: Box<Self>) {
        self.is_committed = true;
    }
}

impl Drop for RoomInMemory {
    fn drop(&mut self) {
        if !self.is_committed {
            self.reserved.fetch_sub(self.jobs, Ordering::SeqCst);
        }
    }
}

impl QueueInMemory {
    /// What the queue was told.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    /// Sets the error of every call.
    pub fn fail(&self, error: Option<QueueError>) {
        *self.fails.lock().unwrap() = error;
    }

    /// Sets how many receivers each event has.
    pub fn set_receivers(&self, receivers: u64) {
        *self.receivers.lock().unwrap() = Some(receivers);
    }

    /// The jobs for which open and committed transactions have room.
    pub fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), QueueError> {
        self.fails.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn check_marks(&self) -> Result<(), DatabaseError> {
        self.check()
            .map_err(|error| DatabaseError::Unavailable(error.to_string()))
    }
}

#[async_trait]
impl OutboxMarks for QueueInMemory {
    async fn mark(&self, tenant: TenantId) -> Result<Option<OutboxMark>, DatabaseError> {
        self.check_marks()?;
        Ok(self.told().marks.get(&tenant).cloned())
    }

    async fn set_epoch(&self, tenant: TenantId, epoch: &str) -> Result<(), DatabaseError> {
        self.check_marks()?;
        let mark = OutboxMark {
            epoch: epoch.to_owned(),
            sequence: 0,
        };
        self.told().marks.insert(tenant, mark);
        Ok(())
    }
}

#[async_trait]
impl JobQueue for QueueInMemory {
    async fn add(&self, job: NewJob, _: &Limits) -> Result<JobId, QueueError> {
        self.check()?;
        let id = job.id;
        self.told().jobs.push(job);
        Ok(id)
    }

    async fn publish(&self, tenant: TenantId, event: PublishedEvent, _: &Limits) -> Result<(), PublishError> {
        self.receivers(tenant, &event.event.topic).await?;
        self.told().events.push(event);
        Ok(())
    }

    async fn receivers(&self, _: TenantId, _: &Topic) -> Result<u64, PublishError> {
        self.check()?;
        let receivers = self.receivers.lock().unwrap().unwrap_or(1);
        match receivers <= u64::from(MOST_RECEIVERS) {
            true => Ok(receivers),
            false => Err(PublishError::TooManyReceivers),
        }
    }

    fn has_room(&self, _: TenantId, more: u64, limits: &Limits) -> Result<(), QueueError> {
        self.check()?;
        let live = as_u64(self.told().jobs.len()) + self.reserved();
        let limit = limits.job_backlog.into();
        if live + more > limit {
            return Err(QueueError::Full { live, limit });
        }
        Ok(())
    }

    fn reserve(
        &self,
        tenant: TenantId,
        jobs: u64,
        limits: &Limits,
    ) -> Result<Box<dyn OutboxRoom>, QueueError> {
        self.has_room(tenant, jobs, limits)?;
        self.reserved.fetch_add(jobs, Ordering::SeqCst);
        Ok(Box::new(RoomInMemory {
            jobs,
            reserved: self.reserved.clone(),
            is_committed: false,
        }))
    }

    fn outbox_written(&self, tenant: TenantId) {
        self.told().written.push(tenant);
    }
}

/// Remembers the mail that it takes.
#[derive(Default)]
pub struct MailInMemory {
    drafts: Mutex<Vec<Draft>>,
    fails: Option<MailRefused>,
}

impl MailInMemory {
    /// Refuses each mail.
    pub fn failing(error: MailRefused) -> Self {
        Self {
            drafts: Mutex::default(),
            fails: Some(error),
        }
    }

    /// The mail that it has taken.
    pub fn drafts(&self) -> MutexGuard<'_, Vec<Draft>> {
        self.drafts.lock().unwrap()
    }
}

#[async_trait]
impl MailQueue for MailInMemory {
    async fn add(&self, _: MailSender<'_>, draft: Draft, _: &Limits) -> Result<MailId, MailRefused> {
        if let Some(error) = &self.fails {
            return Err(error.clone());
        }
        self.drafts().push(draft);
        Ok(MailId::generate())
    }
}
