//! Finds the input that broke a promise, reduces it and stores it in a file.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rig::clock::{now, pass};
use rig::good::Good;

use crate::failure::{self, Failure};
use crate::input::{Finding, Input};
use crate::kinds::Kind;
use crate::reduce::reduce;
use crate::say;
use crate::session::{Ran, Settings};
use crate::target::{Prepared, Target};

/// The number of inputs that are tried one by one, before all are tried together.
const SUSPECTS: usize = 12;

/// The limits of a reduction: trials and time.
const TRIES: usize = 150;
const TIMEOUT: Duration = Duration::from_secs(180);

/// The threads and the time to repeat inputs, if the failure is the good tenant's wait.
const NEIGHBOURS: usize = 3;
const REPEAT: Duration = Duration::from_secs(3);

/// Tries inputs, each on a host without an earlier failure.
pub struct Trials<'a> {
    prepared: &'a Prepared,
    bar: Duration,
    target: Option<Target>,
}

impl<'a> Trials<'a> {
    /// The first trial starts a host.
    pub fn new(prepared: &'a Prepared, bar: Duration) -> Self {
        Self {
            prepared,
            bar,
            target: None,
        }
    }

    /// Sends the inputs to a host and returns the failure, if there is one. After a failure the
    /// next trial uses a new host.
    pub fn run(&mut self, inputs: &[Input], with_neighbours: bool) -> Result<Option<Failure>> {
        let target = match self.target.take() {
            Some(target) => target,
            None => self.prepared.start()?,
        };
        let failure = trial(&target, inputs, with_neighbours, self.bar)?;
        if failure.is_none() {
            self.target = Some(target);
        }
        Ok(failure)
    }
}

fn trial(target: &Target, inputs: &[Input], with_neighbours: bool, bar: Duration) -> Result<Option<Failure>> {
    let all = || -> Result<(), Failure> {
        for input in inputs {
            if let Some(kind) = Kind::named(&input.kind) {
                (kind.run)(target, &input.parts)?;
            }
            if let Some(failure) = target.complaint() {
                return Err(failure);
            }
        }
        Ok(())
    };
    let seen = if with_neighbours {
        let good = Good::start(target.host().public)?;
        let end = now() + REPEAT;
        let seen = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..NEIGHBOURS)
                .map(|_| {
                    scope.spawn(|| {
                        while now() < end {
                            all()?;
                            if inputs.is_empty() {
                                pass(Duration::from_millis(50));
                            }
                        }
                        Ok(())
                    })
                })
                .collect();
            let results: Vec<Result<(), Failure>> = threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect();
            results.into_iter().find_map(Result::err)
        });
        seen.or(failure::of_window(&good.stop(), bar))
    } else {
        all().err()
    };
    Ok(target.complaint().or(seen).or_else(|| target.calm()))
}

/// Searches the inputs in `ran` for the cause of `failure`, and writes the result. Returns false if
/// it is no failure: on a busy machine the good tenant also waits without any input.
pub fn find(settings: &Settings, prepared: &Prepared, failure: &Failure, ran: &[Ran]) -> Result<bool> {
    if is_chance(settings, prepared, failure)? {
        say("      no failure: beside nothing the good tenant waits as long, since the machine is busy\n");
        return Ok(false);
    }
    let suspects = suspects(ran);
    let inputs = |ran: &[Ran]| -> Vec<Input> {
        ran.iter()
            .map(|ran| ran.kind.input(settings.seed, ran.number))
            .collect()
    };
    let mut trials = Trials::new(prepared, settings.bar);
    let end = now() + TIMEOUT;
    let mut fails = |inputs: &[Input]| {
        now() < end
            && trials
                .run(inputs, failure.needs_neighbours())
                .is_ok_and(|seen| seen.is_some_and(|seen| seen.is_like(failure)))
    };
    let single = suspects
        .iter()
        .take(SUSPECTS)
        .find(|ran| fails(&inputs(std::slice::from_ref(ran))));
    let found = match single {
        Some(ran) => Some(inputs(std::slice::from_ref(ran))),
        None => Some(inputs(&suspects)).filter(|all| fails(all)),
    };
    let is_found = found.is_some();
    let (inputs, word) = match found {
        Some(inputs) => (reduce(inputs, TRIES, fails), "reduced to"),
        None => (inputs(&suspects), "not seen again with"),
    };
    let bytes: usize = inputs
        .iter()
        .flat_map(|input| &input.parts)
        .map(|part| part.content().len())
        .sum();
    let kinds: Vec<&str> = inputs.iter().map(|input| input.kind.as_str()).collect();
    let kinds = match kinds[..] {
        [one] => one.to_owned(),
        _ => format!("{} inputs", kinds.len()),
    };
    let path = file(settings.seed)?;
    let finding = Finding {
        failure: failure.to_string(),
        seed: settings.seed,
        inputs,
    };
    finding.write(&path)?;
    say(&format!(
        "      {word} {kinds} of {bytes} bytes: {path}\n      again: cargo xtask fuzz --replay {path}\n",
        path = path.display()
    ));
    // If no input reproduces a wait, the machine caused it.
    Ok(is_found || !matches!(failure, Failure::Slow(_)))
}

/// Whether the machine caused the failure: the good tenant also waits without any input.
pub fn is_chance(settings: &Settings, prepared: &Prepared, failure: &Failure) -> Result<bool> {
    if !matches!(failure, Failure::Slow(_)) {
        return Ok(false);
    }
    let mut trials = Trials::new(prepared, settings.bar);
    Ok(trials.run(&[], true)?.is_some())
}

/// The inputs that ran, the likely ones first: those with a failure, then the slow ones.
fn suspects(ran: &[Ran]) -> Vec<Ran> {
    let mut suspects = ran.to_vec();
    suspects.sort_by_key(|ran| (ran.outcome.is_ok(), std::cmp::Reverse(ran.took)));
    suspects
}

/// The path of a new file for a finding.
fn file(seed: u64) -> Result<PathBuf> {
    let folder = crate::findings_folder();
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let free = (1..).map(|number| folder.join(format!("{seed}-{number}.json")));
    free.into_iter()
        .find(|path| !path.exists())
        .context("a file name that is free")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::KINDS;

    #[test]
    fn suspects_are_those_that_saw_something_or_took_long() {
        let ran = |number, took, outcome| Ran {
            kind: &KINDS[0],
            number,
            took: Duration::from_millis(took),
            outcome,
        };
        let all = [
            ran(1, 5, Ok(true)),
            ran(2, 50, Ok(false)),
            ran(3, 1, Err(Failure::Log(String::new()))),
        ];
        let order: Vec<u64> = suspects(&all).iter().map(|ran| ran.number).collect();
        assert_eq!(order, [3, 2, 1]);
    }
}
