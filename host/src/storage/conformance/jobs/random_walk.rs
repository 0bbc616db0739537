//! A property test: whatever is done with jobs in whatever order, the counters are those of the
//! jobs, no bound is exceeded, and no job is forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::{change, name, tenant};
use super::{
    NOW, Policy, counts, discarded, end_of, in_state, keyed, listed, new_job, reap, retry_at, stored,
};
use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, TenantId};
use crate::domain::job::{ClaimedJob, Ending, Job, JobState, NewJob};
use crate::storage::{Acknowledged, Added, JobCounts, JobFilter, Repository};

/// How many jobs of a tenant run at once.
const RUNNING: u32 = 4;

/// Steps between two checks.
const STRIDE: usize = 15;

pub async fn counters_are_those_of_the_jobs_after_any_changes(repository: &dyn Repository) {
    let mut walk = Walk::begin(repository, 1).await;
    walk.go(400).await;
    walk.finish().await;
}

/// A repeatable walk through the operations of the queue.
pub struct Walk<'a> {
    repository: &'a dyn Repository,
    random: Random,
    now: Timestamp,
    tenants: Vec<TenantId>,
    /// All jobs that were ever added.
    added: Vec<(TenantId, JobId)>,
    /// Claims that this test holds. Some of them are stale, because their leases ended.
    claims: Vec<ClaimedJob>,
    cursor: Option<TenantId>,
    /// The highest attempt that was seen of each job.
    attempts: HashMap<JobId, u32>,
    /// Jobs of ordered keys in the order of their addition, until they are first claimed.
    in_order: BTreeMap<(TenantId, String), Vec<JobId>>,
}

/// SplitMix64, so that a failed walk can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap())).unwrap()
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

impl<'a> Walk<'a> {
    /// Creates the tenants.
    pub async fn begin(repository: &'a dyn Repository, seed: u64) -> Self {
        let mut tenants = Vec::new();
        for name in ["acme", "other", "third"] {
            tenants.push(tenant(repository, name).await.id);
        }
        Self {
            repository,
            random: Random(seed),
            now: NOW,
            tenants,
            added: Vec::new(),
            claims: Vec::new(),
            cursor: None,
            attempts: HashMap::new(),
            in_order: BTreeMap::new(),
        }
    }

    /// Goes some steps and checks every few of them.
    pub async fn go(&mut self, steps: usize) {
        for step in 0..steps {
            self.step().await;
            if step % STRIDE == 0 {
                self.check().await;
            }
        }
        self.check().await;
    }

    /// Runs everything that is left. No job may wait for ever.
    pub async fn finish(&mut self) {
        for _ in 0..200 {
            self.now = self.now.saturating_add(std::time::Duration::from_secs(600));
            self.claims.clear();
            reap(self.repository, self.now, 1_000).await;
            self.repository.promote_jobs(self.now, 1_000).await.unwrap();
            self.release(1_000).await;
            let claimed = self.claim(1_000, &Policy::default()).await;
            let ended: Vec<_> = claimed
                .iter()
                .map(|claimed| end_of(claimed, Ending::Done, self.now))
                .collect();
            self.repository.acknowledge_jobs(&ended).await.unwrap();
            self.check().await;
            let mut left = 0;
            for tenant in &self.tenants {
                left += counts(self.repository, *tenant).await.live;
            }
            if left == 0 {
                return;
            }
        }
        panic!("jobs wait for ever");
    }

    async fn step(&mut self) {
        match self.random.below(20) {
            0..4 => self.add().await,
            4..8 => {
                let slots = u32::try_from(self.random.below(6)).unwrap();
                let policy = self.policy();
                let claimed = self.claim(slots, &policy).await;
                self.claims.extend(claimed);
            }
            8..12 => self.acknowledge().await,
            12 => {
                self.now = self
                    .now
                    .saturating_add(std::time::Duration::from_secs(self.random.below(40)));
            }
            13 => {
                let limit = u32::try_from(self.random.below(9)).unwrap();
                self.repository.promote_jobs(self.now, limit).await.unwrap();
            }
            14 => {
                reap(self.repository, self.now, 5).await;
            }
            15 => self.release(2).await,
            16 => {
                if let Some((tenant, id)) = self.any_job() {
                    let cancelled = self.repository.cancel_job(tenant, id, self.now, &change(1)).await;
                    cancelled.unwrap();
                    self.leave_order(id);
                }
            }
            17 => {
                if let Some((tenant, id)) = self.any_job() {
                    let change = change(1);
                    // Somebody else may have its unique key.
                    let _ = self.repository.retry_job(tenant, id, self.now, &change).await;
                    self.leave_order(id);
                }
            }
            18 => {
                if let Some(claimed) = self.any_claim() {
                    let until = self.now.saturating_add(super::LEASE);
                    let (job, claim) = (claimed.job.new.id, claimed.claim);
                    self.repository.extend_lease(job, claim, until).await.unwrap();
                }
            }
            _ => {
                self.change_many().await;
                self.check().await;
            }
        }
    }

