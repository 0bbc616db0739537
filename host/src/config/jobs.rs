//! `[jobs]`: how many jobs a node runs.

use serde::{Deserialize, Serialize};

/// How many jobs a node runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobsSection {
    /// Jobs of all tenants that this node runs at once. An eighth of them is for tenants that run
    /// no job. 0: half of `runtime.instances`.
    pub running: u32,
}

impl JobsSection {
    /// The number of jobs that this node runs at once, if it has so many instances. At least one.
    pub fn slots(&self, instances: u32) -> u32 {
        match self.running {
            0 => (instances / 2).max(1),
            running => running,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_instances_run_jobs_unless_a_number_is_set() {
        let slots = |running, instances| JobsSection { running }.slots(instances);
        assert_eq!((slots(0, 256), slots(0, 1), slots(3, 256)), (128, 1, 3));
    }
}
