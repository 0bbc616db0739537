//! The resources that a host holds, to find leaks.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{pass, within};
use crate::host::Host;
use crate::process::{open_files, resident};
use anyhow::{Context as _, Result};

/// The time within which all resources must be released.
const CALM: Duration = Duration::from_secs(30);

/// Memory that may remain in the allocator and in warm memories of the pool: by design the host
/// keeps up to 512 KiB of each of its 1,024 memories.
const MEMORY_SLACK: u64 = 192 << 20;

/// The allowed variation of descriptors: a batch of the ledger, a connection that is being closed.
const DESCRIPTOR_SLACK: u64 = 6;

const MEMORY: &str = "process_resident_bytes";
const DESCRIPTORS: &str = "process_file_descriptors";
const OUTBOUND: &str = "outbound_connections";
const IDLE_OUTBOUND: &str = "outbound_connections_idle";

/// The initial memory of a loaded component is a memory file, which the cache of loaded components
/// keeps.
const CODE: &str = "/memfd:wasm-memory-image (deleted)";

/// Caches, which are not leaks: loaded code stays within `runtime.loaded`, and blocking threads end
/// after a while.
const NO_LEAK: [&str; 4] = [
    "components_loaded",
    "components_loaded_bytes",
    "instances_total",
    "process_threads",
];

/// The resources of a host, by name.
#[derive(Clone, Debug, Default)]
pub struct Gauges(BTreeMap<String, u64>);

impl Gauges {
    /// Reads the host's own metrics and the system's metrics of its process.
    pub fn read(host: &Host) -> Result<Self> {
        let node = host.admin().get("/api/v1/node")?.ok()?;
        let said = node["gauges"].as_object().into_iter().flatten();
        let mut gauges: BTreeMap<String, u64> = said
            .filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)))
            .collect();
        gauges.insert(MEMORY.to_owned(), resident(host.id())?);
        let open = open_files(host.id())?;
        let no_code = open.iter().filter(|path| !path.starts_with(CODE)).count();
        // Idle outbound connections are kept for half a minute.
        let idle = gauges.remove(IDLE_OUTBOUND).unwrap_or(0);
        if let Some(outbound) = gauges.get_mut(OUTBOUND) {
            *outbound = outbound.saturating_sub(idle);
        }
        gauges.insert(
            DESCRIPTORS.to_owned(),
            u64::try_from(no_code)?.saturating_sub(idle),
        );
        Ok(Self(gauges))
    }

    /// Reads them once they are stable.
    pub fn settled(host: &Host) -> Result<Self> {
        let mut before = Self::read(host)?;
        within(CALM, "a moment of calm", || {
            pass(Duration::from_millis(100));
            let now = Self::read(host)?;
            let still = now.beyond(&before).is_empty() && before.beyond(&now).is_empty();
            before = now;
            Ok(still.then(|| before.clone()))
        })
    }

    /// Waits until the host holds no more than at the baseline.
    pub fn calm(host: &Host, baseline: &Gauges) -> Result<()> {
        let mut left = String::new();
        let calm = within(CALM, "the way back to the baseline", || {
            left = Self::read(host)?.beyond(baseline);
            Ok(left.is_empty().then_some(()))
        });
        calm.with_context(|| format!("left over: {left}"))
    }

    /// Describes the resources that exceed the baseline.
    fn beyond(&self, baseline: &Gauges) -> String {
        let more = self.0.iter().filter_map(|(name, now)| {
            let before = baseline.0.get(name).copied().unwrap_or(0);
            let slack = match name.as_str() {
                MEMORY => MEMORY_SLACK,
                DESCRIPTORS => DESCRIPTOR_SLACK,
                name if NO_LEAK.contains(&name) => u64::MAX,
                _ => 0,
            };
            (*now > before.saturating_add(slack)).then(|| format!("{name} {before} → {now}"))
        });
        more.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauges(numbers: &[(&str, u64)]) -> Gauges {
        Gauges(
            numbers
                .iter()
                .map(|(name, number)| ((*name).to_owned(), *number))
                .collect(),
        )
    }

    #[test]
    fn what_is_left_over_is_named() {
        let baseline = gauges(&[("instances_in_use", 0), (DESCRIPTORS, 20), (MEMORY, 1 << 30)]);
        let calm = gauges(&[
            ("instances_in_use", 0),
            (DESCRIPTORS, 22),
            (MEMORY, 1 << 30),
            ("process_threads", 90),
        ]);
        assert_eq!(calm.beyond(&baseline), "");
        let leaking = gauges(&[("instances_in_use", 1), (DESCRIPTORS, 40), (MEMORY, 2 << 30)]);
        let left = leaking.beyond(&baseline);
        assert!(
            left.contains("instances_in_use 0 → 1") && left.contains("20 → 40"),
            "{left}"
        );
        assert!(left.contains(MEMORY), "{left}");
    }
}
