//! Connects the macros of the `log` crate to the host.

use std::cell::Cell;

use log::{LevelFilter, Log, Metadata, Record};

use super::Level;
use crate::host::{Backend, Host};

thread_local! {
    /// The name of the plugin's own crate. Tests of several plugins may run on several threads.
    static OWN: Cell<&'static str> = const { Cell::new("") };
}

pub(super) fn install(own: &'static str) {
    OWN.set(own);
    // An error means that a logger is installed already: this one, or the plugin's own.
    if log::set_logger(&HostLogger).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

struct HostLogger;

impl Log for HostLogger {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        let target = || ("target".to_owned(), record.target().to_owned());
        let fields: Vec<_> = (!is_own(record.target())).then(target).into_iter().collect();
        match record.args().as_str() {
            Some(message) => Host::log(level, message, &fields),
            None => Host::log(level, &record.args().to_string(), &fields),
        }
    }

    fn flush(&self) {}
}

/// Whether a target is a module of the plugin's own crate, which need not be named.
fn is_own(target: &str) -> bool {
    crate_of(target) == crate_of(OWN.get())
}

fn crate_of(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::{Level, install};

    #[test]
    fn the_macros_of_the_log_crate_arrive_and_name_a_foreign_module() {
        let host = crate::testing::Host::start();
        install("helpdesk");
        log::warn!(target: "helpdesk::mail", "{} left", 2);
        log::warn!(target: "helpdesk_client", "slow");
        let logs = host.logs();
        assert_eq!((logs[0].level, logs[0].message.as_str()), (Level::Warn, "2 left"));
        assert_eq!(logs[0].fields, []);
        assert_eq!(
            logs[1].fields,
            [("target".to_owned(), "helpdesk_client".to_owned())]
        );
    }
}
