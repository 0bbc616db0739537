//! Tests of a panic of the host: only that request fails, nothing stays open, and the host
//! continues.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mortise::domain::clock::{Clock, ManualClock, Timestamp};

use crate::app::App;
use crate::cancellation::{deploy, until_nothing_is_held};

/// A clock that panics after a number of calls for the host's uptime. Plugins call it through WASI,
/// and the host calls it once for each.
struct Faulty {
    clock: Arc<ManualClock>,
    breaks_in: AtomicU32,
}

impl Clock for Faulty {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        assert_ne!(
            self.breaks_in.fetch_sub(1, Ordering::SeqCst),
            1,
            "the clock is broken"
        );
        self.clock.monotonic()
    }
}

/// Makes the clock panic at the `nth` call from now.
async fn panics_at(nth: u32) {
    let mut faulty = None;
    let app = App::with_clock(|clock| {
        let clock = Arc::new(Faulty {
            clock,
            breaks_in: AtomicU32::new(u32::MAX),
        });
        faulty = Some(clock.clone());
        clock
    })
    .await;
    let acme = deploy(&app, "http://127.0.0.1:9").await;
    let call = || app.post("/acme/res/clock").body("{}").send();
    call().await.expect(200);
    faulty.unwrap().breaks_in.store(nth, Ordering::SeqCst);
    let reply = call().await.expect_problem(500, "internal");
    assert!(!reply.text().contains("broken"), "{}", reply.text());
    until_nothing_is_held(&app).await;

    let record = acme.invocation(&reply).await;
    assert_eq!(record["status"], 500, "{record}");
    assert_eq!(record["code"], "internal", "{record}");
    assert_eq!(record["blame"], "host", "{record}");
    call().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_host_call_it_is_the_end_of_that_request_alone() {
    // The first call is the host's, for the store; the second is the plugin's.
    panics_at(2).await;
}
