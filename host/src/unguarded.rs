//! Guards that can be switched off, one at a time, to see whether generated inputs find what each of them holds back.
//!
//! Only a host that was built with the feature `unguarded` can do this, and only if the variable [`VARIABLE`] names a
//! guard. In every other host [`is_off`] is false when it is compiled. `cargo xtask fuzz --guards` is the user.

/// The variable of the environment that names the guard.
const VARIABLE: &str = "UNGUARDED";

/// A guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The schemas of an upload are compiled in a sandbox.
    SchemasApart,
    /// The manifest of an upload is read in the compile worker.
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
    cfg!(feature = "unguarded") && off() == guard.name()
}

/// The name of the guard that is switched off; empty if none is.
fn off() -> &'static str {
    static OFF: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    OFF.get_or_init(|| std::env::var(VARIABLE).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_guard_is_off_by_itself() {
        for guard in [
            Guard::SchemasApart,
            Guard::ManifestsApart,
            Guard::SqlMemory,
            Guard::PatternsApart,
            Guard::UnevaluatedApart,
            Guard::MismatchesApart,
            Guard::LoadedMemory,
            Guard::SqlClock,
        ] {
            assert!(!is_off(guard), "{guard:?}");
        }
    }
}
