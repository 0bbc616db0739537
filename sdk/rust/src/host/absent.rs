//! The backend of a native build without the feature `testing`: every call panics.

use std::convert::Infallible;

use super::Backend;
use crate::context::Context;
use crate::db::{self, Rows, Value};
use crate::{Content, cache, email, events, http, jobs, log, secrets, steps};

pub(crate) struct Absent;

fn absent() -> ! {
    panic!(
        "this code runs outside of a Mortise host; in tests, enable the feature `testing` of mortise-sdk \
         (under [dev-dependencies]) and start a mortise_sdk::testing::Host"
    )
}

impl Backend for Absent {
    type Transaction = Infallible;
    type Cursor = Infallible;
    type Pending = Infallible;

    fn context() -> Context {
        absent()
    }

    fn request_id() -> Option<String> {
        None
    }

    fn remaining_ms() -> u64 {
        absent()
    }

    fn now_ms() -> i64 {
        absent()
    }

    fn log(_level: log::Level, _message: &str, _fields: &[(String, String)]) {
        absent()
    }

    fn config(_key: &str) -> Option<String> {
        absent()
    }

    fn reveal(_name: &str) -> Result<String, secrets::Error> {
        absent()
    }

    fn hmac_sha256(_name: &str, _data: &[u8]) -> Result<Vec<u8>, secrets::Error> {
        absent()
    }

    fn query(_sql: &str, _params: Vec<Value>) -> Result<Rows, db::Error> {
        absent()
    }

    fn execute(_sql: &str, _params: Vec<Value>) -> Result<u64, db::Error> {
        absent()
    }

    fn begin() -> Result<Self::Transaction, db::Error> {
        absent()
    }

    fn transaction_query(
        _handle: &Self::Transaction,
        _sql: &str,
        _params: Vec<Value>,
    ) -> Result<Rows, db::Error> {
        absent()
    }

    fn transaction_execute(
        _handle: &Self::Transaction,
        _sql: &str,
        _params: Vec<Value>,
    ) -> Result<u64, db::Error> {
        absent()
    }

    fn commit(_handle: &Self::Transaction) -> Result<(), db::Error> {
        absent()
    }

    fn rollback(_handle: &Self::Transaction) -> Result<(), db::Error> {
        absent()
    }

    fn transaction_enqueue(_handle: &Self::Transaction, _job: jobs::Prepared) -> Result<String, db::Error> {
        absent()
    }

    fn transaction_publish(
        _handle: &Self::Transaction,
        _topic: &str,
        _data: String,
    ) -> Result<String, db::Error> {
        absent()
    }

    fn complete(_handle: &Self::Transaction) -> Result<(), db::Error> {
        absent()
    }

    fn transaction_store_step(
        _handle: &Self::Transaction,
        _name: &str,
        _result: &str,
    ) -> Result<(), db::Error> {
        absent()
    }

    fn open(_sql: &str, _params: Vec<Value>) -> Result<Self::Cursor, db::Error> {
        absent()
    }

    fn cursor_columns(_handle: &Self::Cursor) -> Vec<String> {
        absent()
    }

    fn cursor_next(_handle: &Self::Cursor, _max: u32) -> Result<Vec<Vec<Value>>, db::Error> {
        absent()
    }

    fn cache_get(_key: &str) -> Result<Option<Content>, cache::Error> {
        absent()
    }

    fn cache_set(_key: &str, _value: Content, _ttl_ms: Option<u64>) -> Result<(), cache::Error> {
        absent()
    }

    fn cache_set_if_absent(_key: &str, _value: Content, _ttl_ms: Option<u64>) -> Result<bool, cache::Error> {
        absent()
    }

    fn cache_increment(_key: &str, _delta: i64, _ttl_ms: Option<u64>) -> Result<i64, cache::Error> {
        absent()
    }

    fn cache_delete(_key: &str) -> Result<(), cache::Error> {
        absent()
    }

    fn send(_message: http::Message) -> Result<http::Response, http::Error> {
        absent()
    }

    fn start(_message: http::Message) -> Result<Self::Pending, http::Error> {
        absent()
    }

    fn wait(_handle: &Self::Pending) -> Result<http::Response, http::Error> {
        absent()
    }

    fn enqueue(_job: jobs::Prepared) -> Result<String, jobs::Error> {
        absent()
    }

    fn publish(_topic: &str, _data: String) -> Result<String, events::Error> {
        absent()
    }

    fn send_email(_mail: email::Prepared) -> Result<String, email::Error> {
        absent()
    }

    fn load_step(_name: &str) -> Result<Option<String>, steps::Error> {
        absent()
    }

    fn store_step(_name: &str, _result: &str) -> Result<(), steps::Error> {
        absent()
    }
}
