//! The rows: what is tried, and how it is run and judged.

use anyhow::Result;
use rig::clock::{now, spoken};
use serde::Serialize;

use crate::rows;
use crate::say;
use crate::stage::Stage;

/// What a row saw, or why it fails.
pub type Seen = Result<String>;

/// One attack or fault of the catalogue.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its id: `B1`.
    pub id: &'static str,
    /// What is tried.
    pub tried: &'static str,
    /// Tries it.
    pub run: fn(&Stage) -> Seen,
}

/// What came of a row.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    id: &'static str,
    tried: &'static str,
    seen: String,
    passed: bool,
    seconds: f64,
}

/// Every row, in the order of the ids.
pub fn rows() -> Vec<Row> {
    let areas: [&[Row]; 11] = [
        &rows::upload::ROWS,
        &rows::compile::ROWS,
        &rows::guest::ROWS,
        &rows::host_call::ROWS,
        &rows::egress::ROWS,
        &rows::sqlite::ROWS,
        &rows::ingress::ROWS,
        &rows::access::ROWS,
        &rows::cache::ROWS,
        &rows::log::ROWS,
        &rows::crash::ROWS,
    ];
    areas.concat()
}

/// Runs rows one after the other, says a line about each, and gives what came of them.
pub fn run(stage: &Stage, rows: &[Row]) -> Vec<Verdict> {
    rows.iter()
        .map(|row| {
            let begin = now();
            let seen = (row.run)(stage);
            // A row that leaves something behind, or a good tenant without an answer, has failed.
            let seen = seen.and_then(|seen| stage.look_around().map(|()| seen));
            let verdict = Verdict {
                id: row.id,
                tried: row.tried,
                passed: seen.is_ok(),
                seen: seen.unwrap_or_else(|error| format!("{error:#}")),
                seconds: begin.elapsed().as_secs_f64(),
            };
            let word = if verdict.passed { "pass" } else { "FAIL" };
            say(&format!(
                "{:<4} {word}  {}: {} ({})\n",
                verdict.id,
                verdict.tried,
                verdict.seen,
                spoken(begin.elapsed())
            ));
            verdict
        })
        .collect()
}

/// Whether all rows passed; says how many did.
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
            numbered("B", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]),
            numbered("C", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
            numbered("D", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
            numbered("E", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
            numbered("G", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
            numbered("H", &[4, 6, 7, 8, 10]),
            numbered("J", &[1, 2, 3, 5, 6]),
            numbered("K", &[1, 3, 4, 6]),
        ]
        .concat()
        .into_iter()
        .collect();
        let there: Vec<String> = rows().iter().map(|row| row.id.to_owned()).collect();
        let unique: BTreeSet<String> = there.iter().cloned().collect();
        assert_eq!(unique, wanted);
        assert_eq!(unique.len(), there.len(), "no row is there twice");
    }
}
