//! The backend of the test host, which answers the host calls.

use std::rc::Rc;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::LogLine;
use super::budget::Counted;
use super::database::CursorHandle;
use super::jobs::{Accepted, Refusal, TransactionHandle};
use super::state::{self, State};
use crate::context::Context;
use crate::db::{self, Rows, Value};
use crate::host::Backend;
use crate::jobs::Prepared;
use crate::{Content, cache, email, events, http, jobs, log, secrets, steps};

/// The time limit of the host's default plan, of which tests use up nothing.
const REMAINING_MS: u64 = 5_000;

#[derive(Debug)]
pub(crate) struct TestHost;

impl Backend for TestHost {
    type Transaction = TransactionHandle;
    type Cursor = CursorHandle;
    type Pending = http::Message;

    fn context() -> Context {
        let state = charged();
        let context = state.context.borrow();
        context.clone()
    }

    fn request_id() -> Option<String> {
        Some(state::installed()?.context.borrow().id.clone())
    }

    fn remaining_ms() -> u64 {
        charged();
        REMAINING_MS
    }

    fn now_ms() -> i64 {
        state::current().now_ms.get()
    }

    fn log(level: log::Level, message: &str, fields: &[(String, String)]) {
        let line = LogLine {
            level,
            message: message.to_owned(),
            fields: fields.to_vec(),
        };
        charged().logs.borrow_mut().push(line);
    }

    fn config(key: &str) -> Option<String> {
        charged().config.get(key).cloned()
    }

    fn reveal(name: &str) -> Result<String, secrets::Error> {
        if charged().revealed.contains(name) {
            return secret(name);
        }
        Err(secrets::Error::NotGranted(name.to_owned()))
    }

    fn hmac_sha256(name: &str, data: &[u8]) -> Result<Vec<u8>, secrets::Error> {
        charged();
        let key = secret(name)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(data);
        Ok(mac.finalize().into_bytes().to_vec())
    }

    fn query(sql: &str, params: Vec<Value>) -> Result<Rows, db::Error> {
        for_statement()?.database.query(sql, &params)
    }

    fn execute(sql: &str, params: Vec<Value>) -> Result<u64, db::Error> {
        for_statement()?.database.execute(sql, &params)
    }

    fn begin() -> Result<TransactionHandle, db::Error> {
        Ok(TransactionHandle::new(for_database()?.database.begin()?))
    }

    fn transaction_query(
        handle: &TransactionHandle,
        sql: &str,
        params: Vec<Value>,
    ) -> Result<Rows, db::Error> {
        for_statement()?;
        handle.query(sql, &params)
    }

    fn transaction_execute(
        handle: &TransactionHandle,
        sql: &str,
        params: Vec<Value>,
    ) -> Result<u64, db::Error> {
        for_statement()?;
        handle.execute(sql, &params)
    }

    fn commit(handle: &TransactionHandle) -> Result<(), db::Error> {
        handle.commit(&for_database()?.background)
    }

    fn rollback(handle: &TransactionHandle) -> Result<(), db::Error> {
        for_database()?;
        handle.rollback()
    }

    fn transaction_enqueue(handle: &TransactionHandle, job: Prepared) -> Result<String, db::Error> {
        let state = for_database()?;
        handle.check_open()?;
        Ok(handle.add(accept(&state, job, handle.pending_jobs())?))
    }

    fn transaction_publish(
        handle: &TransactionHandle,
        topic: &str,
        data: String,
    ) -> Result<String, db::Error> {
        let state = for_database()?;
        handle.check_open()?;
        Ok(handle.add(accept_event(&state, topic, data, handle.pending_jobs())?))
    }

    fn complete(handle: &TransactionHandle) -> Result<(), db::Error> {
        let state = for_database()?;
        handle.check_open()?;
        handle.complete(
            running_job(&state).map_err(db::Error::Invalid)?,
            &state.background,
        )
    }

    fn transaction_store_step(handle: &TransactionHandle, name: &str, result: &str) -> Result<(), db::Error> {
        let state = for_database()?;
        handle.check_open()?;
        let job = running_job(&state).map_err(db::Error::Invalid)?;
        let (pending, limits) = (handle.pending_steps(), &state.budget.limits);
        let checked = state.background.check_step(&job, name, result, pending, limits);
        checked?;
        handle.store_step(job, name, result);
        Ok(())
    }

