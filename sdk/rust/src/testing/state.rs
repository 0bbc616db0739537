//! The state of the test host, which is kept in a thread-local variable.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::LogLine;
use super::budget::Budget;
use super::cache::Cache;
use super::database::Database;
use super::jobs::Background;
use super::mail::Outgoing;
use super::manifest::Manifest;
use super::schemas::Schemas;
use crate::context::Context;
use crate::http;

pub(super) type HttpFunction = Box<dyn Fn(&http::Message) -> Result<http::Response, http::Error>>;

pub(super) struct State {
    pub database: Database,
    pub cache: RefCell<Cache>,
    pub now_ms: Cell<i64>,
    pub config: BTreeMap<String, String>,
    pub secrets: BTreeMap<String, String>,
    pub revealed: BTreeSet<String>,
    pub http: Option<HttpFunction>,
    pub logs: RefCell<Vec<LogLine>>,
    pub context: RefCell<Context>,
    pub manifest: Option<Manifest>,
    pub schemas: Option<Schemas>,
    pub budget: Budget,
    pub background: Background,
    pub outgoing: Outgoing,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<State>>> = const { RefCell::new(None) };
}

pub(super) fn install(state: Rc<State>) {
    let previous = CURRENT.replace(Some(state));
    assert!(
        previous.is_none(),
        "this thread has a testing::Host already; drop it before starting another"
    );
}

pub(super) fn uninstall() {
    CURRENT.set(None);
}

/// The test host of this thread, if there is one.
pub(super) fn installed() -> Option<Rc<State>> {
    CURRENT.with_borrow(Clone::clone)
}

pub(super) fn current() -> Rc<State> {
    installed().unwrap_or_else(|| {
        panic!("no host on this thread: keep a `let host = mortise_sdk::testing::Host::start();` alive in the test")
    })
}
