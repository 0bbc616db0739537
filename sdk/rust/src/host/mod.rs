//! The interface to the host, which every capability module calls.
//!
//! In a component it uses the contract's imports. In a native build it uses the test host of the
//! feature `testing`, or panics without that feature.

#[cfg(all(not(feature = "testing"), not(target_family = "wasm")))]
mod absent;
#[cfg(any(test, target_family = "wasm"))]
mod lines;
#[cfg(target_family = "wasm")]
mod outgoing;
#[cfg(target_family = "wasm")]
mod stdio;
#[cfg(target_family = "wasm")]
pub(crate) mod wasm;

use std::fmt::Debug;

use crate::context::Context;
use crate::db::{self, Rows, Value};
use crate::{Content, cache, email, events, http, jobs, log, secrets, steps};

#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub(crate) use crate::testing::TestHost as Host;
#[cfg(all(not(feature = "testing"), not(target_family = "wasm")))]
pub(crate) use absent::Absent as Host;
#[cfg(target_family = "wasm")]
pub(crate) use wasm::Imports as Host;

/// The host calls of the contract, with the types of this crate.
pub(crate) trait Backend {
    type Transaction: Debug;
    type Cursor: Debug;
    type Pending: Debug;

    fn context() -> Context;
    /// The id that callers see as `request_id`; `None` without a host.
    fn request_id() -> Option<String>;
    fn remaining_ms() -> u64;
    fn now_ms() -> i64;
    fn log(level: log::Level, message: &str, fields: &[(String, String)]);
    fn config(key: &str) -> Option<String>;

    fn reveal(name: &str) -> Result<String, secrets::Error>;
    fn hmac_sha256(name: &str, data: &[u8]) -> Result<Vec<u8>, secrets::Error>;

    fn query(sql: &str, params: Vec<Value>) -> Result<Rows, db::Error>;
    fn execute(sql: &str, params: Vec<Value>) -> Result<u64, db::Error>;
    fn begin() -> Result<Self::Transaction, db::Error>;
    fn transaction_query(
        handle: &Self::Transaction,
        sql: &str,
        params: Vec<Value>,
    ) -> Result<Rows, db::Error>;
    fn transaction_execute(
        handle: &Self::Transaction,
        sql: &str,
        params: Vec<Value>,
    ) -> Result<u64, db::Error>;
    fn commit(handle: &Self::Transaction) -> Result<(), db::Error>;
    fn rollback(handle: &Self::Transaction) -> Result<(), db::Error>;
    fn transaction_enqueue(handle: &Self::Transaction, job: jobs::Prepared) -> Result<String, db::Error>;
    fn transaction_publish(
        handle: &Self::Transaction,
        topic: &str,
        data: String,
    ) -> Result<String, db::Error>;
    fn complete(handle: &Self::Transaction) -> Result<(), db::Error>;
    fn transaction_store_step(handle: &Self::Transaction, name: &str, result: &str) -> Result<(), db::Error>;
    fn open(sql: &str, params: Vec<Value>) -> Result<Self::Cursor, db::Error>;
    fn cursor_columns(handle: &Self::Cursor) -> Vec<String>;
    fn cursor_next(handle: &Self::Cursor, max: u32) -> Result<Vec<Vec<Value>>, db::Error>;

    fn cache_get(key: &str) -> Result<Option<Content>, cache::Error>;
    fn cache_set(key: &str, value: Content, ttl_ms: Option<u64>) -> Result<(), cache::Error>;
    fn cache_set_if_absent(key: &str, value: Content, ttl_ms: Option<u64>) -> Result<bool, cache::Error>;
    fn cache_increment(key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, cache::Error>;
    fn cache_delete(key: &str) -> Result<(), cache::Error>;

    fn send(message: http::Message) -> Result<http::Response, http::Error>;
    fn start(message: http::Message) -> Result<Self::Pending, http::Error>;
    fn wait(handle: &Self::Pending) -> Result<http::Response, http::Error>;

    fn enqueue(job: jobs::Prepared) -> Result<String, jobs::Error>;
    fn publish(topic: &str, data: String) -> Result<String, events::Error>;
    fn send_email(mail: email::Prepared) -> Result<String, email::Error>;
    fn load_step(name: &str) -> Result<Option<String>, steps::Error>;
    fn store_step(name: &str, result: &str) -> Result<(), steps::Error>;
}