    fn open(sql: &str, params: Vec<Value>) -> Result<CursorHandle, db::Error> {
        for_statement()?.database.open(sql, &params)
    }

    fn cursor_columns(handle: &CursorHandle) -> Vec<String> {
        charged();
        handle.columns()
    }

    fn cursor_next(handle: &CursorHandle, max: u32) -> Result<Vec<Vec<Value>>, db::Error> {
        for_database()?;
        Ok(handle.next(max))
    }

    fn cache_get(key: &str) -> Result<Option<Content>, cache::Error> {
        let state = for_cache()?;
        Ok(state.cache.borrow().get(key, state.now_ms.get()).cloned())
    }

    fn cache_set(key: &str, value: Content, ttl_ms: Option<u64>) -> Result<(), cache::Error> {
        let state = for_cache()?;
        let now_ms = state.now_ms.get();
        state.cache.borrow_mut().set(key, value, ttl_ms, now_ms)
    }

    fn cache_set_if_absent(key: &str, value: Content, ttl_ms: Option<u64>) -> Result<bool, cache::Error> {
        let state = for_cache()?;
        let (mut cache, now_ms) = (state.cache.borrow_mut(), state.now_ms.get());
        if cache.get(key, now_ms).is_some() {
            return Ok(false);
        }
        cache.set(key, value, ttl_ms, now_ms).map(|()| true)
    }

