//! The handlers that components export, in each version of the plugin contract, and how the host
//! calls them.

use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::store::StoreData;
use crate::capability::bindings::failures::Failure as JobFailed;
use crate::capability::bindings::http_types::{Request, Response};
use crate::capability::bindings::job_handler::Job;
use crate::capability::bindings::{v0_1, v0_2};
use crate::domain::id::FunctionName;
use crate::domain::invocation::Trigger;

/// The input of a guest, by trigger.
pub enum Input {
    /// A request to one of the plugin's routes.
    Http(Request),
    /// A call of one of the plugin's functions.
    Function {
        /// The name of the function.
        name: FunctionName,
        /// The input, as JSON.
        input: String,
    },
    /// An attempt to run a job.
    Job(Job),
}

/// The output of a guest, by trigger. It is not checked yet.
pub enum Output {
    /// The response to a request.
    Http(Response),
    /// The output of a function as JSON, or its error.
    Function(Result<String, FunctionError>),
    /// Whether the job succeeded.
    Job(Result<(), JobFailure>),
}

/// Why a function returned no output. The texts come from the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionError {
    /// The plugin does not know the function.
    Unknown,
    /// The function cannot use the input.
    InvalidInput(String),
    /// The function failed.
    Failed(String),
}

/// Why an attempt to run a job failed. The texts come from the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobFailure {
    /// Run it again after its back-off.
    Retry(String),
    /// Run it again after this time.
    RetryAfter(Duration, String),
    /// Never run it again.
    Discard(String),
}

/// The handlers that a component exports.
pub struct Handlers {
    http: Option<HttpHandler>,
    function: Option<FunctionHandler>,
    job: Option<JobHandler>,
}

/// A handler of an instance, ready to be called.
pub enum Handler {
    /// Handles requests.
    Http(HttpGuest),
    /// Handles calls of functions.
    Function(FunctionGuest),
    /// Runs jobs.
    Job(JobGuest),
}

