//! Counts every request of the public listener, and how long it took.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::metrics::Requests;
use crate::problem::Problem;

/// A request under way. Dropped without an answer, its caller went away.
struct Measured {
    requests: Arc<Requests>,
    since: Instant,
    is_answered: bool,
}

/// Counts a request. The layer inside of the one that writes problems, which is where they still have their code.
#[expect(
    clippy::disallowed_methods,
    reason = "the time that a request takes is measured, not decided by the host's clock"
)]
pub async fn measure(State(requests): State<Arc<Requests>>, request: Request, next: Next) -> Response {
    let _under_way = requests.under_way.hold();
    let mut measured = Measured {
        requests,
        since: Instant::now(),
        is_answered: false,
    };
    let response = next.run(request).await;
    measured.answered(&response);
    response
}

impl Measured {
    fn answered(&mut self, response: &Response) {
        self.is_answered = true;
        let problem = response.extensions().get::<Problem>().map(Problem::code);
        self.requests
            .answered(response.status(), problem, self.since.elapsed());
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if !self.is_answered {
            self.requests.abandoned();
        }
    }
}