    fn cache_increment(key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, cache::Error> {
        let state = for_cache()?;
        let now_ms = state.now_ms.get();
        state.cache.borrow_mut().increment(key, delta, ttl_ms, now_ms)
    }

    fn cache_delete(key: &str) -> Result<(), cache::Error> {
        for_cache()?.cache.borrow_mut().delete(key);
        Ok(())
    }

    fn send(message: http::Message) -> Result<http::Response, http::Error> {
        let state = state::current();
        let limit = |counted| state.budget.charge(counted).map_err(http::Error::Limit);
        limit(Counted::HostCall)?;
        if let Some(manifest) = &state.manifest {
            manifest.check_origin(&message.url)?;
            for (_, _, name) in &message.secret_headers {
                manifest.check_secret(name, &message.url)?;
                if !state.secrets.contains_key(name) {
                    let unset = secrets::Error::NotFound(name.clone());
                    return Err(http::Error::Denied(unset.to_string()));
                }
            }
        }
        let Some(answer) = &state.http else {
            return Err(http::Error::Denied(
                "this test answers no outbound request: use HostBuilder::http".to_owned(),
            ));
        };
        let attempts = message.retry.map_or(1, |(attempts, _)| attempts.max(1));
        limit(Counted::HttpRequest)?;
        let mut outcome = answer(&message);
        for _ in 1..attempts {
            if !is_worth_another_attempt(&message.method, &outcome) {
                break;
            }
            limit(Counted::HttpRequest)?;
            outcome = answer(&message);
        }
        outcome
    }

    fn start(message: http::Message) -> Result<http::Message, http::Error> {
        Ok(message)
    }

    fn wait(handle: &http::Message) -> Result<http::Response, http::Error> {
        Self::send(handle.clone())
    }

    fn enqueue(job: Prepared) -> Result<String, jobs::Error> {
        let state = state::current();
        state
            .budget
            .charge(Counted::HostCall)
            .map_err(jobs::Error::Limit)?;
        Ok(state.background.add(accept(&state, job, 0)?))
    }

    fn publish(topic: &str, data: String) -> Result<String, events::Error> {
        let state = state::current();
        state
            .budget
            .charge(Counted::HostCall)
            .map_err(events::Error::Limit)?;
        Ok(state.background.add(accept_event(&state, topic, data, 0)?))
    }

    fn send_email(mail: email::Prepared) -> Result<String, email::Error> {
        let state = state::current();
        let charged = state.budget.charge(Counted::HostCall);
        charged.map_err(email::Error::Limit)?;
        state
            .outgoing
            .take(mail, state.now_ms.get(), &state.budget.limits)
    }

    fn load_step(name: &str) -> Result<Option<String>, steps::Error> {
        let state = for_steps()?;
        let job = running_job(&state).map_err(steps::Error::Invalid)?;
        state.background.load_step(job, name)
    }

    fn store_step(name: &str, result: &str) -> Result<(), steps::Error> {
        let state = for_steps()?;
        let background = &state.background;
        let job = running_job(&state).map_err(steps::Error::Invalid)?;
        background.check_step(&job, name, result, 0, &state.budget.limits)?;
        background.store_step(job, name.to_owned(), result.to_owned());
        Ok(())
    }
}

/// Checks and counts a job. `pending` is the number of jobs that wait for their transaction.
fn accept(state: &State, job: Prepared, pending: usize) -> Result<Accepted, Refusal> {
    let now_ms = state.now_ms.get();
    let accepted = state
        .background
        .accept(job, pending, now_ms, &state.budget.limits)?;
    state.budget.charge(Counted::Enqueued).map_err(Refusal::Limit)?;
    Ok(accepted)
}

/// Checks and counts an event.
fn accept_event(state: &State, topic: &str, data: String, pending: usize) -> Result<Accepted, Refusal> {
    let (now_ms, limits) = (state.now_ms.get(), &state.budget.limits);
    let source = state.context.borrow().plugin.clone();
    let background = &state.background;
    let accepted = background.accept_event(topic, data, &source, pending, now_ms, limits)?;
    state.budget.charge(Counted::Enqueued).map_err(Refusal::Limit)?;
    Ok(accepted)
}

/// Counts a call of steps, and checks the grant of the database, which has their results.
fn for_steps() -> Result<Rc<State>, steps::Error> {
    let state = state::current();
    state
        .budget
        .charge(Counted::HostCall)
        .map_err(steps::Error::Limit)?;
    match &state.manifest {
        Some(manifest) if manifest.database.is_none() => Err(steps::Error::Invalid(format!(
            "the plugin `{}` has no grant for the database, in which steps are stored; add [database] to the \
             manifest and grant it",
            manifest.plugin.name
        ))),
        _ => Ok(state),
    }
}

/// The id of the running job.
fn running_job(state: &State) -> Result<String, String> {
    let trigger = state.context.borrow().trigger;
    state.background.running_job(trigger)
}

/// Counts a host call that has no error type, and returns the test host.
fn charged() -> Rc<State> {
    let state = state::current();
    state.budget.charge_untyped();
    state
}

/// Counts a database call and checks the grant.
fn for_database() -> Result<Rc<State>, db::Error> {
    let state = state::current();
    state.budget.charge(Counted::HostCall).map_err(db::Error::Limit)?;
    match &state.manifest {
        Some(manifest) if manifest.database.is_none() => Err(db::Error::Unavailable(format!(
            "the plugin `{}` has no grant for the database; add [database] to plugin.toml",
            manifest.plugin.name
        ))),
        _ => Ok(state),
    }
}

/// Counts a database call and an SQL statement.
fn for_statement() -> Result<Rc<State>, db::Error> {
    let state = for_database()?;
    state
        .budget
        .charge(Counted::SqlStatement)
        .map_err(db::Error::Limit)?;
    Ok(state)
}

/// Counts a call of the cache.
fn for_cache() -> Result<Rc<State>, cache::Error> {
    let state = state::current();
    state
        .budget
        .charge(Counted::HostCall)
        .map_err(cache::Error::Unavailable)?;
    Ok(state)
}

fn secret(name: &str) -> Result<String, secrets::Error> {
    let state = state::current();
    let granted = match &state.manifest {
        Some(manifest) => manifest.uses_secret(name),
        None => state.secrets.contains_key(name),
    };
    if !granted {
        return Err(secrets::Error::NotGranted(name.to_owned()));
    }
    state
        .secrets
        .get(name)
        .cloned()
        .ok_or_else(|| secrets::Error::NotFound(name.to_owned()))
}

fn is_worth_another_attempt(method: &str, outcome: &Result<http::Response, http::Error>) -> bool {
    let is_idempotent = matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE");
    match outcome {
        Err(http::Error::Connect(_)) => true,
        Err(http::Error::Timeout) => is_idempotent,
        Ok(response) => is_idempotent && matches!(response.status(), 429 | 502 | 503 | 504),
        Err(_) => false,
    }
}
