//! The schedules of all tenants in memory: what their active versions declare, beside what the
//! control plane knows of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};

use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, ScheduleName, TenantId};
use crate::domain::schedule::is_far_ahead;
use crate::storage::ScheduleState;
use crate::tenants::{ScheduleEntry, TenantRoutes};

/// The schedules of all tenants.
#[derive(Default)]
pub(super) struct ScheduleStates {
    tenants: HashMap<TenantId, TenantSchedules>,
}

/// The schedules of a tenant.
#[derive(Default)]
struct TenantSchedules {
    /// The snapshot with which they were compared. It is held weakly, since a snapshot owns warm
    /// instances.
    seen: Weak<TenantRoutes>,
    schedules: BTreeMap<Key, Known>,
}

/// A schedule within its tenant.
pub(super) type Key = (PluginName, ScheduleName);

/// A schedule with its state.
#[derive(Clone)]
pub(super) struct Known {
    /// Expression and zone.
    pub expression: String,
    /// The last time that was handled, or when it began.
    pub last_due: Timestamp,
    /// What the active version declares. `None` while the version cannot be served: the schedule
    /// then waits, and goes on from its last time.
    pub entry: Option<Arc<ScheduleEntry>>,
    /// The next time, if any.
    next: Option<Timestamp>,
}

/// What has to be written so that the states agree with a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Begin a schedule, or begin it anew with another expression.
    Begin(ScheduleState),
    /// Remove the state of a schedule that no active version has.
    End(TenantId, Key),
}

/// A schedule that is due.
pub(super) struct DueSchedule {
    pub key: Key,
    pub expression: String,
    pub last_due: Timestamp,
    pub entry: Arc<ScheduleEntry>,
}

impl Known {
    fn new(expression: String, last_due: Timestamp, entry: Option<Arc<ScheduleEntry>>) -> Self {
        let next = entry.as_ref().and_then(|entry| entry.cron.after(last_due));
        Self {
            expression,
            last_due,
            entry,
            next,
        }
    }

    fn set_entry(&mut self, entry: Option<Arc<ScheduleEntry>>) {
        *self = Self::new(std::mem::take(&mut self.expression), self.last_due, entry);
    }

    fn set_last_due(&mut self, last_due: Timestamp) {
        if self.last_due != last_due {
            *self = Self::new(std::mem::take(&mut self.expression), last_due, self.entry.take());
        }
    }
}

