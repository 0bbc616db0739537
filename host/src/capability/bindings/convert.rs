//! Conversions between the types of contract 0.1 and those of 0.2. Each pair has the same members,
//! so a conversion only moves them.

use super::{v0_1, v0_2};

impl From<v0_1::database::Value> for v0_2::database::Value {
    fn from(value: v0_1::database::Value) -> Self {
        match value {
            v0_1::database::Value::Null => Self::Null,
            v0_1::database::Value::Boolean(value) => Self::Boolean(value),
            v0_1::database::Value::Integer(value) => Self::Integer(value),
            v0_1::database::Value::Real(value) => Self::Real(value),
            v0_1::database::Value::Text(value) => Self::Text(value),
            v0_1::database::Value::Blob(value) => Self::Blob(value),
        }
    }
}

impl From<v0_2::database::Value> for v0_1::database::Value {
    fn from(value: v0_2::database::Value) -> Self {
        match value {
            v0_2::database::Value::Null => Self::Null,
            v0_2::database::Value::Boolean(value) => Self::Boolean(value),
            v0_2::database::Value::Integer(value) => Self::Integer(value),
            v0_2::database::Value::Real(value) => Self::Real(value),
            v0_2::database::Value::Text(value) => Self::Text(value),
            v0_2::database::Value::Blob(value) => Self::Blob(value),
        }
    }
}

impl From<v0_2::database::Rows> for v0_1::database::Rows {
    fn from(rows: v0_2::database::Rows) -> Self {
        let convert = |row: Vec<v0_2::database::Value>| row.into_iter().map(Into::into).collect();
        Self {
            columns: rows.columns,
            rows: rows.rows.into_iter().map(convert).collect(),
        }
    }
}

impl From<v0_2::database::ConstraintKind> for v0_1::database::ConstraintKind {
    fn from(kind: v0_2::database::ConstraintKind) -> Self {
        match kind {
            v0_2::database::ConstraintKind::Unique => Self::Unique,
            v0_2::database::ConstraintKind::ForeignKey => Self::ForeignKey,
            v0_2::database::ConstraintKind::NotNull => Self::NotNull,
            v0_2::database::ConstraintKind::Check => Self::Check,
            v0_2::database::ConstraintKind::Other => Self::Other,
        }
    }
}

/// Contract 0.1 has a delay where 0.2 has other times too, and no priority.
impl From<v0_1::jobs::NewJob> for v0_2::jobs::NewJob {
    fn from(job: v0_1::jobs::NewJob) -> Self {
        Self {
            name: job.name,
            payload: job.payload,
            due: v0_2::jobs::Due::AfterMs(job.delay_ms),
            priority: 0,
            unique_key: job.unique_key,
            concurrency_key: None,
        }
    }
}

impl From<v0_1::http_client::OutgoingRequest> for v0_2::http_client::OutgoingRequest {
    fn from(request: v0_1::http_client::OutgoingRequest) -> Self {
        let retry = |retry: v0_1::http_client::Retry| v0_2::http_client::Retry {
            max_attempts: retry.max_attempts,
            initial_backoff_ms: retry.initial_backoff_ms,
        };
        Self {
            method: request.method,
            url: request.url,
            headers: request.headers,
            secret_headers: request.secret_headers,
            body: request.body,
            timeout_ms: request.timeout_ms,
            retry: request.retry.map(retry),
        }
    }
}

impl From<v0_2::http_client::IncomingResponse> for v0_1::http_client::IncomingResponse {
    fn from(response: v0_2::http_client::IncomingResponse) -> Self {
        Self {
            status: response.status,
            headers: response.headers,
            body: response.body,
        }
    }
}

/// Leaves out the fields that contract 0.1 does not have.
impl From<v0_2::http_types::Request> for v0_1::http_types::Request {
    fn from(request: v0_2::http_types::Request) -> Self {
        Self {
            method: request.method,
            route: request.route,
            path: request.path,
            query: request.query,
            params: request.params,
            headers: request.headers,
            body: request.body,
        }
    }
}

impl From<v0_1::http_types::Response> for v0_2::http_types::Response {
    fn from(response: v0_1::http_types::Response) -> Self {
        Self {
            status: response.status,
            headers: response.headers,
            body: match response.body {
                v0_1::http_types::Body::Empty => v0_2::http_types::Body::Empty,
                v0_1::http_types::Body::Text(text) => v0_2::http_types::Body::Text(text),
                v0_1::http_types::Body::Bytes(bytes) => v0_2::http_types::Body::Bytes(bytes),
                v0_1::http_types::Body::Channels(channels) => v0_2::http_types::Body::Channels(channels),
            },
        }
    }
}

/// Leaves out the fields that contract 0.1 does not have.
impl From<v0_2::context::Invocation> for v0_1::context::Invocation {
    fn from(invocation: v0_2::context::Invocation) -> Self {
        let principal = |principal: v0_2::context::Principal| v0_1::context::Principal {
            kind: principal.kind,
            id: principal.id,
            scopes: principal.scopes,
            claims: principal.claims,
        };
        Self {
            id: invocation.id,
            tenant: invocation.tenant,
            plugin: invocation.plugin,
            version: invocation.version,
            trigger: match invocation.trigger {
                v0_2::context::Trigger::Http => v0_1::context::Trigger::Http,
                v0_2::context::Trigger::Job => v0_1::context::Trigger::Job,
                v0_2::context::Trigger::Socket => v0_1::context::Trigger::Socket,
                v0_2::context::Trigger::Function => v0_1::context::Trigger::Function,
            },
            principal: invocation.principal.map(principal),
            traceparent: invocation.traceparent,
        }
    }
}

/// Leaves out what contract 0.1 does not have: the name of a schedule, the time of an event, and
/// webhooks.
impl From<v0_2::job_handler::Job> for v0_1::job_handler::Job {
    fn from(job: v0_2::job_handler::Job) -> Self {
        Self {
            id: job.id,
            name: job.name,
            payload: job.payload,
            origin: match job.origin {
                v0_2::job_handler::Origin::Enqueued | v0_2::job_handler::Origin::Webhook(_) => {
                    v0_1::job_handler::Origin::Enqueued
                }
                v0_2::job_handler::Origin::Schedule(schedule) => {
                    v0_1::job_handler::Origin::Schedule(schedule.due_at)
                }
                v0_2::job_handler::Origin::Event(event) => {
                    v0_1::job_handler::Origin::Event(v0_1::job_handler::EventOrigin {
                        id: event.id,
                        topic: event.topic,
                        source: event.source,
                    })
                }
            },
            attempt: job.attempt,
            max_attempts: job.max_attempts,
        }
    }
}
