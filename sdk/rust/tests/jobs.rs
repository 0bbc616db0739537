//! Jobs, schedules and events on the test host, with the manifest of a plugin.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use mortise_sdk::context::Trigger;
use mortise_sdk::jobs::Origin;
use mortise_sdk::prelude::*;
use mortise_sdk::testing::{Attempt, Host, HostBuilder, Outcome};
use mortise_sdk::time;

const MANIFEST: &str = r#"
    [plugin]
    name = "shop"
    version = "1.0.0"

    [[job]]
    name = "do"
    attempts = 3
    backoff = { initial = "2s", max = "3s" }

    [[job]]
    name = "tick"

    [[job]]
    name = "ordered"
    attempts = 2
    concurrency = { limit = 1, ordered = true }

    [[job]]
    name = "on-event"

    [[schedule]]
    name = "hourly"
    cron = "0 * * * *"
    job = "tick"

    [[schedule]]
    name = "half-hourly"
    cron = "30 * * * *"
    job = "tick"
    payload = "[]"
    overlap = "queue"

    [events]
    publish = ["order.*"]

    [[subscribe]]
    topic = "order.>"
    job = "on-event"

    [[subscribe]]
    topic = "order.created"
    job = "on-event"

    [database]

    [limits]
    jobs_enqueued = 3
    steps = 2
    step_bytes = "8B"
"#;

const TABLES: &str = "CREATE TABLE done (what TEXT)";

/// The folder of the plugin. Each test has its own, so that they can run at once.
fn folder(test: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("mortise-jobs-{test}"));
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::write(folder.join("plugin.toml"), MANIFEST).expect("the folder is there");
    folder
}

fn builder(test: &str) -> HostBuilder {
    Host::builder().plugin(folder(test)).sql(TABLES).at(0)
}

fn host(test: &str) -> Host {
    builder(test).start()
}

fn note(what: &str) -> Result<(), db::Error> {
    db::execute("INSERT INTO done VALUES ($1)", (what,)).map(drop)
}

fn done() -> Vec<String> {
    db::query_as("SELECT what FROM done ORDER BY rowid", ()).expect("the table is there")
}

/// A job that does what its payload says.
fn act(what: String, job: &Job) -> Result<(), JobError> {
    match what.as_str() {
        "complete" => {
            db::transaction(|tx| {
                tx.execute("INSERT INTO done VALUES ('effect')", ())?;
                tx.complete()
            })?;
            return Err(JobError::discard("nobody listens any more"));
        }
        "complete twice" => {
            let complete = || {
                db::transaction(|tx| {
                    tx.execute("INSERT INTO done VALUES ('effect')", ())?;
                    tx.complete()
                })
            };
            complete()?;
            note(&format!(
                "{:?}",
                complete().is_err_and(|error| error.is_conflict())
            ))?;
        }
        "complete, ignore and commit" => {
            let tx = db::begin()?;
            tx.complete()?;
            tx.execute("INSERT INTO done VALUES ('effect')", ())?;
            let second = tx.complete();
            note(&format!("{:?}", second.is_err() && tx.commit().is_err()))?;
        }
        "steps" => {
            let first: u32 = jobs::step("first", || note("first").map(|()| 7))?;
            db::transaction(|tx| tx.step("second", || tx.execute("INSERT INTO done VALUES ('second')", ())))?;
            assert_eq!(first, 7);
            if job.attempt == 1 {
                return Err(JobError::retry("the rest failed"));
            }
            let many = steps::store("third", &1);
            let large = steps::store("first", "123456789");
            let limited = |result: Result<(), steps::Error>| matches!(result, Err(steps::Error::Limit(_)));
            note(&format!("{:?}", (limited(many), limited(large))))?;
        }
        "rolled back step" => {
            if job.attempt == 1 {
                let tx = db::begin()?;
                tx.store_step("only", &1)?;
                tx.rollback()?;
                return Err(JobError::retry("rolled back"));
            }
            note(&format!("{:?}", steps::load::<u32>("only")?))?;
        }
        "chain" => {
            note("link")?;
            jobs::enqueue("do", "chain")?;
        }
        "many" => {
            for _ in 0..3 {
                events::publish("order.paid", &())?;
            }
            jobs::enqueue("tick", &())?;
        }
        "context" => {
            let context = context::current();
            note(&format!("{:?} {:?}", context.trigger, context.principal))?;
        }
        "fail" => return Err(JobError::retry(format!("attempt {}", job.attempt))),
        _ => note(&what)?,
    }
    Ok(())
}

fn tick(_: (), job: &Job) -> Result<(), Error> {
    let Origin::Schedule { name, due_at } = &job.origin else {
        return Err(Error::internal("no schedule caused it"));
    };
    Ok(note(&format!("{name} {}", due_at / 60_000))?)
}

