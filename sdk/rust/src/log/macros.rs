//! The macros of the `log` crate, wired to the host.

use log::{LevelFilter, Log, Metadata, Record};

use super::Level;
use crate::host::{Backend, Host};

pub(super) fn install() {
    // An error means that a logger is there already: this one, or one that the plugin chose itself.
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
        let fields = [("target".to_owned(), record.target().to_owned())];
        match record.args().as_str() {
            Some(message) => Host::log(level, message, &fields),
            None => Host::log(level, &record.args().to_string(), &fields),
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::Level;

    #[test]
    fn the_macros_of_the_log_crate_arrive() {
        let host = crate::testing::Host::start();
        log::warn!("{} left", 2);
        let line = &host.logs()[0];
        assert_eq!((line.level, line.message.as_str()), (Level::Warn, "2 left"));
        assert_eq!(line.fields[0].0, "target");
    }
}
