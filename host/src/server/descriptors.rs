//! Raises the limit of file descriptors, and divides the descriptors between connections and
//! databases.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The descriptors for everything but connections: open databases of tenants at their minimum,
/// components, compile workers and outbound requests.
const RESERVED: u64 = 512;

/// The least and most descriptors of idle open databases. A database that is only read takes three,
/// a written one takes five. Each comes with up to 64 KiB of memory, so the maximum stands for 1
/// GiB.
const FEWEST_OF_DATABASES: u64 = 256;
const MOST_OF_DATABASES: u64 = 16_384;

/// One in this many descriptors is for databases.
const DATABASES_PART: u64 = 4;

/// Raises this process's limit of open files to the maximum that the system permits.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// The number of descriptors that this process may have. `None` means no limit.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The number of `descriptors` that idle databases of tenants may keep open.
pub fn databases(descriptors: Option<u64>) -> u64 {
    descriptors.map_or(MOST_OF_DATABASES, |descriptors| {
        (descriptors / DATABASES_PART).clamp(FEWEST_OF_DATABASES, MOST_OF_DATABASES)
    })
}

/// The number of connections that each of `listeners` may have, if `wanted` are configured and
/// `descriptors` are available.
pub fn connections(wanted: u32, listeners: u32, descriptors: Option<u64>) -> u32 {
    let Some(descriptors) = descriptors else {
        return wanted;
    };
    let possible = possible(listeners, descriptors);
    if possible < wanted {
        tracing::warn!(
            wanted,
            possible,
            open_files = descriptors,
            needed = needed(wanted, listeners),
            "the limit of open files leaves room for fewer connections on each listener than \
             `server.connections`; raise the limit to `needed` (`ulimit -n`, `LimitNOFILE=`), or lower the key"
        );
    }
    wanted.min(possible)
}

/// How many connections each of `listeners` can have with `descriptors`.
fn possible(listeners: u32, descriptors: u64) -> u32 {
    // A small limit is halved: something has to be left for both.
    let of_databases = databases(Some(descriptors)) - FEWEST_OF_DATABASES;
    let reserved = (RESERVED + of_databases).min(descriptors / 2);
    let each = (descriptors - reserved) / u64::from(listeners.max(1));
    u32::try_from(each).unwrap_or(u32::MAX)
}

/// The fewest descriptors with which each of `listeners` can have `wanted` connections.
fn needed(wanted: u32, listeners: u32) -> u64 {
    let of_connections = u64::from(wanted) * u64::from(listeners.max(1));
    // The reserve is never larger than `RESERVED + MOST_OF_DATABASES`.
    let (mut least, mut most) = (of_connections, of_connections + RESERVED + MOST_OF_DATABASES);
    while least < most {
        let middle = least.midpoint(most);
        if possible(listeners, middle) < wanted {
            least = middle + 1;
        } else {
            most = middle;
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(connections(10_000, 2, None), 10_000);
        assert_eq!(connections(10_000, 2, Some(1_048_576)), 10_000);
        assert_eq!(connections(10_000, 2, Some(27_008)), 10_000);
        assert_eq!(connections(10_000, 2, Some(20_000)), 7_372);
        assert_eq!(connections(10_000, 2, Some(1_024)), 256);
        assert_eq!(connections(10_000, 2, Some(100)), 25);
    }

    #[test]
    fn as_many_descriptors_as_are_needed_are_enough_and_one_less_is_not() {
        for (wanted, listeners) in [(1, 1), (100, 2), (10_000, 2), (1_000_000, 2), (u32::MAX, 2)] {
            let needed = needed(wanted, listeners);
            assert!(possible(listeners, needed) >= wanted, "{wanted}");
            assert!(possible(listeners, needed - 1) < wanted, "{wanted}");
        }
        assert_eq!(needed(10_000, 2), 27_007);
    }

    #[test]
    fn the_more_descriptors_the_more_databases_stay_open() {
        assert_eq!(databases(Some(100)), 256);
        assert_eq!(databases(Some(1_024)), 256);
        assert_eq!(databases(Some(20_000)), 5_000);
        assert_eq!(databases(Some(1_048_576)), 16_384);
        assert_eq!(databases(None), 16_384);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise();
        assert_eq!(limit(), getrlimit(Resource::Nofile).maximum);
    }
}
