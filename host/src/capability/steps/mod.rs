//! Durable steps of a job: their results are kept in the tenant's database until the job is done or
//! deleted, so that a later attempt does not repeat them.

mod host;

pub use host::{StepsView, add_to_linker};

use super::Invocation;
use super::database::{DatabaseError, Step};
use crate::domain::id::JobId;
use crate::domain::units::as_u64;

/// The most bytes of the name of a step.
const NAME_BYTES: usize = 100;

/// The job that the invocation runs. Returns an error if it runs none.
pub(super) fn running_job(invocation: &Invocation) -> Result<JobId, DatabaseError> {
    match &invocation.job {
        Some(running) => Ok(running.id),
        None => Err(DatabaseError::Invalid(format!(
            "this invocation runs no job: its trigger is `{}`",
            invocation.trigger.as_str()
        ))),
    }
}

/// Builds the step that a guest wants to store, if it may. Name and result are controlled by the
/// guest.
pub(super) fn build(invocation: &Invocation, name: String, result: String) -> Result<Step, DatabaseError> {
    let job = running_job(invocation)?;
    check_name(&name)?;
    let most = invocation.limits().step_bytes;
    if result.len() > most.as_usize() {
        return Err(DatabaseError::Limit(format!(
            "the result of the step has {} bytes, and the plan allows {most} (`step_bytes`); store the data in a table",
            result.len()
        )));
    }
    Ok(Step {
        job,
        name,
        result,
        most: invocation.limits().steps,
    })
}

/// Counts a stored step in the usage of the invocation. `count` is how many the job has.
pub(super) fn count(invocation: &mut Invocation, bytes: usize, count: u32) {
    let usage = &mut invocation.usage;
    usage.steps = count;
    usage.step_bytes = usage.step_bytes.max(as_u64(bytes));
}

fn check_name(name: &str) -> Result<(), DatabaseError> {
    match name.len() {
        0..=NAME_BYTES => Ok(()),
        bytes => Err(DatabaseError::Invalid(format!(
            "the name of the step has {bytes} bytes, and {NAME_BYTES} is the most"
        ))),
    }
}
