//! The backend of a component: the contract's imports, and the exports that the host calls.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Backend, stdio};
use crate::bindings::exports::mortise::plugin::http_handler as wire_http;
use crate::bindings::functions::exports::mortise::plugin::function_handler as wire_function;
use crate::bindings::jobs::exports::mortise::plugin::job_handler as wire_job;
use crate::bindings::mortise::plugin::{
    cache as wire_cache, config as wire_config, context as wire_context, database as wire_db,
    email as wire_email, events as wire_events, http_client as wire_client, http_types, jobs as wire_jobs,
    log as wire_log, secrets as wire_secrets, steps as wire_steps, types as wire,
};
use crate::context::{Context, Principal, Trigger};
use crate::db::{self, ConstraintKind, Rows, Value};
use crate::jobs::{self, Due, Job, JobError, Jobs, Origin};
use crate::{App, Body, Content, FunctionError, Functions, Request};
use crate::{cache, email, events, fields, http, log, secrets, steps, time};

/// Handles a request for the host.
pub fn serve(request: wire_http::Request, app: &App) -> wire_http::Response {
    log::install(app.crate_name());
    let mut headers = request.headers;
    fields::join_cookies(&mut headers);
    let response = app.handle(Request {
        method: request.method,
        route: request.route,
        path: request.path,
        query: request.query,
        params: request.params,
        headers,
        scheme: request.scheme,
        authority: request.authority,
        base_url: request.base_url,
        body: request.body.map(Content::from),
    });
    stdio::end_lines();
    let body = match response.body {
        Body::Empty => http_types::Body::Empty,
        Body::Text(text) => http_types::Body::Text(text),
        Body::Bytes(bytes) => http_types::Body::Bytes(bytes),
    };
    wire_http::Response {
        status: response.status,
        headers: response.headers,
        body,
    }
}

/// Calls a function for the host.
pub fn call(name: &str, input: &str, functions: &Functions) -> Result<String, wire_function::Error> {
    log::install(functions.crate_name());
    let output = functions.call(name, input);
    stdio::end_lines();
    output.map_err(|error| match error {
        FunctionError::Unknown => wire_function::Error::UnknownFunction,
        FunctionError::InvalidInput(why) => wire_function::Error::InvalidInput(why),
        FunctionError::Failed(why) => wire_function::Error::Failed(why),
    })
}

/// Runs a job for the host.
pub fn run_job(job: wire_job::Job, jobs: &Jobs) -> Result<(), wire_job::Failure> {
    log::install(jobs.crate_name());
    let result = jobs.run(&Job {
        id: job.id,
        name: job.name,
        payload: job.payload,
        origin: job.origin.into(),
        attempt: job.attempt,
        max_attempts: job.max_attempts,
    });
    stdio::end_lines();
    result.map_err(|error| match error {
        JobError::Retry(why) => wire_job::Failure::Retry(why),
        JobError::RetryAfter(wait, why) => {
            wire_job::Failure::RetryAfter((wait.as_millis().try_into().unwrap_or(u64::MAX), why))
        }
        JobError::Discard(why) => wire_job::Failure::Discard(why),
    })
}

pub(crate) struct Imports;

impl Backend for Imports {
    type Transaction = wire_db::Transaction;
    type Cursor = wire_db::Cursor;
    type Pending = wire_client::Pending;

    fn context() -> Context {
        wire_context::current().into()
    }

    fn request_id() -> Option<String> {
        Some(wire_context::current().id)
    }

    fn remaining_ms() -> u64 {
        wire_context::remaining_ms()
    }

