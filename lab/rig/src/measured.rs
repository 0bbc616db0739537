//! Measurements with a bar, and their formatting.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// A measurement and its bar.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// What is measured.
    name: String,
    measured: f64,
    bar: Bar,
    /// A note for people.
    note: String,
    /// The raw data.
    raw: Value,
}

/// The wanted bound of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bar {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Measured {
    /// Creates a measurement.
    pub fn new(name: &str, measured: f64, bar: Bar) -> Self {
        Self {
            name: name.to_owned(),
            measured,
            bar,
            note: String::new(),
            raw: Value::Null,
        }
    }

    /// Sets the note.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Sets the raw data.
    pub fn raw(mut self, raw: impl Serialize) -> Self {
        self.raw = serde_json::to_value(raw).unwrap_or_default();
        self
    }

    /// Whether the bar is met. NaN does not meet it.
    pub fn is_met(&self) -> bool {
        match self.bar {
            Bar::AtMost(bar) => self.measured <= bar,
            Bar::AtLeast(bar) => self.measured >= bar,
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, bar) = match self.bar {
            Bar::AtMost(bar) => ("<=", bar),
            Bar::AtLeast(bar) => (">=", bar),
        };
        let verdict = if self.is_met() { "met" } else { "missed" };
        let number = |number: f64| {
            if number.fract() == 0.0 {
                format!("{number}")
            } else {
                format!("{number:.2}")
            }
        };
        write!(
            f,
            "{}: measured {}, wanted {sign} {}: {verdict}",
            self.name,
            number(self.measured),
            number(bar)
        )?;
        if self.note.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.note)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_whether_its_bar_is_met() {
        let ratio = Measured::new("p99 beside loops", 1.234, Bar::AtMost(2.0)).note("2.0 ms alone");
        assert_eq!(
            ratio.to_string(),
            "p99 beside loops: measured 1.23, wanted <= 2: met (2.0 ms alone)"
        );
        assert!(!Measured::new("goodput", 0.5, Bar::AtLeast(0.9)).is_met());
        assert!(!Measured::new("nothing", f64::NAN, Bar::AtMost(2.0)).is_met());
    }
}
