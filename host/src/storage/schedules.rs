//! The state of schedules in the database: which times were handled.

use async_trait::async_trait;

use super::DbError;
use super::jobs::Added;
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, ScheduleName, TenantId};
use crate::domain::job::NewJob;

/// A schedule of an active version, with the last time that was handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleState {
    /// The tenant.
    pub tenant: TenantId,
    /// The plugin.
    pub plugin: PluginName,
    /// The schedule.
    pub name: ScheduleName,
    /// Expression and zone. If the active version has others, the schedule begins anew.
    pub expression: String,
    /// The last time that was handled, or when the schedule began.
    pub last_due: Timestamp,
}

/// A time of a schedule that is to be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueTime {
    /// The state of the schedule after this time.
    pub state: ScheduleState,
    /// The job to add, if any.
    pub job: Option<NewJob>,
}

/// The result of handling a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticked {
    /// This call handled it, and added this job if there was one to add.
    Now(Option<Added>),
    /// Another node had handled it.
    Before,
}

/// The state of schedules.
#[async_trait]
pub trait Schedules {
    /// The states of all schedules of all tenants.
    async fn schedules(&self) -> Result<Vec<ScheduleState>, DbError>;

    /// Begins a schedule, or begins it anew with another expression. A state with the same
    /// expression stays as it is.
    async fn begin_schedule(&self, state: &ScheduleState) -> Result<(), DbError>;

    /// Removes the state of a schedule that no active version has.
    async fn end_schedule(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        name: &ScheduleName,
    ) -> Result<(), DbError>;

    /// Handles times of schedules: records each and adds its job, unless it was handled before. All
    /// are one transaction. The results are in the order of `due`.
    async fn handle_times(&self, due: &[DueTime]) -> Result<Vec<Ticked>, DbError>;
}