fn in_order(name: String, job: &Job) -> Result<(), Error> {
    note(&format!("{name} {}", job.attempt))?;
    match name.as_str() {
        "fails" => Err(Error::unavailable("not now")),
        _ => Ok(()),
    }
}

fn on_event(event: Event<serde_json::Value>) -> Result<(), Error> {
    Ok(note(&format!("{} {} {}", event.source, event.topic, event.data))?)
}

mortise_sdk::jobs! {
    "do" => act,
    "tick" => |_: serde_json::Value, job: &Job| tick((), job),
    "ordered" => in_order,
    "on-event" => on_event,
}

fn outcomes(attempts: &[Attempt]) -> Vec<Outcome> {
    attempts.iter().map(|attempt| attempt.outcome).collect()
}

fn run_until_idle(host: &Host) -> Vec<Attempt> {
    let mut all = host.run_jobs(&JOBS);
    while !host.jobs().is_empty() {
        host.advance(Duration::from_secs(1));
        all.extend(host.run_jobs(&JOBS));
    }
    all
}

#[test]
fn a_job_of_a_transaction_exists_if_it_commits() {
    let host = host("transactions");
    let add = |commit: bool| {
        let tx = db::begin()?;
        tx.enqueue("do", "a")?;
        tx.publish("order.created", &7)?;
        assert!(host.jobs().is_empty() && host.events().is_empty());
        if commit { tx.commit() } else { tx.rollback() }
    };
    assert_eq!(add(false), Ok(()));
    assert!(host.jobs().is_empty() && host.events().is_empty());
    assert_eq!(add(true), Ok(()));
    assert_eq!((host.jobs().len(), host.events().len()), (2, 1));
}

#[test]
fn a_job_that_fails_waits_and_is_a_dead_letter_in_the_end() {
    let host = host("failures");
    let id = jobs::enqueue("do", "fail").expect("the job is a valid one");
    for (wait, outcome) in [
        (0, Outcome::Retry),
        (2_000, Outcome::Retry),
        (3_000, Outcome::Dead),
    ] {
        host.advance(Duration::from_millis(wait).saturating_sub(Duration::from_millis(1)));
        assert!(wait == 0 || host.run_jobs(&JOBS).is_empty());
        host.advance(Duration::from_millis(1));
        assert_eq!(outcomes(&host.run_jobs(&JOBS)), [outcome]);
    }
    let dead = host.dead_letters();
    assert_eq!(
        (dead[0].id.as_str(), dead[0].attempt, dead[0].error.as_deref()),
        (id.as_str(), 3, Some("attempt 3"))
    );
    assert!(host.jobs().is_empty());
}

#[test]
fn a_completed_job_is_done_whatever_follows() {
    let host = host("completed");
    assert!(jobs::enqueue("do", "complete").is_ok());
    assert_eq!(outcomes(&host.run_jobs(&JOBS)), [Outcome::Done]);
    assert_eq!(done(), ["effect"]);
    assert!(jobs::enqueue("do", "complete twice").is_ok());
    assert!(jobs::enqueue("do", "complete, ignore and commit").is_ok());
    host.run_jobs(&JOBS);
    assert_eq!(
        done(),
        ["effect", "effect", "true", "true"],
        "a transaction that conflicts leaves nothing"
    );
}

#[test]
fn a_step_runs_once_and_its_limits_hold() {
    let host = host("steps");
    assert!(jobs::enqueue("do", "steps").is_ok());
    assert_eq!(outcomes(&run_until_idle(&host)), [Outcome::Retry, Outcome::Done]);
    assert_eq!(done(), ["first", "second", "(true, true)"]);
    assert!(jobs::enqueue("do", "rolled back step").is_ok());
    run_until_idle(&host);
    assert_eq!(done().last().map(String::as_str), Some("None"));
}

#[test]
fn a_chain_of_jobs_comes_to_an_end() {
    let host = host("chains");
    assert!(jobs::enqueue("do", "chain").is_ok());
    let attempts = run_until_idle(&host);
    assert_eq!(
        done().len(),
        8 + 2,
        "eight jobs, and two more attempts of the last one"
    );
    let last = attempts.last().expect("there are attempts");
    assert_eq!(last.outcome, Outcome::Dead);
    assert!(
        last.error.as_ref().is_some_and(|why| why.contains("`job_depth`")),
        "{last:?}"
    );
}

#[test]
fn jobs_and_events_are_counted_within_an_invocation() {
    let host = host("counts");
    for _ in 0..4 {
        assert!(
            jobs::enqueue("do", "a").is_ok(),
            "what a test calls itself is not counted"
        );
    }
    host.run_jobs(&JOBS);
    assert!(jobs::enqueue("do", "many").is_ok());
    let attempts = host.run_jobs(&JOBS);
    let error = attempts[0].error.as_deref().unwrap_or_default();
    assert!(error.contains("`jobs_enqueued`"), "{error}");
    assert_eq!(host.events().len(), 3);
}