macro_rules! handler {
    ($(#[$about:meta])* $indices:ident, $(#[$about_guest:meta])* $guest:ident, $interface:ident) => {
        $(#[$about])*
        enum $indices {
            V0_1(v0_1::$interface::GuestIndices),
            V0_2(v0_2::$interface::GuestIndices),
        }

        $(#[$about_guest])*
        pub enum $guest {
            /// Built for contract 0.1.
            V0_1(v0_1::$interface::Guest),
            /// Built for contract 0.2.
            V0_2(v0_2::$interface::Guest),
        }

        impl $indices {
            /// The newest version of the handler that the component exports.
            fn of(component: &InstancePre<StoreData>) -> Option<Self> {
                let newest = v0_2::$interface::GuestIndices::new(component).map(Self::V0_2);
                newest
                    .or_else(|_| v0_1::$interface::GuestIndices::new(component).map(Self::V0_1))
                    .ok()
            }

            fn load(&self, store: &mut Store<StoreData>, instance: &Instance) -> wasmtime::Result<$guest> {
                Ok(match self {
                    Self::V0_1(indices) => $guest::V0_1(indices.load(store, instance)?),
                    Self::V0_2(indices) => $guest::V0_2(indices.load(store, instance)?),
                })
            }
        }
    };
}

handler!(
    /// The export indices of a component's request handler.
    HttpHandler,
    /// The request handler of an instance.
    HttpGuest,
    http_handler
);

handler!(
    /// The export indices of a component's function handler.
    FunctionHandler,
    /// The function handler of an instance.
    FunctionGuest,
    function_handler
);

handler!(
    /// The export indices of a component's job handler.
    JobHandler,
    /// The job handler of an instance.
    JobGuest,
    job_handler
);

impl Input {
    /// The trigger that calls the guest.
    pub fn trigger(&self) -> Trigger {
        match self {
            Self::Http(_) => Trigger::Http,
            Self::Function { .. } => Trigger::Function,
            Self::Job(_) => Trigger::Job,
        }
    }
}

impl Handlers {
    /// Finds the handlers that a component exports.
    pub fn of(component: &InstancePre<StoreData>) -> Self {
        Self {
            http: HttpHandler::of(component),
            function: FunctionHandler::of(component),
            job: JobHandler::of(component),
        }
    }

    /// Whether the component exports a handler for `trigger`.
    pub fn has(&self, trigger: Trigger) -> bool {
        match trigger {
            Trigger::Http => self.http.is_some(),
            Trigger::Function => self.function.is_some(),
            Trigger::Job => self.job.is_some(),
        }
    }

    /// The handler of an instance of the component; `None` if the component exports none for
    /// `trigger`.
    pub fn load(
        &self,
        trigger: Trigger,
        store: &mut Store<StoreData>,
        instance: &Instance,
    ) -> wasmtime::Result<Option<Handler>> {
        Ok(match trigger {
            Trigger::Http => match &self.http {
                Some(handler) => Some(Handler::Http(handler.load(store, instance)?)),
                None => None,
            },
            Trigger::Function => match &self.function {
                Some(handler) => Some(Handler::Function(handler.load(store, instance)?)),
                None => None,
            },
            Trigger::Job => match &self.job {
                Some(handler) => Some(Handler::Job(handler.load(store, instance)?)),
                None => None,
            },
        })
    }
}

impl Handler {
    /// The trigger that calls this handler.
    pub fn trigger(&self) -> Trigger {
        match self {
            Self::Http(_) => Trigger::Http,
            Self::Function(_) => Trigger::Function,
            Self::Job(_) => Trigger::Job,
        }
    }

    /// Calls the handler. Returns `None` if `input` is for another trigger.
    pub async fn call(&self, store: &mut Store<StoreData>, input: Input) -> wasmtime::Result<Option<Output>> {
        Ok(Some(match (self, input) {
            (Self::Http(guest), Input::Http(request)) => Output::Http(guest.call(store, request).await?),
            (Self::Function(guest), Input::Function { name, input }) => {
                Output::Function(guest.call(store, name.as_str(), &input).await?)
            }
            (Self::Job(guest), Input::Job(job)) => Output::Job(guest.call(store, job).await?),
            (Self::Http(_) | Self::Function(_) | Self::Job(_), _) => return Ok(None),
        }))
    }
}

impl HttpGuest {
    async fn call(&self, store: &mut Store<StoreData>, request: Request) -> wasmtime::Result<Response> {
        match self {
            Self::V0_1(guest) => Ok(guest.call_handle(store, &request.into()).await?.into()),
            Self::V0_2(guest) => guest.call_handle(store, &request).await,
        }
    }
}

impl FunctionGuest {
    async fn call(
        &self,
        store: &mut Store<StoreData>,
        name: &str,
        input: &str,
    ) -> wasmtime::Result<Result<String, FunctionError>> {
        Ok(match self {
            Self::V0_1(guest) => guest.call_call(store, name, input).await?.map_err(Into::into),
            Self::V0_2(guest) => guest.call_call(store, name, input).await?.map_err(Into::into),
        })
    }
}

impl JobGuest {
    async fn call(&self, store: &mut Store<StoreData>, job: Job) -> wasmtime::Result<Result<(), JobFailure>> {
        Ok(match self {
            Self::V0_1(guest) => guest.call_run(store, &job.into()).await?.map_err(Into::into),
            Self::V0_2(guest) => guest.call_run(store, &job).await?.map_err(Into::into),
        })
    }
}

impl From<JobFailed> for JobFailure {
    fn from(failed: JobFailed) -> Self {
        match failed {
            JobFailed::Retry(why) => Self::Retry(why),
            JobFailed::RetryAfter((ms, why)) => Self::RetryAfter(Duration::from_millis(ms), why),
            JobFailed::Discard(why) => Self::Discard(why),
        }
    }
}

impl From<v0_1::function_handler::Error> for FunctionError {
    fn from(error: v0_1::function_handler::Error) -> Self {
        match error {
            v0_1::function_handler::Error::UnknownFunction => Self::Unknown,
            v0_1::function_handler::Error::InvalidInput(why) => Self::InvalidInput(why),
            v0_1::function_handler::Error::Failed(why) => Self::Failed(why),
        }
    }
}

impl From<v0_2::function_handler::Error> for FunctionError {
    fn from(error: v0_2::function_handler::Error) -> Self {
        match error {
            v0_2::function_handler::Error::UnknownFunction => Self::Unknown,
            v0_2::function_handler::Error::InvalidInput(why) => Self::InvalidInput(why),
            v0_2::function_handler::Error::Failed(why) | v0_2::function_handler::Error::Other(why) => {
                Self::Failed(why)
            }
        }
    }
}
