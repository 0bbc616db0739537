//! The catalogue of attacks (rows): how each is run and judged.

use std::fmt;

use anyhow::{Result, bail};
use rig::clock::{now, spoken};
use rig::good::{Good, Window};
use rig::process::{descriptors, resident, threads};
use serde::Serialize;

use crate::rows;
use crate::say;
use crate::stage::Stage;

/// The result of a row: a summary, or the reason of its failure.
pub type Seen = Result<String>;

/// One attack or fault of the catalogue.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its id: `B1`.
    pub id: &'static str,
    /// The attack, in words.
    pub tried: &'static str,
    /// Runs the attack.
    pub run: fn(&Stage) -> Seen,
}

/// The outcome of a row.
#[derive(Clone, Serialize)]
pub struct Verdict {
    id: &'static str,
    tried: &'static str,
    seen: String,
    passed: bool,
    beside: Option<Beside>,
    seconds: f64,
}

/// Every row, in the order of the ids.
pub fn rows() -> Vec<Row> {
    let areas: [&[Row]; 24] = [
        &rows::upload::ROWS,
        &rows::compile::ROWS,
        &rows::guest::ROWS,
        &rows::responses::ROWS,
        &rows::host_call::ROWS,
        &rows::egress::ROWS,
        &rows::servers::ROWS,
        &rows::sqlite::ROWS,
        &rows::queries::ROWS,
        &rows::ingress::ROWS,
        &rows::messages::ROWS,
        &rows::frames::ROWS,
        &rows::access::ROWS,
        &rows::cache::ROWS,
        &rows::log::ROWS,
        &rows::telling::ROWS,
        &rows::crash::ROWS,
        &rows::starts::ROWS,
        &rows::faults::ROWS,
        &rows::shares::ROWS,
        &rows::jobs::ROWS,
        &rows::mail::ROWS,
        &rows::webhooks_in::ROWS,
        &rows::webhooks_out::ROWS,
    ];
    areas.concat()
}

/// The resources of all standing hosts together.
#[derive(Clone, Copy, Default, Serialize)]
struct Resources {
    mebibytes: u64,
    threads: u64,
    descriptors: u64,
}

impl Resources {
    fn by(stage: &Stage) -> Result<Self> {
        let mut resources = Self::default();
        for host in stage.running() {
            resources.mebibytes += resident(host.id())? >> 20;
            resources.threads += threads(host.id())?;
            resources.descriptors += descriptors(host.id())?;
        }
        Ok(resources)
    }
}

/// The measurements during a row.
#[derive(Clone, Serialize)]
struct Beside {
    good_p99_ms: f64,
    before: Resources,
    after: Resources,
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (&self.before, &self.after);
        write!(
            f,
            "good p99 {:.1} ms, {} → {} MiB, {} → {} threads, {} → {} descriptors",
            self.good_p99_ms,
            before.mebibytes,
            after.mebibytes,
            before.threads,
            after.threads,
            before.descriptors,
            after.descriptors
        )
    }
}

/// Runs a row while the good tenant of each standing host is called, and checks for leaks.
fn watched(stage: &Stage, row: &Row) -> (Seen, Result<Beside>) {
    // The hosts that most rows use are started before the first row.
    let measured = stage.plain().and_then(|_| stage.open()).and_then(|_| {
        let before = Resources::by(stage)?;
        let good: Vec<Good> = stage
            .running()
            .map(|host| Good::start(host.public))
            .collect::<Result<_>>()?;
        let seen = (row.run)(stage);
        let windows: Vec<Window> = good.into_iter().map(Good::stop).collect();
        // A leak, or an unanswered request of the good tenant, fails the row.
        let mut seen = seen.and_then(|seen| stage.look_around().map(|()| seen));
        for window in &windows {
            let (late, trouble) = (window.late(), window.trouble());
            if late > 0 || !trouble.is_empty() {
                seen = seen.and_then(|_| bail!("the good tenant: {late} waited for seconds; {trouble}"));
            }
        }
        let slowest = windows.iter().map(Window::p99).max().unwrap_or_default();
        let beside = Beside {
            good_p99_ms: slowest.as_secs_f64() * 1e3,
            before,
            after: Resources::by(stage)?,
        };
        Ok((seen, beside))
    });
    match measured {
        Ok((seen, beside)) => (seen, Ok(beside)),
        Err(error) => (Err(error), Err(anyhow::anyhow!("not measured"))),
    }
}

/// Runs rows one after the other, prints a line about each, and returns the outcomes.
pub fn run(stage: &Stage, rows: &[Row]) -> Vec<Verdict> {
    rows.iter()
        .map(|row| {
            let begin = now();
            let (seen, beside) = watched(stage, row);
            let verdict = Verdict {
                id: row.id,
                tried: row.tried,
                passed: seen.is_ok(),
                seen: seen.unwrap_or_else(|error| format!("{error:#}")),
                beside: beside.as_ref().ok().cloned(),
                seconds: begin.elapsed().as_secs_f64(),
            };
            let word = if verdict.passed { "pass" } else { "FAIL" };
            say(&format!(
                "{:<4} {word}  {}: {} ({}; {})\n",
                verdict.id,
                verdict.tried,
                verdict.seen,
                spoken(begin.elapsed()),
                beside.map_or_else(|error| error.to_string(), |beside| beside.to_string())
            ));
            verdict
        })
        .collect()
}

/// Returns whether all rows passed, and prints how many did.
pub fn survived(verdicts: &[Verdict]) -> bool {
    let failed: Vec<_> = verdicts
        .iter()
        .filter(|verdict| !verdict.passed)
        .map(|verdict| verdict.id)
        .collect();
    let list = if failed.is_empty() {
        String::new()
    } else {
        format!("; failed: {}", failed.join(", "))
    };
    say(&format!(
        "survived {} of {}{list}\n",
        verdicts.len() - failed.len(),
        verdicts.len()
    ));
    failed.is_empty()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_of_the_catalogue_is_there_once() {
        let numbered = |area: &str, numbers: &[u32]| -> Vec<String> {
            numbers.iter().map(|number| format!("{area}{number}")).collect()
        };
        let wanted: BTreeSet<String> = [
            numbered("A", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
            numbered("B", &(1..=20).collect::<Vec<_>>()),
            numbered("C", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
            numbered("D", &(1..=18).collect::<Vec<_>>()),
            numbered("E", &(1..=13).collect::<Vec<_>>()),
            numbered("G", &(1..=22).collect::<Vec<_>>()),
            numbered("H", &[4, 6, 7, 8, 10, 11, 12]),
            numbered("J", &[1, 2, 3, 5, 6, 7, 8]),
            numbered("K", &[1, 3, 4, 6, 7, 8, 9]),
            numbered("L", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 17, 18]),
            numbered("M", &[1, 2, 3]),
            numbered("N", &(1..=12).collect::<Vec<_>>()),
        ]
        .concat()
        .into_iter()
        .collect();
        let there: Vec<String> = rows().iter().map(|row| row.id.to_owned()).collect();
        let unique: BTreeSet<String> = there.iter().cloned().collect();
        assert_eq!(unique, wanted);
        assert_eq!(unique.len(), there.len(), "no row is there twice");
        assert!(there.len() > 120);
    }
}