#[test]
fn a_job_has_its_own_context() {
    let host = builder("context")
        .principal(Principal::api_key("key-1", ["*"]))
        .start();
    assert!(jobs::enqueue("do", "context").is_ok());
    host.run_jobs(&JOBS);
    assert_eq!(done(), ["Job None"]);
    let context = context::current();
    assert_eq!(context.trigger, Trigger::Http);
    assert!(context.principal.is_some());
}

#[test]
fn a_schedule_is_due_when_the_clock_is_advanced() {
    let host = host("schedules");
    let minutes = |count: u64| Duration::from_secs(count * 60);
    host.advance(minutes(29));
    assert!(host.jobs().is_empty());
    host.advance(minutes(1));
    assert_eq!(host.run_jobs(&JOBS).len(), 1);
    host.advance(minutes(30));
    host.run_jobs(&JOBS);
    assert_eq!(done(), ["half-hourly 30", "hourly 60"]);
    // Meanwhile no job runs: one schedule skips its second time, the other one queues it.
    host.advance(minutes(120));
    host.run_jobs(&JOBS);
    assert_eq!(done()[2..], ["half-hourly 90", "hourly 120", "half-hourly 150"]);
}

#[test]
fn a_subscriber_gets_one_job_for_an_event() {
    let host = host("events");
    let id = events::publish("order.created", &7).expect("the topic is granted");
    assert_eq!(host.jobs().len(), 1, "both of its patterns stand for the topic");
    host.publish("billing", "order.line.added", "x");
    host.publish("billing", "payment.settled", "x");
    host.run_jobs(&JOBS);
    assert_eq!(done(), ["shop order.created 7", "billing order.line.added \"x\""]);
    assert_eq!(host.events()[0].id, id);
    assert!(matches!(
        events::publish("payment.settled", &7),
        Err(events::Error::NotGranted(_))
    ));
}

#[test]
fn an_ordered_job_that_failed_holds_back_the_later_ones() {
    let host = host("order");
    for name in ["a", "fails", "b"] {
        assert!(jobs::enqueue("ordered", name).is_ok());
    }
    assert!(
        NewJob::new("ordered")
            .payload("c")
            .concurrency_key("other")
            .enqueue()
            .is_ok()
    );
    host.run_jobs(&JOBS);
    assert_eq!(done(), ["a 1", "fails 1", "c 1"]);
    host.advance(Duration::from_secs(1));
    host.run_jobs(&JOBS);
    assert_eq!(done()[3..], ["fails 2", "b 1"]);
}

#[test]
fn a_job_is_due_at_its_time_and_never_in_the_past() {
    let host = builder("times").at(10_000).start();
    let add = |job: NewJob| job.payload("a").enqueue().is_ok();
    assert!(add(NewJob::new("do").at(5_000)));
    assert!(add(NewJob::new("do").at(20_000)));
    assert!(!add(NewJob::new("do").after(Duration::MAX)));
    let times: Vec<i64> = host.jobs().iter().map(|job| job.run_at).collect();
    assert_eq!(times, [time::now(), 20_000]);
}

#[test]
#[should_panic(expected = "plugin.toml has the [[job]] tick, but jobs! does not list it")]
fn a_list_that_differs_from_the_manifest_fails_the_test() {
    mod other {
        use mortise_sdk::jobs::JobError;

        mortise_sdk::jobs! { "do" => |_: ()| Ok::<_, JobError>(()) }
    }
    host("lists").run_jobs(&other::JOBS);
}

#[test]
#[should_panic(expected = "the job `nowhere` is due, but jobs! does not list it")]
fn a_job_without_a_handler_fails_the_test() {
    let host = Host::start();
    assert!(jobs::enqueue("nowhere", &()).is_ok());
    host.run_jobs(&JOBS);
}

#[test]
fn jobs_of_a_schedule_keep_the_bound_of_their_kind() {
    let folder = folder("bounded-schedule");
    let manifest = MANIFEST.replace(
        "job = \"tick\"\n    payload = \"[]\"",
        "job = \"ordered\"\n    payload = '\"scheduled\"'",
    );
    fs::write(folder.join("plugin.toml"), manifest).expect("the folder is there");
    let host = Host::builder().plugin(folder).sql(TABLES).at(0).start();
    host.advance(Duration::from_millis(29 * 60_000 + 59_500));
    jobs::enqueue("ordered", "fails").expect("it is added");
    assert_eq!(outcomes(&host.run_jobs(&JOBS)), [Outcome::Retry]);
    // The schedule is due, and the failed job still waits for its next attempt.
    host.advance(Duration::from_millis(500));
    assert!(host.run_jobs(&JOBS).is_empty());
    host.advance(Duration::from_secs(1));
    host.run_jobs(&JOBS);
    assert_eq!(done(), ["fails 1", "fails 2", "scheduled 1"]);
}