    fn now_ms() -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis().try_into().unwrap_or(i64::MAX)
    }

    fn log(level: log::Level, message: &str, fields: &[(String, String)]) {
        let level = match level {
            log::Level::Trace => wire_log::Level::Trace,
            log::Level::Debug => wire_log::Level::Debug,
            log::Level::Info => wire_log::Level::Info,
            log::Level::Warn => wire_log::Level::Warn,
            log::Level::Error => wire_log::Level::Error,
        };
        wire_log::write(level, message, fields);
    }

    fn config(key: &str) -> Option<String> {
        wire_config::get(key)
    }

    fn reveal(name: &str) -> Result<String, secrets::Error> {
        Ok(wire_secrets::reveal(name)?)
    }

    fn hmac_sha256(name: &str, data: &[u8]) -> Result<Vec<u8>, secrets::Error> {
        Ok(wire_secrets::hmac_sha256(name, data)?)
    }

    fn query(sql: &str, params: Vec<Value>) -> Result<Rows, db::Error> {
        Ok(wire_db::query(sql, &to_wire(params))?.into())
    }

    fn execute(sql: &str, params: Vec<Value>) -> Result<u64, db::Error> {
        Ok(wire_db::execute(sql, &to_wire(params))?)
    }

    fn begin() -> Result<Self::Transaction, db::Error> {
        Ok(wire_db::begin()?)
    }

    fn transaction_query(
        handle: &Self::Transaction,
        sql: &str,
        params: Vec<Value>,
    ) -> Result<Rows, db::Error> {
        Ok(handle.query(sql, &to_wire(params))?.into())
    }

    fn transaction_execute(
        handle: &Self::Transaction,
        sql: &str,
        params: Vec<Value>,
    ) -> Result<u64, db::Error> {
        Ok(handle.execute(sql, &to_wire(params))?)
    }

    fn commit(handle: &Self::Transaction) -> Result<(), db::Error> {
        Ok(handle.commit()?)
    }

    fn rollback(handle: &Self::Transaction) -> Result<(), db::Error> {
        Ok(handle.rollback()?)
    }

    fn transaction_enqueue(handle: &Self::Transaction, job: jobs::Prepared) -> Result<String, db::Error> {
        Ok(handle.enqueue(&job.into())?)
    }

    fn transaction_publish(
        handle: &Self::Transaction,
        topic: &str,
        data: String,
    ) -> Result<String, db::Error> {
        Ok(handle.publish(topic, &data)?)
    }

    fn complete(handle: &Self::Transaction) -> Result<(), db::Error> {
        Ok(handle.complete()?)
    }

    fn transaction_store_step(handle: &Self::Transaction, name: &str, result: &str) -> Result<(), db::Error> {
        Ok(handle.store_step(name, result)?)
    }

    fn open(sql: &str, params: Vec<Value>) -> Result<Self::Cursor, db::Error> {
        Ok(wire_db::open(sql, &to_wire(params))?)
    }

    fn cursor_columns(handle: &Self::Cursor) -> Vec<String> {
        handle.columns()
    }

    fn cursor_next(handle: &Self::Cursor, max: u32) -> Result<Vec<Vec<Value>>, db::Error> {
        Ok(handle.next(max)?.into_iter().map(from_wire).collect())
    }

    fn cache_get(key: &str) -> Result<Option<Content>, cache::Error> {
        Ok(wire_cache::get(key)?.map(Content::from))
    }

    fn cache_set(key: &str, value: Content, ttl_ms: Option<u64>) -> Result<(), cache::Error> {
        Ok(wire_cache::set(key, &value.into(), ttl_ms)?)
    }

    fn cache_set_if_absent(key: &str, value: Content, ttl_ms: Option<u64>) -> Result<bool, cache::Error> {
        Ok(wire_cache::set_if_absent(key, &value.into(), ttl_ms)?)
    }

    fn cache_increment(key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, cache::Error> {
        Ok(wire_cache::increment(key, delta, ttl_ms)?)
    }

    fn cache_delete(key: &str) -> Result<(), cache::Error> {
        Ok(wire_cache::delete(key)?)
    }

    fn send(message: http::Message) -> Result<http::Response, http::Error> {
        Ok(wire_client::send(&message.into())?.into())
    }

    fn start(message: http::Message) -> Result<Self::Pending, http::Error> {
        Ok(wire_client::start(&message.into())?)
    }

    fn wait(handle: &Self::Pending) -> Result<http::Response, http::Error> {
        Ok(handle.wait()?.into())
    }

    fn enqueue(job: jobs::Prepared) -> Result<String, jobs::Error> {
        Ok(wire_jobs::enqueue(&job.into())?)
    }

    fn publish(topic: &str, data: String) -> Result<String, events::Error> {
        Ok(wire_events::publish(topic, &data)?)
    }

    fn send_email(mail: email::Prepared) -> Result<String, email::Error> {
        Ok(wire_email::send(&mail.into())?)
    }

    fn load_step(name: &str) -> Result<Option<String>, steps::Error> {
        Ok(wire_steps::load(name)?)
    }

    fn store_step(name: &str, result: &str) -> Result<(), steps::Error> {
        Ok(wire_steps::store(name, result)?)
    }
}

