//! The smallest and largest values of keys whose other values would stop the host from working.
//!
//! The limits of tenants have their bounds in [`crate::domain::limits`].

use super::{Config, ConfigError};
use crate::domain::effective::Kind;
use crate::domain::units::{ByteSize, Span};

impl Config {
    /// Rejects values with which the host cannot work.
    pub(super) fn check_bounds(&self) -> Result<(), ConfigError> {
        let Self {
            server,
            runtime,
            compile,
            jobs,
            ..
        } = self;
        let some = Span::ms(1);
        [
            at_least(
                "server.connections",
                server.connections,
                1,
                "no caller could connect",
            ),
            at_least(
                "server.connections_per_address",
                server.connections_per_address,
                1,
                "no caller could connect",
            ),
            at_least(
                "server.header_timeout",
                server.header_timeout,
                some,
                "each request would time out",
            ),
            at_least(
                "server.keep_alive",
                server.keep_alive,
                some,
                "each connection would be closed at once",
            ),
            at_least(
                "server.body_timeout",
                server.body_timeout,
                some,
                "each request body would time out",
            ),
            at_least(
                "server.write_timeout",
                server.write_timeout,
                some,
                "each response would time out",
            ),
            at_least(
                "server.idle_timeout",
                server.idle_timeout,
                some,
                "each connection would be closed at once",
            ),
            at_least(
                "server.connection_age",
                server.connection_age,
                some,
                "each connection would be closed at once",
            ),
            at_least("runtime.instances", runtime.instances, 1, "no plugin could run"),
            at_most(
                "runtime.threads",
                runtime.threads,
                1_024,
                "0 stands for one thread for each core",
            ),
            at_most(
                "runtime.nice",
                u32::from(runtime.nice),
                19,
                "19 is the lowest priority of the system",
            ),
            at_least(
                "runtime.loaded",
                runtime.loaded,
                ByteSize::mib(1),
                "no component would stay loaded",
            ),
            at_most(
                "jobs.running",
                jobs.running,
                runtime.instances,
                "each running job takes one of `runtime.instances`",
            ),
            at_least(
                "compile.workers",
                compile.workers,
                1,
                "no component could be compiled",
            ),
            at_least(
                "compile.memory",
                compile.memory,
                ByteSize::mib(128),
                "the compile worker could not start",
            ),
            at_least(
                "compile.cpu",
                compile.cpu,
                Span::s(1),
                "no component could be compiled",
            ),
            at_least(
                "compile.wall",
                compile.wall,
                Span::s(1),
                "no component could be compiled",
            ),
        ]
        .into_iter()
        .collect()
    }
}

fn at_least<T: Kind>(
    key: &'static str,
    value: T,
    smallest: T,
    consequence: &'static str,
) -> Result<(), ConfigError> {
    match value < smallest {
        true => Err(ConfigError::TooLow {
            key,
            value: value.into(),
            smallest: smallest.into(),
            consequence,
        }),
        false => Ok(()),
    }
}

fn at_most<T: Kind>(key: &'static str, value: T, largest: T, hint: &'static str) -> Result<(), ConfigError> {
    match value > largest {
        true => Err(ConfigError::TooHigh {
            key,
            value: value.into(),
            largest: largest.into(),
            hint,
        }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variable: &str, value: &str) -> Result<(), String> {
        let variables = [(variable.into(), value.into())];
        let loaded = Config::load(None, variables.into_iter());
        loaded.map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_with_its_key_and_the_bound() {
        let low = load("MORTISE_RUNTIME__INSTANCES", "0").unwrap_err();
        insta::assert_snapshot!(low, @"the configuration's runtime.instances: 0 is too low, and with it no plugin could run; write 1 or more");
        let low = load("MORTISE_COMPILE__MEMORY", "127MiB").unwrap_err();
        insta::assert_snapshot!(low, @"the configuration's compile.memory: 127MiB is too low, and with it the compile worker could not start; write 128MiB or more");
        let high = load("MORTISE_RUNTIME__THREADS", "20000").unwrap_err();
        insta::assert_snapshot!(high, @"the configuration's runtime.threads: 20000 is too high; write 1024 or less (0 stands for one thread for each core)");
        for (variable, outside, within) in [
            ("SERVER__CONNECTIONS", "0", "1"),
            ("SERVER__CONNECTIONS_PER_ADDRESS", "0", "1"),
            ("SERVER__HEADER_TIMEOUT", "0ms", "1ms"),
            ("SERVER__KEEP_ALIVE", "0s", "1ms"),
            ("SERVER__BODY_TIMEOUT", "0s", "1ms"),
            ("SERVER__WRITE_TIMEOUT", "0s", "1ms"),
            ("SERVER__IDLE_TIMEOUT", "0s", "1ms"),
            ("SERVER__CONNECTION_AGE", "0s", "1ms"),
            ("RUNTIME__INSTANCES", "0", "1"),
            ("RUNTIME__THREADS", "1025", "1024"),
            ("RUNTIME__NICE", "20", "19"),
            ("RUNTIME__LOADED", "0B", "1MiB"),
            ("JOBS__RUNNING", "257", "256"),
            ("COMPILE__WORKERS", "0", "1"),
            ("COMPILE__MEMORY", "0B", "128MiB"),
            ("COMPILE__CPU", "999ms", "1s"),
            ("COMPILE__WALL", "0s", "1s"),
        ] {
            let name = format!("MORTISE_{variable}");
            let key = variable.to_lowercase().replace("__", ".");
            let error = load(&name, outside).unwrap_err();
            assert!(
                error.starts_with(&format!("the configuration's {key}: ")),
                "{error}"
            );
            assert_eq!(load(&name, within), Ok(()), "{variable}");
        }
    }

    #[test]
    fn zero_is_possible_where_it_has_a_meaning() {
        for variable in [
            "RUNTIME__THREADS",
            "BREAKER__FAILURES",
            "RUNTIME__INSTANCES_KEPT",
            "JOBS__RUNNING",
        ] {
            assert_eq!(load(&format!("MORTISE_{variable}"), "0"), Ok(()), "{variable}");
        }
        for variable in ["SERVER__DRAIN_DELAY", "SERVER__DRAIN_TIMEOUT"] {
            assert_eq!(load(&format!("MORTISE_{variable}"), "0s"), Ok(()), "{variable}");
        }
    }
}
