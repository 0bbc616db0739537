//! The host calls of a transaction that do more than SQL: jobs, events, completing the running job
//! and its steps.

use tokio::time::Instant;
use wasmtime::component::Resource;

use super::super::bindings::jobs::NewJob as Wanted;
use super::super::jobs::{self, Added, JobQueue, NotEnqueued, PublishError};
use super::super::{events, steps};
use super::host::Answered;
use super::{DatabaseError, DatabaseView, Effects, OnCommit, OutboxRoom, Step, Transaction};
use crate::domain::id::TenantId;
use crate::domain::limits::Limits;
use crate::domain::outbox::{OutboxEntry, PublishedEvent};
use crate::fail_point;

impl DatabaseView<'_> {
    /// Adds a job that exists if and only if the transaction commits. Returns its id.
    pub(super) async fn enqueue_in(
        &mut self,
        transaction: &Resource<Transaction>,
        wanted: Wanted,
    ) -> Answered<String, DatabaseError> {
        if let Err(error) = self.charge_in(transaction, jobs::bytes(&wanted))? {
            return Ok(Err(error));
        }
        let job = match jobs::build(self.invocation, wanted) {
            Ok(job) => job,
            Err(error) => return Ok(Err(error.into())),
        };
        let room = match self.jobs.reserve(job.tenant, 1, self.invocation.limits()) {
            Ok(room) => room,
            Err(error) => return Ok(Err(NotEnqueued::from(error).into())),
        };
        let (id, payload, depth) = (job.id, job.payload.len(), job.depth);
        let added = self.add_in(transaction, &OutboxEntry::Job(job), room).await?;
        Ok(added.map(|()| {
            Added::Job.count(self.invocation, payload, depth);
            id.to_string()
        }))
    }

    /// Publishes an event that is delivered if and only if the transaction commits. Returns its id.
    pub(super) async fn publish_in(
        &mut self,
        transaction: &Resource<Transaction>,
        topic: &str,
        data: String,
    ) -> Answered<String, DatabaseError> {
        if let Err(error) = self.charge_in(transaction, topic.len() + data.len())? {
            return Ok(Err(error));
        }
        let event = match events::build(self.invocation, topic, data) {
            Ok(event) => event,
            Err(error) => return Ok(Err(error.into())),
        };
        let (tenant, limits) = (self.invocation.active.tenant, self.invocation.limits());
        let room = match room_for(&**self.jobs, tenant, &event, limits).await {
            Ok(room) => room,
            Err(error) => return Ok(Err(events::NotPublished::from(error).into())),
        };
        let (id, payload, depth) = (event.event.id, event.data.len(), event.depth);
        let added = self.add_in(transaction, &OutboxEntry::Event(event), room).await?;
        Ok(added.map(|()| {
            Added::Event.count(self.invocation, payload, depth);
            id.to_string()
        }))
    }

    /// Marks the running job as completed if and only if the transaction commits.
    pub(super) async fn complete_in(
        &mut self,
        transaction: &Resource<Transaction>,
    ) -> Answered<(), DatabaseError> {
        let job = match self.charge_in(transaction, 0)? {
            Ok(()) => steps::running_job(self.invocation),
            Err(error) => Err(error),
        };
        let job = match job {
            Ok(job) => job,
            Err(error) => return Ok(Err(error)),
        };
        let began = Instant::now();
        let completed = self.table.get_mut(transaction)?.complete(job).await;
        self.count_time(began);
        Ok(completed)
    }

    /// Stores the result of a step if and only if the transaction commits.
    pub(super) async fn store_step_in(
        &mut self,
        transaction: &Resource<Transaction>,
        name: String,
        result: String,
    ) -> Answered<(), DatabaseError> {
        let bytes = result.len();
        let step: Result<Step, _> = match self.charge_in(transaction, name.len() + bytes)? {
            Ok(()) => steps::build(self.invocation, name, result),
            Err(error) => Err(error),
        };
        let step = match step {
            Ok(step) => step,
            Err(error) => return Ok(Err(error)),
        };
        let began = Instant::now();
        let stored = self.table.get_mut(transaction)?.store_step(step).await;
        self.count_time(began);
        Ok(stored.map(|count| steps::count(self.invocation, bytes, count)))
    }

    /// Commits, and tells the job queue of entries in the outbox.
    pub(super) async fn commit_in(
        &mut self,
        transaction: &Resource<Transaction>,
    ) -> Answered<(), DatabaseError> {
        if let Err(error) = self.charge(0) {
            return Ok(Err(error));
        }
        let (queue, tenant) = (self.jobs.clone(), self.invocation.active.tenant);
        let then: OnCommit = Box::new(move |effects: Effects| {
            if effects.completed_job {
                fail_point::reach("after-effect");
            }
            if effects.outbox_entries > 0 {
                queue.outbox_written(tenant);
            }
        });
        let committed = self.table.get_mut(transaction)?.commit(then).await;
        Ok(committed.map(|effects| {
            if let Some(running) = &mut self.invocation.job {
                running.completed |= effects.completed_job;
            }
        }))
    }

    async fn add_in(
        &mut self,
        transaction: &Resource<Transaction>,
        entry: &OutboxEntry,
        room: Box<dyn OutboxRoom>,
    ) -> Answered<(), DatabaseError> {
        let entry = serde_json::to_string(entry)?;
        let began = Instant::now();
        let opened = self.table.get_mut(transaction)?;
        let added = opened.add_to_outbox(entry, room, &**self.jobs).await;
        self.count_time(began);
        Ok(added)
    }

    /// Counts a host call, checks the grant, and reports that the transaction has ended.
    pub(super) fn charge_in(
        &mut self,
        transaction: &Resource<Transaction>,
        bytes: usize,
    ) -> Answered<(), DatabaseError> {
        let is_open = self.table.get(transaction)?.check_open();
        Ok(self.charge(bytes).and(is_open))
    }
}

/// Reserves room for the jobs of an event's receivers, and for one if it has none: its entry waits
/// like that of a job.
async fn room_for(
    queue: &dyn JobQueue,
    tenant: TenantId,
    event: &PublishedEvent,
    limits: &Limits,
) -> Result<Box<dyn OutboxRoom>, PublishError> {
    let receivers = queue.receivers(tenant, &event.event.topic).await?;
    Ok(queue.reserve(tenant, receivers.max(1), limits)?)
}

impl From<NotEnqueued> for DatabaseError {
    fn from(error: NotEnqueued) -> Self {
        let why = error.to_string();
        match error {
            NotEnqueued::UnknownJob { .. } | NotEnqueued::Invalid(_) => Self::Invalid(why),
            NotEnqueued::TooLarge(_) | NotEnqueued::Limit(_) => Self::Limit(why),
            NotEnqueued::Unavailable(_) => Self::Unavailable(why),
        }
    }
}

impl From<events::NotPublished> for DatabaseError {
    fn from(error: events::NotPublished) -> Self {
        let why = error.to_string();
        match error {
            events::NotPublished::Invalid(_) => Self::Invalid(why),
            events::NotPublished::NotGranted(_) => Self::Denied(why),
            events::NotPublished::TooLarge(_) | events::NotPublished::Limit(_) => Self::Limit(why),
            events::NotPublished::Unavailable(_) => Self::Unavailable(why),
        }
    }
}
