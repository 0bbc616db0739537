//! The host calls of the steps. Only contract 0.2 has them.

use wasmtime::component::{HasData, Linker};

use super::super::bindings::v0_2;
use super::super::database::{DatabaseError, DatabaseState};
use super::super::{HasCapabilities, Invocation};
use super::{build, check_name, count, running_job};

/// The part of the invocation that the steps may use.
pub struct StepsView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
    /// The database session of this invocation.
    pub database: &'a mut DatabaseState,
}

struct Steps;

impl HasData for Steps {
    type Data<'a> = StepsView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_2::steps::add_to_linker::<T, Steps>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> StepsView<'_> {
    let state = data.capabilities();
    let make = || DatabaseState::new(state.services.databases.clone(), &state.invocation);
    StepsView {
        database: state.database.get_or_insert_with(make),
        invocation: &mut state.invocation,
    }
}

impl StepsView<'_> {
    /// Counts a host call and checks the grant. Every call does this first.
    fn charge(&mut self, bytes: usize) -> Result<(), DatabaseError> {
        self.invocation
            .charge_host_call(bytes)
            .map_err(|error| DatabaseError::Limit(error.to_string()))?;
        if !self.invocation.active.grants.database {
            return Err(DatabaseError::Invalid(format!(
                "the plugin `{}` has no grant for the database, in which steps are stored; add [database] to the \
                 manifest and grant it",
                self.invocation.active.plugin
            )));
        }
        Ok(())
    }

    async fn loaded(&mut self, name: &str) -> Result<Option<String>, DatabaseError> {
        self.charge(name.len())?;
        let job = running_job(self.invocation)?;
        check_name(name)?;
        self.database.session().step(job, name).await
    }

    async fn stored(&mut self, name: String, result: String) -> Result<(), DatabaseError> {
        let bytes = result.len();
        self.charge(name.len() + bytes)?;
        let step = build(self.invocation, name, result)?;
        let stored = self.database.session().store_step(step).await;
        self.invocation.usage.database_bytes = self.database.session().size().stored;
        count(self.invocation, bytes, stored?);
        Ok(())
    }
}

impl v0_2::steps::Host for StepsView<'_> {
    async fn load(&mut self, name: String) -> wasmtime::Result<Result<Option<String>, v0_2::steps::Error>> {
        self.invocation.last_calls.note("steps.load");
        Ok(self.loaded(&name).await.map_err(Into::into))
    }

    async fn store(
        &mut self,
        name: String,
        result: String,
    ) -> wasmtime::Result<Result<(), v0_2::steps::Error>> {
        self.invocation.last_calls.note("steps.store");
        Ok(self.stored(name, result).await.map_err(Into::into))
    }
}

impl From<DatabaseError> for v0_2::steps::Error {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Invalid(why) => Self::Invalid(why),
            DatabaseError::Limit(why) => Self::Limit(why),
            DatabaseError::Conflict(why) | DatabaseError::Unavailable(why) => Self::Unavailable(why),
            DatabaseError::Denied(_) | DatabaseError::Constraint { .. } => Self::Other(error.to_string()),
        }
    }
}