impl ScheduleStates {
    /// Takes over the stored states, which other nodes may have changed. Returns the removal of
    /// each state that lies in the future, which a wrong clock left; its schedule then begins anew.
    pub fn load(&mut self, stored: Vec<ScheduleState>, now: Timestamp) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut listed: HashSet<(TenantId, Key)> = HashSet::new();
        for state in stored {
            let key = (state.plugin, state.name);
            if is_far_ahead(state.last_due, now) {
                steps.push(Step::End(state.tenant, key));
                continue;
            }
            let tenant = self.tenants.entry(state.tenant).or_default();
            listed.insert((state.tenant, key.clone()));
            match tenant.schedules.get_mut(&key) {
                Some(known) if known.expression == state.expression => known.set_last_due(state.last_due),
                _ => {
                    let known = Known::new(state.expression, state.last_due, None);
                    tenant.schedules.insert(key, known);
                    // It is compared with the snapshot again.
                    tenant.seen = Weak::new();
                }
            }
        }
        for (id, tenant) in &mut self.tenants {
            let known = tenant.schedules.len();
            tenant
                .schedules
                .retain(|key, _| listed.contains(&(*id, key.clone())));
            if tenant.schedules.len() < known {
                tenant.seen = Weak::new();
            }
        }
        steps
    }

    /// Compares the schedules of a tenant with its snapshot, unless that was done before. Returns
    /// what has to be written, and declared schedules are known from now on.
    pub fn compare(&mut self, routes: &Arc<TenantRoutes>, now: Timestamp) -> Vec<Step> {
        let tenant = self.tenants.entry(routes.id).or_default();
        if std::ptr::eq(tenant.seen.as_ptr(), Arc::as_ptr(routes)) {
            return Vec::new();
        }
        let mut steps = Vec::new();
        let mut declared: BTreeMap<Key, Arc<ScheduleEntry>> = BTreeMap::new();
        for (plugin, served) in &routes.plugins {
            let schedules = served.schedules().iter();
            declared
                .extend(schedules.map(|entry| ((plugin.clone(), entry.spec.name.clone()), entry.clone())));
        }
        for (key, known) in &mut tenant.schedules {
            let entry = declared.remove(key);
            let is_same = entry
                .as_ref()
                .is_none_or(|entry| entry.spec.expression() == known.expression);
            let waits = routes.problem.is_some() || routes.unavailable.contains_key(&key.0);
            match entry {
                Some(entry) if !is_same => {
                    declared.insert(key.clone(), entry);
                    known.set_entry(None);
                }
                None if !waits => {
                    steps.push(Step::End(routes.id, key.clone()));
                    known.set_entry(None);
                }
                entry => known.set_entry(entry),
            }
        }
        steps.extend(declared.into_iter().map(|((plugin, name), entry)| {
            Step::Begin(ScheduleState {
                tenant: routes.id,
                plugin,
                name,
                expression: entry.spec.expression(),
                last_due: now,
            })
        }));
        steps
    }

    /// The steps of a tenant's snapshot are written.
    pub fn agrees(&mut self, routes: &Arc<TenantRoutes>, steps: Vec<Step>) {
        let tenant = self.tenants.entry(routes.id).or_default();
        for step in steps {
            match step {
                Step::End(_, key) => {
                    tenant.schedules.remove(&key);
                }
                Step::Begin(state) => {
                    let served = routes.plugins.get(&state.plugin);
                    let mut declared = served.into_iter().flat_map(|served| served.schedules());
                    let entry = declared.find(|entry| entry.spec.name == state.name).cloned();
                    let known = Known::new(state.expression, state.last_due, entry);
                    tenant.schedules.insert((state.plugin, state.name), known);
                }
            }
        }
        tenant.seen = Arc::downgrade(routes);
    }

    /// The tenants with schedules that are not among `served`: they were deleted.
    pub fn without(&self, served: &HashSet<TenantId>) -> Vec<(TenantId, Vec<Key>)> {
        let gone = self.tenants.iter().filter(|(id, _)| !served.contains(id));
        gone.map(|(id, tenant)| (*id, tenant.schedules.keys().cloned().collect()))
            .collect()
    }

    /// Forgets a tenant whose schedules have ended.
    pub fn forget(&mut self, tenant: TenantId) {
        self.tenants.remove(&tenant);
    }

    /// The schedules that are due, tenant by tenant.
    pub fn are_due(&self, now: Timestamp) -> Vec<(TenantId, Vec<DueSchedule>)> {
        let tenants = self.tenants.iter().map(|(id, tenant)| {
            let due = tenant.schedules.iter().filter_map(|(key, known)| {
                known.next.filter(|next| *next <= now)?;
                Some(DueSchedule {
                    key: key.clone(),
                    expression: known.expression.clone(),
                    last_due: known.last_due,
                    entry: known.entry.clone()?,
                })
            });
            (*id, due.collect::<Vec<_>>())
        });
        tenants.filter(|(_, due)| !due.is_empty()).collect()
    }

    /// A time of a schedule was handled: this is its state now.
    pub fn handled(&mut self, state: &ScheduleState) {
        let tenant = self.tenants.get_mut(&state.tenant);
        let key = (state.plugin.clone(), state.name.clone());
        if let Some(known) = tenant.and_then(|tenant| tenant.schedules.get_mut(&key)) {
            known.set_last_due(state.last_due);
        }
    }

    /// The state of a schedule.
    pub fn get(&self, tenant: TenantId, key: &Key) -> Option<&Known> {
        self.tenants.get(&tenant)?.schedules.get(key)
    }
}
