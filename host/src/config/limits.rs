//! `[limits]` and `[ceiling]`: the default limits of tenants, and the highest values that a plan
//! can set.

use super::{Config, ConfigError};
use crate::domain::limits::Limits;
use crate::domain::units::ByteSize;

/// The most memory that WebAssembly can address with 32 bits.
pub(super) const MOST_MEMORY: ByteSize = ByteSize::mib(4_096);

impl Config {
    /// Refuses limits above the ceiling or below the floor. A built-in default may lie above a
    /// ceiling that the operator lowered; the ceiling then applies.
    pub(super) fn check_limits(&self) -> Result<(), ConfigError> {
        let within = |section| move |error| ConfigError::Limit { section, error };
        self.ceiling.check_floor().map_err(within("ceiling"))?;
        if let Some(asked) = self.ceiling.memory.filter(|asked| *asked > MOST_MEMORY) {
            return Err(ConfigError::TooMuchMemory { asked });
        }
        let set = self.limits.beside(&Limits::default());
        set.check(&self.ceiling()).map_err(within("limits"))
    }

    /// The highest values that plans, overrides and manifests can set.
    pub fn ceiling(&self) -> Limits {
        Limits::ceiling().replaced_by(&self.ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_hold_are_refused_with_their_bound() {
        let load = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("mortise.toml");
            std::fs::write(&path, text).unwrap();
            Config::load(Some(&path), std::iter::empty()).map_err(|error| error.to_string())
        };
        let above = load("[limits]\nmemory = '10GiB'\n").unwrap_err();
        insta::assert_snapshot!(above, @"the configuration's [limits]: memory: 10GiB is above the ceiling of 256MiB; the operator raises that in the host's configuration (`[ceiling]`)");
        let below = load("[limits]\ncpu = '0ms'\n").unwrap_err();
        insta::assert_snapshot!(below, @"the configuration's [limits]: cpu: 0ms is below 1ms, and with less no plugin can run");
        let below = load("[ceiling]\nconcurrency = 0\n").unwrap_err();
        insta::assert_snapshot!(below, @"the configuration's [ceiling]: concurrency: 0 is below 1, and with less no plugin can run");
        for fine in [
            "[limits]\nmemory = '3GiB'\n[ceiling]\nmemory = '4GiB'\n",
            "[ceiling]\nmemory = '1MiB'\n",
            "[limits]\nqueue = 0\n",
        ] {
            assert!(load(fine).is_ok(), "{fine}");
        }
    }

    #[test]
    fn what_no_memory_can_have_is_refused() {
        let load = |value: &str| {
            let variable = ("MORTISE_CEILING__MEMORY".into(), value.into());
            Config::load(None, [variable].into_iter()).map_err(|error| error.to_string())
        };
        let above = load("4097MiB").unwrap_err();
        insta::assert_snapshot!(above, @"the configuration's [ceiling]: memory: 4097MiB is more than a WebAssembly memory can have; write 4GiB at most");
        assert!(load("4GiB").is_ok());
    }

    #[test]
    fn the_ceiling_can_be_raised() {
        let config: Config = toml::from_str("[ceiling]\nmemory = '1GiB'").unwrap();
        assert_eq!(config.ceiling().memory.to_string(), "1GiB");
        assert_eq!(config.ceiling().cpu, Limits::ceiling().cpu);
    }
}
