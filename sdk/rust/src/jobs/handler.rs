//! A plugin's list of jobs, and the macro [`jobs!`](crate::jobs!) that defines it.

use serde::de::DeserializeOwned;

use super::{Job, JobError};

/// The jobs of a plugin as [`jobs!`](crate::jobs!) defines them: their names and the function that
/// dispatches to their handlers.
///
/// The macro defines it as the constant `JOBS`, which the test host runs.
///
/// ```
/// use mortise_sdk::jobs::{Job, JobError};
///
/// mortise_sdk::jobs! {
///     "import" => |page: u32| match page {
///         0 => Err(JobError::discard("pages begin with 1")),
///         _ => Ok(()),
///     },
/// }
///
/// assert_eq!(JOBS.names(), ["import"]);
/// let job = Job { name: "import".into(), payload: "7".into(), ..Job::default() };
/// assert_eq!(JOBS.run(&job), Ok(()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Jobs {
    crate_name: &'static str,
    names: &'static [&'static str],
    run: fn(&Job) -> Result<(), JobError>,
}

/// A function that runs a job: of one argument, what the job brings ([`FromJob`]), or of two, that
/// and the [`Job`] itself.
///
/// It is implemented for functions and closures that return `Result<(), E>`, where `E` is
/// [`JobError`], [`Error`](crate::Error) or any `std::error::Error`.
///
/// ```
/// use mortise_sdk::jobs::{Job, JobError, JobHandler};
///
/// fn import(page: u32, job: &Job) -> Result<(), JobError> {
///     assert_eq!((page, job.attempt), (7, 1));
///     Ok(())
/// }
///
/// let job = Job { payload: "7".into(), ..Job::default() };
/// assert_eq!(import.run(&job), Ok(()));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler of a job",
    label = "this is no handler",
    note = "a handler takes one argument, the payload (a type that implements `serde::Deserialize`, or `Event<T>`), \
            and perhaps a second one, `&Job`",
    note = "it answers `Result<(), JobError>` or `Result<(), Error>`"
)]
pub trait JobHandler<Arguments> {
    /// Extracts the argument and runs the function.
    ///
    /// ```
    /// use mortise_sdk::jobs::{Job, JobError, JobHandler};
    ///
    /// let refuse = |_: ()| Err::<(), _>(JobError::retry("not now"));
    /// assert_eq!(refuse.run(&Job::default()), Err(JobError::retry("not now")));
    /// ```
    fn run(self, job: &Job) -> Result<(), JobError>;
}

/// What a handler gets from a job: the payload as any type that serde deserializes, or an
/// [`Event`](crate::events::Event).
///
/// ```
/// use mortise_sdk::jobs::{FromJob, Job};
///
/// let job = Job { payload: "\"Ada\"".into(), ..Job::default() };
/// assert_eq!(String::from_job(&job).as_deref(), Ok("Ada"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a job brings",
    note = "take a type that implements `serde::Deserialize`, or `Event<T>`"
)]
pub trait FromJob: Sized {
    /// Reads the value. An error usually discards the job.
    ///
    /// ```
    /// use mortise_sdk::jobs::{FromJob, Job, JobError};
    ///
    /// assert!(matches!(u32::from_job(&Job::default()), Err(JobError::Discard(_))));
    /// ```
    fn from_job(job: &Job) -> Result<Self, JobError>;
}

impl<T: DeserializeOwned> FromJob for T {
    fn from_job(job: &Job) -> Result<Self, JobError> {
        job.parse_payload()
    }
}

impl<Function, Input, Failed> JobHandler<(Input,)> for Function
where
    Function: FnOnce(Input) -> Result<(), Failed>,
    Input: FromJob,
    Failed: Into<JobError>,
{
    fn run(self, job: &Job) -> Result<(), JobError> {
        self(Input::from_job(job)?).map_err(Into::into)
    }
}

impl<Function, Input, Failed> JobHandler<(Input, Job)> for Function
where
    Function: FnOnce(Input, &Job) -> Result<(), Failed>,
    Input: FromJob,
    Failed: Into<JobError>,
{
    fn run(self, job: &Job) -> Result<(), JobError> {
        self(Input::from_job(job)?, job).map_err(Into::into)
    }
}

impl Jobs {
    /// Used by [`jobs!`](crate::jobs!).
    #[doc(hidden)]
    pub const fn new(
        crate_name: &'static str,
        names: &'static [&'static str],
        run: fn(&Job) -> Result<(), JobError>,
    ) -> Self {
        Self {
            crate_name,
            names,
            run,
        }
    }

    /// The plugin's crate, or a module of it.
    #[cfg_attr(
        not(any(feature = "testing", target_family = "wasm")),
        expect(dead_code, reason = "nothing is logged natively without a test host")
    )]
    pub(crate) const fn crate_name(&self) -> &'static str {
        self.crate_name
    }

    /// The names, in the order of the list.
    ///
    /// ```
    /// use mortise_sdk::jobs::JobError;
    ///
    /// mortise_sdk::jobs! { "a" => |_: ()| Ok::<_, JobError>(()), "b" => |_: ()| Ok::<_, JobError>(()) }
    /// assert_eq!(JOBS.names(), ["a", "b"]);
    /// ```
    pub const fn names(&self) -> &'static [&'static str] {
        self.names
    }

    /// Runs a job.
    ///
    /// ```
    /// use mortise_sdk::jobs::{Job, JobError};
    ///
    /// mortise_sdk::jobs! { "a" => |_: ()| Ok::<_, JobError>(()) }
    /// assert!(JOBS.run(&Job { name: "a".into(), ..Job::default() }).is_ok());
    /// assert!(JOBS.run(&Job { name: "b".into(), ..Job::default() }).is_err());
    /// ```
    pub fn run(&self, job: &Job) -> Result<(), JobError> {
        (self.run)(job)
    }
}

