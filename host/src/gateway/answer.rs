//! Checks the output of an invocation, writes its record, and builds the response.

use axum::body::Body;
use axum::http::Response;

use super::respond::Unsendable;
use super::{refusals, respond};
use crate::domain::function::FunctionOutcome;
use crate::domain::problem::Code;
use crate::domain::units::as_u64;
use crate::http::problem::Problem;
use crate::invoke::{Ran, Target, Unrecorded};
use crate::sandbox::{Failure, FunctionError, Output, Side};

/// Checks the output, writes the record, and returns the response for the caller.
pub fn answer(target: &Target, ran: Ran<'_>) -> Result<Response<Body>, Problem> {
    let Ran {
        outcome,
        mut unrecorded,
    } = ran;
    let kind = target.callee.kind();
    let limit = unrecorded.limits().response_body;
    let result = match outcome {
        Ok(Output::Http(response)) => respond::check(response, limit)
            .map_err(|unsendable| cannot_be_sent(&mut unrecorded, unsendable))
            .map(|response| (None, response)),
        Ok(Output::Function(Ok(output))) => respond::output(output, limit)
            .map_err(|unsendable| cannot_be_sent(&mut unrecorded, unsendable))
            .map(|response| (Some(FunctionOutcome::Answered), response)),
        Ok(Output::Function(Err(error))) => return Err(no_output(unrecorded, error)),
        // A handler returns the output of its own trigger.
        Ok(Output::Job(_)) => Err(Problem::internal("the output of a job came for a request")),
        Err(failure) => {
            let is_of_request = matches!(failure, Failure::Body(Side::Input, _));
            unrecorded.log_failure(&failure);
            let problem = refusals::failed(kind, failure);
            if is_of_request {
                unrecorded.refused(problem.code());
                return Err(problem);
            }
            Err(problem)
        }
    };
    match result {
        Ok((function, response)) => {
            let (status, bytes) = (response.status(), as_u64(response.body().len()));
            match function {
                None => unrecorded.answered(status, bytes),
                Some(outcome) => unrecorded.function_ended(outcome, status, bytes),
            }
            Ok(response.map(|bytes| Body::from(target.tenant.backlog.hold(bytes))))
        }
        Err(problem) => {
            unrecorded.failed(problem.code());
            Err(problem)
        }
    }
}

fn cannot_be_sent(unrecorded: &mut Unrecorded<'_>, unsendable: Unsendable) -> Problem {
    unrecorded.log_error(&format!("invalid response: {unsendable}"));
    refusals::unsendable(unsendable)
}

/// Writes the record of a function without output, and returns the problem for the caller.
fn no_output(mut unrecorded: Unrecorded<'_>, error: FunctionError) -> Problem {
    let (code, outcome, said) = match error {
        FunctionError::InvalidInput(said) => (Code::InvalidInput, FunctionOutcome::InvalidInput, said),
        FunctionError::Failed(said) => (Code::FunctionFailed, FunctionOutcome::Failed, said),
        FunctionError::Unknown => {
            unrecorded.log_error("the manifest declares this function, but the plugin does not know it");
            unrecorded.failed(Code::PluginInvalidResponse);
            return Problem::new(
                Code::PluginInvalidResponse,
                "the plugin does not know this function",
            );
        }
    };
    unrecorded.function_ended(outcome, code.status(), 0);
    Problem::new(code, respond::detail(said))
}
