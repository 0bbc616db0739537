//! File descriptors: as many as the system gives, and no more connections than there are descriptors for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but connections: databases of tenants, components, compile workers, outbound requests.
const RESERVED: u64 = 512;

/// Raises the number of descriptors that this process may have as far as the system lets it, and gives it. `None`:
/// without a limit.
pub fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            limit.current
        }
    }
}

/// How many connections each of `listeners` may have where `wanted` are configured and there are `descriptors`.
pub fn connections(wanted: u32, listeners: u32, descriptors: Option<u64>) -> u32 {
    let Some(descriptors) = descriptors else {
        return wanted;
    };
    // A small limit is halved: something has to be left for both.
    let reserved = RESERVED.min(descriptors / 2);
    let each = (descriptors - reserved) / u64::from(listeners.max(1));
    let possible = u32::try_from(each).unwrap_or(u32::MAX);
    if possible < wanted {
        tracing::warn!(
            wanted,
            possible,
            open_files = descriptors,
            "the limit of open files leaves room for fewer connections; raise it (`ulimit -n`, `LimitNOFILE=`)"
        );
    }
    wanted.min(possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(connections(10_000, 2, None), 10_000);
        assert_eq!(connections(10_000, 2, Some(1_048_576)), 10_000);
        assert_eq!(connections(10_000, 2, Some(20_512)), 10_000);
        assert_eq!(connections(10_000, 2, Some(20_510)), 9_999);
        assert_eq!(connections(10_000, 2, Some(1_024)), 256);
        assert_eq!(connections(10_000, 2, Some(100)), 25);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((limit.current, raised), (limit.maximum, limit.maximum));
    }
}