/// Runs a handler. It is a separate function, so that the compiler's error points at a value that
/// is not a handler.
#[doc(hidden)]
pub fn run<Arguments>(handler: impl JobHandler<Arguments>, job: &Job) -> Result<(), JobError> {
    handler.run(job)
}

/// The result of a job that is in the manifest but not in [`jobs!`](crate::jobs!).
#[doc(hidden)]
pub fn unlisted(job: &Job) -> JobError {
    JobError::Retry(format!(
        "the manifest has the job `{}`, but the plugin's jobs! list does not",
        job.name
    ))
}

/// Maps each job of the manifest to its Rust handler.
///
/// Each line is the name exactly as in `plugin.toml`, and a [handler](crate::jobs::JobHandler): a
/// function or closure of the payload, or of the payload and the [`Job`](crate::jobs::Job).
///
/// Besides the export that the host calls, the macro defines
/// `pub fn run_job(&Job) -> Result<(), JobError>` and `pub const JOBS: Jobs` for tests. Use it once
/// per plugin, at the root of the crate, with or without [`routes!`](crate::routes).
///
/// The names are stored in the component (custom section `mortise:jobs`). `mortise build` and
/// uploads reject a plugin whose manifest has other jobs.
///
/// ```
/// use mortise_sdk::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, Serialize)]
/// struct Reminder {
///     order: i64,
/// }
///
/// fn remind(reminder: Reminder, job: &Job) -> Result<(), JobError> {
///     if reminder.order < 1 {
///         return Err(JobError::discard("there is no such order"));
///     }
///     log::info("Reminded", &[("order", &reminder.order), ("attempt", &job.attempt)]);
///     Ok(())
/// }
/// # use mortise_sdk::log;
///
/// mortise_sdk::jobs! {
///     "remind" => remind,
/// }
///
/// let host = mortise_sdk::testing::Host::start();
/// jobs::enqueue("remind", &Reminder { order: 7 })?;
/// assert_eq!(host.run_jobs(&JOBS).len(), 1);
/// # Ok::<(), jobs::Error>(())
/// ```
#[macro_export]
macro_rules! jobs {
    ($($name:literal => $handler:expr),+ $(,)?) => {
        /// The jobs of this plugin.
        pub const JOBS: $crate::jobs::Jobs =
            $crate::jobs::Jobs::new(::core::module_path!(), &[$($name),+], run_job);

        /// Runs a job.
        pub fn run_job(
            job: &$crate::jobs::Job,
        ) -> ::core::result::Result<(), $crate::jobs::JobError> {
            match job.name.as_str() {
                $($name => $crate::__private::run_handler($handler, job),)+
                _ => ::core::result::Result::Err($crate::__private::unlisted_job(job)),
            }
        }

        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::__private::bindings::jobs::exports::mortise::plugin::job_handler;

            const LISTED: &str = ::core::concat!($($name, "\n"),+);

            // `mortise build` and the host compare it with the manifest.
            #[used]
            #[unsafe(link_section = "mortise:jobs")]
            static JOB_NAMES: [u8; LISTED.len()] = $crate::__private::bytes(LISTED);

            struct Plugin;

            impl job_handler::Guest for Plugin {
                fn run(
                    job: job_handler::Job,
                ) -> ::core::result::Result<(), job_handler::Failure> {
                    $crate::__private::run_job(job, &JOBS)
                }
            }

            $crate::__private::bindings::jobs::export_jobs!(
                Plugin with_types_in $crate::__private::bindings::jobs
            );
        };
    };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Error, db};

    fn run_failing<E: Into<JobError> + 'static>(error: fn() -> E) -> JobError {
        (|_: ()| Err::<(), _>(error()))
            .run(&Job::default())
            .expect_err("the handler fails")
    }

    #[test]
    fn every_error_means_retry_unless_the_plugin_says_otherwise() {
        let _host = crate::testing::Host::start();
        assert_eq!(
            run_failing(|| Error::conflict("the ledger is closed")),
            JobError::retry("409 conflict: the ledger is closed")
        );
        assert_eq!(
            run_failing(|| Error::internal("the totals do not add up")),
            JobError::retry("the totals do not add up")
        );
        assert_eq!(
            run_failing(|| db::Error::NoRow),
            JobError::retry("the query answered no row")
        );
        let later = JobError::retry_after(Duration::from_secs(1), "later");
        assert_eq!(
            run_failing(|| JobError::retry_after(Duration::from_secs(1), "later")),
            later
        );
    }

    #[test]
    fn a_payload_that_does_not_parse_discards_the_job() {
        let never = |_: u32| -> Result<(), Error> { unreachable!("the payload is null") };
        assert!(matches!(never.run(&Job::default()), Err(JobError::Discard(_))));
    }
}
