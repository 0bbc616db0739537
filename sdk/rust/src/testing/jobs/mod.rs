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
pub(super) use spec::{Events, JobSpec, ScheduleSpec, Span, Subscription};
pub(crate) use transaction::TransactionHandle;

use super::budget::Limits;
use super::manifest::Manifest;
use crate::context::Trigger;
use crate::jobs::Origin;
use crate::steps;
use queue::Queue;
use schedule::Schedule;

/// The longest name of a step, in bytes.
const MAX_STEP_NAME: usize = 100;

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
    /// The webhooks that were received, by name and id of the message.
    received: RefCell<BTreeSet<(String, String)>>,
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
            received: RefCell::default(),
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

    /// Adds the job of a webhook with this name and id of the message, unless it was received
    /// before.
    pub fn receive(
        &self,
        (name, message): (String, String),
        job: &str,
        body: String,
        headers: Vec<(String, String)>,
        now_ms: i64,
    ) {
        if !self.received.borrow_mut().insert((name.clone(), message)) {
            return;
        }
        let Some(spec) = self.spec(job) else {
            unreachable!("the jobs of webhooks were compared with the manifest's");
        };
        let origin = Origin::Webhook { name, headers };
        let entry = self.entry(&spec, body, origin, 0, now_ms);
        self.queue.borrow_mut().add(entry);
    }

    /// The id of the running job. Without one, the error says so.
    pub fn running_job(&self, trigger: Trigger) -> Result<String, String> {
        let running = self.running.borrow();
        let id = running.as_ref().map(|running| running.id.clone());
        id.ok_or_else(|| {
            let trigger = match trigger {
                Trigger::Http => "http",
                Trigger::Job => "job",
                Trigger::Socket => "socket",
                Trigger::Function => "function",
            };
            format!("this invocation runs no job: its trigger is `{trigger}`")
        })
    }

    /// The result of a step of the running job.
    pub fn load_step(&self, job: String, name: &str) -> Result<Option<String>, steps::Error> {
        check_step_name(name)?;
        Ok(self.steps.borrow().get(&(job, name.to_owned())).cloned())
    }

    /// Checks a step whose result is to be stored. `pending` is the number of results that wait for
    /// their transaction to commit.
    pub fn check_step(
        &self,
        job: &str,
        name: &str,
        result: &str,
        pending: usize,
        limits: &Limits,
    ) -> Result<(), steps::Error> {
        check_step_name(name)?;
        let most = limits.step_bytes;
        if result.len() > most.0 {
            return Err(steps::Error::Limit(format!(
                "the result of the step has {} bytes, and the plan allows {most} (`step_bytes`); store the data in a \
                 table",
                result.len()
            )));
        }
        let steps = self.steps.borrow();
        let is_stored = steps.contains_key(&(job.to_owned(), name.to_owned()));
        let stored = steps.keys().filter(|(of, _)| of == job).count();
        if !is_stored && stored + pending >= limits.steps as usize {
            return Err(steps::Error::Limit(format!(
                "the job has {} steps already, which is all it may have; put more work into each step",
                limits.steps
            )));
        }
        Ok(())
    }

    /// Stores the result of a step. A result that is stored already stays.
    pub fn store_step(&self, job: String, name: String, result: String) {
        self.steps.borrow_mut().entry((job, name)).or_insert(result);
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

fn check_step_name(name: &str) -> Result<(), steps::Error> {
    if name.len() <= MAX_STEP_NAME {
        return Ok(());
    }
    Err(steps::Error::Invalid(format!(
        "the name of the step has {} bytes, and {MAX_STEP_NAME} is the most",
        name.len()
    )))
}
