//! Named places at which a test can end the process, to prove that a crash there loses nothing.
//!
//! The environment variable [`VARIABLE`] names one place: `claimed` ends the process when the place
//! is reached first, `claimed:3` when it is reached for the third time.
//! `cargo xtask hostile --jobs` sets the variable. Without it, a place costs one load of an atomic
//! value.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The environment variable.
pub const VARIABLE: &str = "MORTISE_TEST_FAIL_POINT";

/// All places.
pub const NAMES: [&str; 10] = [
    "claimed",
    "before-run",
    "after-effect",
    "before-acknowledge",
    "after-acknowledge",
    "relay-read",
    "relay-added",
    "relay-deleted",
    "tick",
    "enqueue-added",
];

static IS_ARMED: AtomicBool = AtomicBool::new(false);
static POINT: OnceLock<FailPoint> = OnceLock::new();

/// The place at which the process ends.
#[derive(Debug)]
struct FailPoint {
    name: String,
    /// How often the place is still passed.
    passes: AtomicU32,
}

/// The variable names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{VARIABLE}={0} is no fail point; write a name, or a name with a number such as `claimed:3`; the names \
     are {names}",
    names = NAMES.join(", ")
)]
pub struct InvalidFailPoint(String);

/// Reads the variable. Call it once, before anything can be reached.
pub fn arm() -> Result<(), InvalidFailPoint> {
    let Some(text) = std::env::var_os(VARIABLE) else {
        return Ok(());
    };
    let point = FailPoint::parse(&text.to_string_lossy())?;
    tracing::warn!(
        name = point.name,
        "the process will end at a fail point, because {VARIABLE} is set"
    );
    if POINT.set(point).is_ok() {
        IS_ARMED.store(true, Ordering::Release);
    }
    Ok(())
}

/// Ends the process if the variable names this place.
#[inline]
pub fn reach(name: &'static str) {
    debug_assert!(NAMES.contains(&name), "{name} is not in the list of places");
    if IS_ARMED.load(Ordering::Relaxed)
        && let Some(point) = POINT.get()
        && point.is_reached(name)
    {
        tracing::error!(name, "the process ends at a fail point");
        std::process::abort();
    }
}

impl FailPoint {
    fn parse(text: &str) -> Result<Self, InvalidFailPoint> {
        let (name, number) = text.split_once(':').unwrap_or((text, "1"));
        match number.parse::<u32>() {
            Ok(number @ 1..) if NAMES.contains(&name) => Ok(Self {
                name: name.to_owned(),
                passes: AtomicU32::new(number - 1),
            }),
            _ => Err(InvalidFailPoint(text.chars().take(80).collect())),
        }
    }

    /// Whether the process ends now.
    fn is_reached(&self, name: &str) -> bool {
        let one_less = |passes: u32| passes.checked_sub(1);
        self.name == name
            && self
                .passes
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                .is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_reached_at_the_given_time_and_no_other_place_is() {
        let point = FailPoint::parse("claimed:3").unwrap();
        let reached =
            ["claimed", "before-run", "claimed", "relay-read", "claimed"].map(|name| point.is_reached(name));
        assert_eq!(reached, [false, false, false, false, true]);
        assert!(FailPoint::parse("tick").unwrap().is_reached("tick"));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "elsewhere",
            "claimed:",
            "claimed:0",
            "claimed:-1",
            "claimed:x",
            ":1",
        ] {
            let error = FailPoint::parse(text).unwrap_err().to_string();
            assert!(error.contains("relay-deleted"), "{error}");
        }
    }

    #[test]
    fn nothing_ends_without_the_variable() {
        for name in NAMES {
            reach(name);
        }
    }
}
