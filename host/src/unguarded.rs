//! Guards that a host for tests can switch off one at a time, to prove that generated inputs find what each
//! prevents.
//!
//! Only a host that was built with the feature `unguarded` reads the variable [`VARIABLE`]. In every other
//! host [`is_off`] is a constant. `cargo xtask fuzz --guards` builds and runs such a host.

/// The variable of the environment that names the guard.
const VARIABLE: &str = "UNGUARDED";

/// A guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Schemas are compiled and checked in a sandbox, where recursion ends as a trap.
    SchemasApart,
    /// The manifest of an upload has a bounded size, and is read in the compile worker.
    ManifestsApart,
    /// The SQL of a tenant has a budget of memory.
    SqlMemory,
    /// Schemas with patterns are checked in a sandbox.
    PatternsApart,
    /// Schemas with `unevaluated…` are checked in a sandbox.
    UnevaluatedApart,
    /// What does not match is collected in a sandbox, and for large bodies only the first.
    MismatchesApart,
    /// Loaded components are counted with the memory that they take.
    LoadedMemory,
    /// SQL looks at the clock where it calls functions and where it allocates.
    SqlClock,
}

impl Guard {
    /// All of them.
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

/// Whether a guard is switched off.
#[inline]
pub fn is_off(guard: Guard) -> bool {
    cfg!(feature = "unguarded") && off() == Some(guard)
}

/// The guard that is switched off.
///
/// # Panics
///
/// If the variable names no guard: a run without one would find nothing, and prove nothing.
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
