//! Safety checks (guards) that a test host can switch off one at a time, to prove that fuzzing
//! finds the fault that each of them prevents.
//!
//! Only a host that is built with the feature `unguarded` reads the environment variable
//! [`VARIABLE`]. In every other host [`is_off`] is always false. `cargo xtask fuzz --guards` builds
//! and runs such a host.

/// The environment variable that names the guard to switch off.
const VARIABLE: &str = "UNGUARDED";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Schemas are compiled and checked in a sandbox, where endless recursion ends as a trap.
    SchemasApart,
    /// The manifest of an upload has a size limit and is read in the compile worker.
    ManifestsApart,
    /// The SQL of a tenant has a memory limit.
    SqlMemory,
    /// Schemas with patterns are checked in a sandbox.
    PatternsApart,
    /// Schemas with `unevaluated…` are checked in a sandbox.
    UnevaluatedApart,
    /// Mismatches are collected in a sandbox. For large bodies only the first mismatch is
    /// collected.
    MismatchesApart,
    /// Loaded components are counted with the memory that they take.
    LoadedMemory,
    /// SQL checks its deadline when it calls functions and when it allocates.
    SqlClock,
}

impl Guard {
    const ALL: [Self; 8] = [
        Self::SchemasApart,
        Self::ManifestsApart,
        Self::SqlMemory,
        Self::PatternsApart,
        Self::UnevaluatedApart,
        Self::MismatchesApart,
        Self::LoadedMemory,
        Self::SqlClock,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::SchemasApart => "schemas-apart",
            Self::ManifestsApart => "manifests-apart",
            Self::SqlMemory => "sql-memory",
            Self::PatternsApart => "patterns-apart",
            Self::UnevaluatedApart => "unevaluated-apart",
            Self::MismatchesApart => "mismatches-apart",
            Self::LoadedMemory => "loaded-memory",
            Self::SqlClock => "sql-clock",
        }
    }
}

#[inline]
pub fn is_off(guard: Guard) -> bool {
    cfg!(feature = "unguarded") && off() == Some(guard)
}

/// The guard that is switched off.
///
/// # Panics
///
/// If the variable names no guard. A run with a misspelt guard would test nothing.
fn off() -> Option<Guard> {
    static OFF: std::sync::OnceLock<Option<Guard>> = std::sync::OnceLock::new();
    *OFF.get_or_init(|| {
        let name = std::env::var(VARIABLE).ok()?;
        let guard = Guard::ALL.into_iter().find(|guard| guard.name() == name);
        let known = Guard::ALL.map(Guard::name).join(", ");
        Some(guard.unwrap_or_else(|| panic!("{VARIABLE}={name} names no guard; the guards are {known}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_guard_is_off_by_itself() {
        for guard in Guard::ALL {
            assert!(!is_off(guard), "{guard:?}");
        }
    }
}