    fn leave_order(&mut self, id: JobId) {
        self.in_order
            .values_mut()
            .for_each(|order| order.retain(|other| *other != id));
    }

    fn policy(&mut self) -> Policy {
        let stopped = ["send", "sync", "ordered"].map(name);
        let stopped = stopped.into_iter().filter(|_| self.random.chance(5)).collect();
        Policy {
            running: RUNNING,
            share: 1 + u32::try_from(self.random.below(3)).unwrap(),
            reserved: 0,
            stopped,
        }
    }

    fn any_job(&mut self) -> Option<(TenantId, JobId)> {
        let length = self.added.len();
        (length > 0).then(|| self.added[self.random.index(length)])
    }

    fn any_claim(&mut self) -> Option<ClaimedJob> {
        let length = self.claims.len();
        (length > 0).then(|| self.claims[self.random.index(length)].clone())
    }

    async fn add(&mut self) {
        let mut jobs = Vec::new();
        for _ in 0..=self.random.below(4) {
            let tenant = self.tenants[self.random.index(3)];
            let key = ["a", "b"][self.random.index(2)];
            let mut job = match self.random.below(3) {
                0 => new_job(tenant, "send"),
                1 => keyed(tenant, key, 2, false),
                _ => NewJob {
                    name: name("ordered"),
                    ..keyed(tenant, key, 1, true)
                },
            };
            (job.created_at, job.run_at) = (self.now, self.now);
            job.priority = if job.name.as_str() == "ordered" {
                0
            } else {
                [0, 0, -1][self.random.index(3)]
            };
            job.plugin = name(["orders", "shop"][self.random.index(2)]);
            if job.name.as_str() != "ordered" && self.random.chance(3) {
                let wait = std::time::Duration::from_secs(self.random.below(60));
                job.run_at = self.now.saturating_add(wait);
            }
            if self.random.chance(4) {
                job.unique_key = Some(key.to_owned());
            }
            jobs.push(job);
        }
        let added = self.repository.add_jobs(&jobs).await.unwrap();
        for (job, added) in jobs.iter().zip(added) {
            if added == Added::New(job.id) {
                self.added.push((job.tenant, job.id));
                if job.name.as_str() == "ordered" {
                    self.in_order.entry(ordered_key(job)).or_default().push(job.id);
                }
            }
        }
    }

    async fn claim(&mut self, slots: u32, policy: &Policy) -> Vec<ClaimedJob> {
        let claims = self
            .repository
            .claim_jobs("node-1", self.cursor, slots, self.now, policy);
        let claims = claims.await.unwrap();
        self.cursor = claims.cursor;
        assert!(claims.claimed.len() <= usize::try_from(slots).unwrap());
        for claimed in &claims.claimed {
            let new = &claimed.job.new;
            assert!(claimed.job.attempt <= new.max_attempts);
            assert_eq!(&*new.payload, "{}");
            if new.name.as_str() == "ordered" {
                self.check_order(claimed);
            }
        }
        claims.claimed
    }

    /// Jobs of an ordered key run for the first time in the order of their addition. One that
    /// somebody cancelled or purged leaves the order, also if it runs again later.
    fn check_order(&mut self, claimed: &ClaimedJob) {
        let waiting = self.in_order.entry(ordered_key(&claimed.job.new)).or_default();
        let Some(at) = waiting.iter().position(|id| *id == claimed.job.new.id) else {
            return;
        };
        assert_eq!(at, 0, "{:?} is claimed before {waiting:?}", claimed.job.new.id);
        waiting.remove(0);
    }

    async fn acknowledge(&mut self) {
        let mut ended = Vec::new();
        for _ in 0..=self.random.below(3) {
            if self.claims.is_empty() {
                break;
            }
            let at = self.random.index(self.claims.len());
            let claimed = self.claims.remove(at);
            let ending = match self.random.below(6) {
                0..3 => Ending::Done,
                3 => retry_at(self.now),
                4 => {
                    let wait = std::time::Duration::from_secs(self.random.below(50));
                    retry_at(self.now.saturating_add(wait))
                }
                _ => discarded(),
            };
            ended.push(end_of(&claimed, ending, self.now));
        }
        let results = self.repository.acknowledge_jobs(&ended).await.unwrap();
        assert_eq!(results.len(), ended.len());
        // What is acknowledged is stale from then on.
        let again = self.repository.acknowledge_jobs(&ended).await.unwrap();
        assert!(again.iter().all(|again| *again == Acknowledged::Stale));
    }

    async fn release(&mut self, limit: u32) {
        for held in self.repository.held_jobs().await.unwrap() {
            self.repository.release_held(&held, limit).await.unwrap();
        }
    }

    /// Changes of many jobs, which are rare.
    async fn change_many(&mut self) {
        let tenant = self.tenants[self.random.index(3)];
        let state = JobState::ALL[self.random.index(JobState::ALL.len())];
        let (filter, change) = (in_state(state), change(1));
        let done = match self.random.below(5) {
            0 => self.repository.purge_jobs(tenant, &filter, 2, &change).await,
            1 => {
                self.repository
                    .retry_jobs(tenant, &filter, self.now, 2, &change)
                    .await
            }
            2 => {
                self.repository
                    .bury_jobs(tenant, &name("shop"), "gone", self.now, 2)
                    .await
            }
            3 => {
                let before = self.now.saturating_sub(super::LEASE);
                self.repository.prune_jobs(before, before, 2).await
            }
            _ => self.repository.trim_jobs(tenant, 3, 3, 2).await,
        };
        done.unwrap();
    }