fn to_wire(values: Vec<Value>) -> Vec<wire_db::Value> {
    let convert = |value| match value {
        Value::Null => wire_db::Value::Null,
        Value::Boolean(value) => wire_db::Value::Boolean(value),
        Value::Integer(value) => wire_db::Value::Integer(value),
        Value::Real(value) => wire_db::Value::Real(value),
        Value::Text(value) => wire_db::Value::Text(value),
        Value::Blob(value) => wire_db::Value::Blob(value),
    };
    values.into_iter().map(convert).collect()
}

fn from_wire(values: Vec<wire_db::Value>) -> Vec<Value> {
    let convert = |value| match value {
        wire_db::Value::Null => Value::Null,
        wire_db::Value::Boolean(value) => Value::Boolean(value),
        wire_db::Value::Integer(value) => Value::Integer(value),
        wire_db::Value::Real(value) => Value::Real(value),
        wire_db::Value::Text(value) => Value::Text(value),
        wire_db::Value::Blob(value) => Value::Blob(value),
    };
    values.into_iter().map(convert).collect()
}

impl From<wire_db::Rows> for Rows {
    fn from(rows: wire_db::Rows) -> Self {
        Self {
            columns: rows.columns,
            rows: rows.rows.into_iter().map(from_wire).collect(),
        }
    }
}

impl From<wire_db::Error> for db::Error {
    fn from(error: wire_db::Error) -> Self {
        match error {
            wire_db::Error::Constraint(violation) => Self::Constraint {
                kind: violation.kind.into(),
                name: violation.name,
            },
            wire_db::Error::Invalid(why) => Self::Invalid(why),
            wire_db::Error::Conflict(why) => Self::Conflict(why),
            wire_db::Error::Denied(why) => Self::Denied(why),
            wire_db::Error::Limit(why) => Self::Limit(why),
            wire_db::Error::Unavailable(why) => Self::Unavailable(why),
            wire_db::Error::Other(why) => Self::Other(why),
        }
    }
}

impl From<wire_db::ConstraintKind> for ConstraintKind {
    fn from(kind: wire_db::ConstraintKind) -> Self {
        match kind {
            wire_db::ConstraintKind::Unique => Self::Unique,
            wire_db::ConstraintKind::ForeignKey => Self::ForeignKey,
            wire_db::ConstraintKind::NotNull => Self::NotNull,
            wire_db::ConstraintKind::Check => Self::Check,
            wire_db::ConstraintKind::Other => Self::Other,
        }
    }
}

impl From<wire_secrets::Error> for secrets::Error {
    fn from(error: wire_secrets::Error) -> Self {
        match error {
            wire_secrets::Error::NotFound(name) => Self::NotFound(name),
            wire_secrets::Error::NotGranted(name) => Self::NotGranted(name),
            wire_secrets::Error::Other(why) => Self::Other(why),
        }
    }
}

impl From<wire_cache::Error> for cache::Error {
    fn from(error: wire_cache::Error) -> Self {
        match error {
            wire_cache::Error::TooLarge => Self::TooLarge,
            wire_cache::Error::Unavailable(why) => Self::Unavailable(why),
            wire_cache::Error::Other(why) => Self::Other(why),
        }
    }
}

impl From<wire_client::Error> for http::Error {
    fn from(error: wire_client::Error) -> Self {
        match error {
            wire_client::Error::Denied(why) => Self::Denied(why),
            wire_client::Error::InvalidRequest(why) => Self::InvalidRequest(why),
            wire_client::Error::Dns(why) => Self::Dns(why),
            wire_client::Error::Connect(why) => Self::Connect(why),
            wire_client::Error::Tls(why) => Self::Tls(why),
            wire_client::Error::Timeout => Self::Timeout,
            wire_client::Error::TooLarge => Self::TooLarge,
            wire_client::Error::CircuitOpen => Self::CircuitOpen,
            wire_client::Error::Protocol(why) => Self::Protocol(why),
            wire_client::Error::Limit(why) => Self::Limit(why),
            wire_client::Error::Other(why) => Self::Other(why),
        }
    }
}

