//! Counts every request of the public listener and measures its duration.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt as _;

use super::Gateway;
use crate::domain::id::InvocationId;
use crate::http::problem::{self, Problem};

/// A request in progress. If it is dropped without a response, it counts as abandoned.
struct Measured {
    gateway: Arc<Gateway>,
    since: Instant,
    is_answered: bool,
}

/// Counts a request and does the common work around every response: the request id, the body of a
/// problem, and a panic. Requests are counted while a problem still has its code.
pub async fn measured(
    gateway: Arc<Gateway>,
    request: Request,
    answer: impl AsyncFnOnce(&Arc<Gateway>, InvocationId, Request) -> Response,
) -> Response {
    problem::rendered(request, async |id, request| {
        let mut measured = Measured::begin(gateway);
        let answer = AssertUnwindSafe(answer(&measured.gateway, id, request));
        let answer = answer.catch_unwind().await;
        let response = answer.unwrap_or_else(problem::from_panic);
        measured.answered(&response);
        response
    })
    .await
}

/// [`measured`] as a layer.
pub async fn measure(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    measured(gateway, request, async |_, _, request| next.run(request).await).await
}

impl Measured {
    #[expect(
        clippy::disallowed_methods,
        reason = "the duration of a request is a measurement, which the injected clock must not affect"
    )]
    fn begin(gateway: Arc<Gateway>) -> Self {
        gateway.requests.begun();
        Self {
            gateway,
            since: Instant::now(),
            is_answered: false,
        }
    }

    fn answered(&mut self, response: &Response) {
        self.is_answered = true;
        let problem = response.extensions().get::<Problem>().map(Problem::code);
        self.gateway
            .requests
            .answered(response.status(), problem, self.since.elapsed());
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if !self.is_answered {
            self.gateway.requests.abandoned();
        }
    }
}