    /// Checks everything that must always hold.
    async fn check(&mut self) {
        let mut held = BTreeSet::new();
        for tenant in self.tenants.clone() {
            let jobs = listed(self.repository, tenant, &JobFilter::default()).await;
            let distinct: BTreeSet<JobId> = jobs.iter().map(|job| job.new.id).collect();
            assert_eq!(distinct.len(), jobs.len());
            check_counts(&jobs, counts(self.repository, tenant).await);
            check_keys(&jobs);
            for job in &jobs {
                self.check_attempts(job).await;
                if job.state == JobState::Held {
                    held.insert((tenant, job.new.plugin.clone(), job.new.name.clone()));
                }
            }
            // Ended or deleted jobs leave the order.
            let waits = |job: &Job| job.state.is_live() && job.attempt == 0;
            let waiting: BTreeSet<JobId> = jobs
                .iter()
                .filter(|job| waits(job))
                .map(|job| job.new.id)
                .collect();
            let of_tenant = self.in_order.iter_mut().filter(|((of, _), _)| *of == tenant);
            of_tenant.for_each(|(_, order)| order.retain(|id| waiting.contains(id)));
        }
        let listed = self.repository.held_jobs().await.unwrap();
        let listed = listed
            .into_iter()
            .map(|held| (held.tenant, held.plugin, held.job));
        assert_eq!(listed.collect::<BTreeSet<_>>(), held);
    }

    async fn check_attempts(&mut self, job: &Job) {
        let seen = self.attempts.entry(job.new.id).or_default();
        assert!(job.attempt >= *seen, "attempts never get fewer: {job:?}");
        assert!(job.attempt <= job.new.max_attempts, "{job:?}");
        if job.attempt == *seen {
            return;
        }
        *seen = job.attempt;
        let (_, attempts) = stored(self.repository, job.new.tenant, job.new.id).await;
        let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers, (1..=job.attempt).collect::<Vec<_>>());
        let open = attempts
            .iter()
            .filter(|attempt| attempt.outcome.is_none())
            .count();
        assert_eq!(open, usize::from(job.state == JobState::Running), "{attempts:?}");
    }
}

fn ordered_key(job: &NewJob) -> (TenantId, String) {
    let key = job
        .concurrency
        .as_ref()
        .map_or("", |concurrency| &concurrency.key);
    (job.tenant, format!("{}/{key}", job.plugin))
}

fn check_counts(jobs: &[Job], counts: JobCounts) {
    let count = |is: &dyn Fn(JobState) -> bool| {
        u64::try_from(jobs.iter().filter(|job| is(job.state)).count()).unwrap()
    };
    let ready = jobs.iter().filter(|job| job.state == JobState::Ready);
    let wanted = JobCounts {
        live: count(&JobState::is_live),
        running: count(&|state| state == JobState::Running),
        done: count(&|state| matches!(state, JobState::Done | JobState::Cancelled)),
        dead: count(&|state| state == JobState::Dead),
        oldest_ready: ready.map(|job| job.new.run_at).min(),
    };
    assert_eq!(counts, wanted);
    assert!(counts.running <= u64::from(RUNNING), "{counts:?}");
}

/// The jobs of a concurrency key.
#[derive(Debug, Default)]
struct OfKey {
    limit: u32,
    occupied: u32,
    blocked: u32,
}

/// No key has more jobs than its limit, and none waits while there is room. Live jobs have distinct
/// unique keys.
fn check_keys(jobs: &[Job]) {
    let mut keys: BTreeMap<_, OfKey> = BTreeMap::new();
    let mut unique = BTreeSet::new();
    for job in jobs.iter().filter(|job| job.state.is_live()) {
        let new = &job.new;
        if let Some(key) = &new.unique_key {
            assert!(
                unique.insert((&new.plugin, &new.name, key)),
                "two live jobs have the key {key}"
            );
        }
        let Some(concurrency) = &new.concurrency else {
            assert_ne!(job.state, JobState::Blocked);
            continue;
        };
        let of_key = keys
            .entry((&new.plugin, &new.name, &concurrency.key))
            .or_default();
        of_key.limit = concurrency.bound.limit.get();
        let waits_in_order = concurrency.bound.ordered && job.attempt > 0;
        match job.state {
            JobState::Blocked => of_key.blocked += 1,
            JobState::Scheduled if !waits_in_order => {}
            _ => of_key.occupied += 1,
        }
    }
    for (key, of_key) in keys {
        assert!(of_key.occupied <= of_key.limit, "{key:?}: {of_key:?}");
        assert!(
            of_key.blocked == 0 || of_key.occupied == of_key.limit,
            "{key:?}: {of_key:?}"
        );
    }
}