impl From<wire_jobs::Error> for jobs::Error {
    fn from(error: wire_jobs::Error) -> Self {
        match error {
            wire_jobs::Error::UnknownJob(why) => Self::UnknownJob(why),
            wire_jobs::Error::Invalid(why) => Self::Invalid(why),
            wire_jobs::Error::TooLarge => Self::TooLarge,
            wire_jobs::Error::Limit(why) => Self::Limit(why),
            wire_jobs::Error::Unavailable(why) => Self::Unavailable(why),
            wire_jobs::Error::Other(why) => Self::Other(why),
        }
    }
}

impl From<wire_steps::Error> for steps::Error {
    fn from(error: wire_steps::Error) -> Self {
        match error {
            wire_steps::Error::Invalid(why) => Self::Invalid(why),
            wire_steps::Error::Limit(why) => Self::Limit(why),
            wire_steps::Error::Unavailable(why) => Self::Unavailable(why),
            wire_steps::Error::Other(why) => Self::Other(why),
        }
    }
}

impl From<jobs::Prepared> for wire_jobs::NewJob {
    fn from(job: jobs::Prepared) -> Self {
        Self {
            name: job.name,
            payload: job.payload,
            due: match job.due {
                Due::Now => wire_jobs::Due::Now,
                Due::AfterMs(delay) => wire_jobs::Due::AfterMs(delay),
                Due::At(unix_ms) => wire_jobs::Due::At(time::to_rfc3339(unix_ms)),
            },
            priority: job.priority,
            unique_key: job.unique_key,
            concurrency_key: job.concurrency_key,
        }
    }
}

impl From<wire_job::Origin> for Origin {
    fn from(origin: wire_job::Origin) -> Self {
        match origin {
            wire_job::Origin::Enqueued => Self::Enqueued,
            wire_job::Origin::Schedule(schedule) => Self::Schedule {
                name: schedule.name,
                due_at: unix_ms(&schedule.due_at),
            },
            wire_job::Origin::Event(event) => Self::Event {
                id: event.id,
                topic: event.topic,
                source: event.source,
                time: unix_ms(&event.time),
            },
            wire_job::Origin::Webhook(webhook) => Self::Webhook {
                name: webhook.name,
                headers: webhook.headers,
            },
        }
    }
}

/// A time of the host. The contract says that it is RFC 3339, so anything else ends the invocation.
fn unix_ms(text: &str) -> i64 {
    time::from_rfc3339(text).unwrap_or_else(|| panic!("the host's time `{text}` is not RFC 3339"))
}

impl From<http::Message> for wire_client::OutgoingRequest {
    fn from(message: http::Message) -> Self {
        let retry = |(max_attempts, initial_backoff_ms)| wire_client::Retry {
            max_attempts,
            initial_backoff_ms,
        };
        Self {
            method: message.method,
            url: message.url,
            headers: message.headers,
            secret_headers: message.secret_headers,
            body: message.body.map(Into::into),
            timeout_ms: message.timeout_ms,
            retry: message.retry.map(retry),
        }
    }
}

impl From<wire_client::IncomingResponse> for http::Response {
    fn from(response: wire_client::IncomingResponse) -> Self {
        Self {
            status: response.status,
            headers: response.headers,
            body: response.body.into(),
        }
    }
}

impl From<wire::Content> for Content {
    fn from(content: wire::Content) -> Self {
        match content {
            wire::Content::Text(text) => Self::Text(text),
            wire::Content::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<Content> for wire::Content {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Self::Text(text),
            Content::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<wire_context::Invocation> for Context {
    fn from(invocation: wire_context::Invocation) -> Self {
        let principal = |principal: wire_context::Principal| Principal {
            kind: principal.kind,
            id: principal.id,
            scopes: principal.scopes,
            claims: principal.claims,
            customer: principal.customer,
            attributes: principal.attributes,
        };
        Self {
            id: invocation.id,
            tenant: invocation.tenant,
            plugin: invocation.plugin,
            version: invocation.version,
            trigger: match invocation.trigger {
                wire_context::Trigger::Http => Trigger::Http,
                wire_context::Trigger::Job => Trigger::Job,
                wire_context::Trigger::Socket => Trigger::Socket,
                wire_context::Trigger::Function => Trigger::Function,
            },
            principal: invocation.principal.map(principal),
            traceparent: invocation.traceparent,
            remote_address: invocation.remote_address,
        }
    }
}
