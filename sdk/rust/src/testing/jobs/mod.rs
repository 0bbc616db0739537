//! Jobs, schedules and events of the test host, which are kept in memory.
//!
//! - `accept`: the checks of new jobs and events; `queue`: the jobs that wait; `transaction`: what
//!   exists once a transaction commits; `schedule`: the times of schedules; `run`: the part of the
//!   public [`Host`](super::Host); `spec` and `topic`: what the manifest declares.

mod accept;
mod queue;
mod run;
mod schedule;
mod spec;
mod topic;
mod transaction;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

pub(super) use accept::{Accepted, Refusal};
pub use queue::{Outcome, StoredJob};
pub use run::{Attempt, PublishedEvent};
pub(super) use spec::{Events, JobSpec, ScheduleSpec, Subscription};
pub(crate) use transaction::TransactionHandle;

use super::manifest::Manifest;
use crate::db;
use crate::jobs::StepError;
use queue::Queue;
use schedule::Schedule;

/// The longest name of a step, in bytes.
const MAX_STEP_NAME: usize = 100;

const NO_JOB: &str = "the invocation is no job";

/// Jobs, schedules and events of a test host.
pub(super) struct Background {
    /// The jobs of the manifest; `None` without a manifest, which allows every name.
    specs: Option<BTreeMap<String, JobSpec>>,
    /// The topic patterns that are granted; `None` without a manifest, which grants all.
    publishable: Option<Vec<String>>,
    subscriptions: Vec<Subscription>,
    schedules: Vec<Schedule>,
    queue: RefCell<Queue>,
    events: RefCell<Vec<PublishedEvent>>,
    /// The job whose handler runs.
    running: RefCell<Option<Running>>,
    /// Jobs that were completed in a transaction.
    completed: RefCell<BTreeSet<String>>,
    /// The results of steps by job and name.
    steps: RefCell<BTreeMap<(String, String), String>>,
    last_id: Cell<u64>,
}

#[derive(Clone)]
struct Running {
    id: String,
    depth: u32,
}

impl Background {
    /// What the manifest declares, and the subscriptions of the test. Schedules begin at `now_ms`.
    pub fn new(manifest: Option<&Manifest>, subscriptions: Vec<Subscription>, now_ms: i64) -> Self {
        let mut background = Self {
            specs: manifest.map(Manifest::job_specs),
            publishable: manifest.map(|manifest| manifest.events.publish.clone()),
            subscriptions,
            schedules: Vec::new(),
            queue: RefCell::default(),
            events: RefCell::default(),
            running: RefCell::default(),
            completed: RefCell::default(),
            steps: RefCell::default(),
            last_id: Cell::new(0),
        };
        if let Some(manifest) = manifest {
            background
                .subscriptions
                .extend(manifest.subscriptions.iter().cloned());
            let schedules = manifest.schedules.iter();
            background.schedules = schedules.map(|spec| Schedule::new(spec, now_ms)).collect();
        }
        let named = background
            .subscriptions
            .iter()
            .map(|subscription| &subscription.job);
        let named = named.chain(background.schedules.iter().map(|schedule| &schedule.spec.job));
        for job in named {
            assert!(
                background.spec(job).is_some(),
                "a [[schedule]] or a [[subscribe]] has the job `{job}`, but plugin.toml has no such [[job]]"
            );
        }
        background
    }

    /// Adds what was accepted. Returns the id of the job or the event.
    pub fn add(&self, accepted: Accepted) -> String {
        match accepted {
            Accepted::Job(job) => self.queue.borrow_mut().add(*job),
            Accepted::Event(event, jobs) => {
                let id = event.id.clone();
                self.events.borrow_mut().push(event);
                for job in jobs {
                    self.queue.borrow_mut().add(job);
                }
                id
            }
        }
    }

    /// The result of a step of the running job.
    pub fn load_step(&self, name: &str) -> Result<Option<String>, StepError> {
        let job = self.check_step(name)?;
        Ok(self.steps.borrow().get(&(job, name.to_owned())).cloned())
    }

    /// Checks a step of the running job whose result is to be stored. Returns the job.
    pub fn check_step_result(
        &self,
        name: &str,
        result: &str,
        limits: &super::budget::Limits,
    ) -> Result<String, StepError> {
        let job = self.check_step(name)?;
        if result.len() > limits.step_bytes.0 {
            return Err(StepError::Limit(format!(
                "the result of the step has {} bytes, and it may have {} (limit `step_bytes`)",
                result.len(),
                limits.step_bytes
            )));
        }
        let steps = self.steps.borrow();
        let is_stored = steps.contains_key(&(job.clone(), name.to_owned()));
        let stored = steps.keys().filter(|(of, _)| *of == job).count();
        if !is_stored && stored >= limits.steps as usize {
            return Err(StepError::Limit(format!(
                "the job has stored its {} steps (limit `steps`)",
                limits.steps
            )));
        }
        Ok(job)
    }

    /// Stores the result of a step. A result that is stored already stays.
    pub fn store_step(&self, job: String, name: String, result: String) {
        self.steps.borrow_mut().entry((job, name)).or_insert(result);
    }

    /// The running job, if it can be completed.
    fn completable(&self) -> Result<String, db::Error> {
        let running = self.running.borrow();
        let id = running.as_ref().map(|running| running.id.clone());
        let id = id.ok_or_else(|| db::Error::Invalid(NO_JOB.to_owned()))?;
        if self.completed.borrow().contains(&id) {
            return Err(db::Error::Conflict(transaction::COMPLETED.to_owned()));
        }
        Ok(id)
    }

    fn check_step(&self, name: &str) -> Result<String, StepError> {
        let running = self.running.borrow();
        let Some(running) = &*running else {
            return Err(StepError::Invalid(NO_JOB.to_owned()));
        };
        if name.is_empty() || name.len() > MAX_STEP_NAME {
            return Err(StepError::Invalid(format!(
                "the name of a step has 1 to {MAX_STEP_NAME} bytes"
            )));
        }
        Ok(running.id.clone())
    }

    /// The kind of job with this name.
    fn spec(&self, name: &str) -> Option<JobSpec> {
        match &self.specs {
            Some(specs) => specs.get(name).cloned(),
            None => Some(JobSpec::of_name(name)),
        }
    }

    fn next_id(&self) -> String {
        self.last_id.set(self.last_id.get() + 1);
        format!("01900000-0000-7000-8000-{:012x}", self.last_id.get())
    }
}
