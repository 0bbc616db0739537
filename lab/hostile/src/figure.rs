//! The measurements of attacks (figures): each has a bar and its own baseline.

use anyhow::Result;
use rig::clock::{now, spoken};
use rig::{Bar, Measured};

use crate::say;
use crate::stage::Stage;

/// A measurement.
#[derive(Clone, Copy)]
pub struct Figure {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// Runs the measurement.
    pub run: fn(&Stage) -> Result<Vec<Measured>>,
}

/// Runs figures one after the other, and prints a line about each number.
pub fn run(stage: &Stage, figures: &[Figure]) -> Vec<Measured> {
    let mut all = Vec::new();
    for figure in figures {
        let begin = now();
        let measured = (figure.run)(stage).and_then(|measured| stage.look_around().map(|()| measured));
        let measured = measured.unwrap_or_else(|error| {
            vec![Measured::new(figure.name, f64::NAN, Bar::AtMost(0.0)).note(format!("{error:#}"))]
        });
        for measured in &measured {
            say(&format!("figure {measured}\n"));
        }
        say(&format!(
            "     {} took {}\n",
            figure.what,
            spoken(begin.elapsed())
        ));
        all.extend(measured);
    }
    all
}
