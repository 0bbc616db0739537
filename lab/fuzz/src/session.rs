//! A fuzzing run: time slices, in each of which several threads send inputs, mostly of one kind,
//! while a good tenant is served.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use rig::clock::{now, spoken};
use rig::good::Good;
use rig::process::resident;

use crate::failure::{self, Failure};
use crate::find;
use crate::input::Input;
use crate::kinds::{KINDS, Kind};
use crate::say;
use crate::target::{Prepared, Target};

/// Threads that send inputs.
const WORKERS: usize = 4;

/// The longest slice, over which the good tenant's p99 is computed.
const WINDOW: Duration = Duration::from_secs(10);

/// A run ends after this many findings, because each takes minutes to reduce.
const MOST_FINDINGS: usize = 5;

/// With fewer inputs than this, the accepted fraction is not checked.
const FEW: u64 = 50;

/// The settings of a run.
pub struct Settings {
    /// The duration.
    pub time: Duration,
    /// The seed of the inputs.
    pub seed: u64,
    /// The highest p99 of the good tenant.
    pub bar: Duration,
    /// The kinds that are sent.
    pub kinds: Vec<&'static Kind>,
    /// The guard of the host that is switched off. Then the run succeeds with its first failure.
    pub without: Option<String>,
}

/// An input that was sent to the host.
#[derive(Clone)]
pub struct Ran {
    pub kind: &'static Kind,
    pub number: u64,
    /// How long it took.
    pub took: Duration,
    pub outcome: Result<bool, Failure>,
}

/// The numbers of sent and accepted inputs of a kind.
#[derive(Default)]
struct Count {
    next: AtomicU64,
    sent: AtomicU64,
    accepted: AtomicU64,
}

/// A run under way.
struct Session<'a> {
    settings: &'a Settings,
    counts: BTreeMap<&'static str, Count>,
}

/// Runs inputs for the configured time. Returns whether nothing failed.
pub fn run(settings: &Settings, prepared: &Prepared) -> Result<bool> {
    let session = Session {
        settings,
        counts: settings
            .kinds
            .iter()
            .map(|kind| (kind.name, Count::default()))
            .collect(),
    };
    let kinds = u32::try_from(settings.kinds.len().max(1))?;
    // Each kind has its slice at least once.
    let slice = (settings.time / kinds).min(WINDOW);
    let mut target = prepared.start()?;
    let mut findings = 0;
    let mut slowest = Duration::ZERO;
    let mut spent = Duration::ZERO;
    let mut turns = settings.kinds.iter().cycle();
    while spent < settings.time && findings < MOST_FINDINGS {
        let Some(kind) = turns.next() else { break };
        let (ran, failure, p99) = session.slice(&target, kind, slice)?;
        slowest = slowest.max(p99);
        spent += slice;
        let accepted = ran.iter().filter(|ran| ran.outcome == Ok(true)).count();
        say(&format!(
            "{:>5.0} s  {:<10} {:>5} inputs, {accepted} accepted; good p99 {}, {} MiB\n",
            spent.as_secs_f64(),
            kind.name,
            ran.len(),
            spoken(p99),
            resident(target.host().id()).unwrap_or(0) >> 20,
        ));
        if let Some(failure) = failure {
            if let Some(guard) = &settings.without {
                if find::is_chance(settings, prepared, &failure)? {
                    target = prepared.start()?;
                    continue;
                }
                say(&format!(
                    "without {guard}: found after {} s: {failure}\n",
                    spent.as_secs()
                ));
                return Ok(true);
            }
            say(&format!("      FAIL  {failure}\n"));
            findings += usize::from(find::find(settings, prepared, &failure, &ran)?);
            target = prepared.start()?;
        }
    }
    if let Some(guard) = &settings.without {
        say(&format!(
            "without {guard}: nothing was found in {} s\n",
            spent.as_secs()
        ));
        return Ok(false);
    }
    if let Some(failure) = target.threads_calm() {
        say(&format!("      FAIL  {failure}\n"));
        findings += 1;
    }
    for failure in session.refused() {
        say(&format!("      FAIL  {failure}\n"));
        findings += 1;
    }
    say(&format!(
        "seed {}: {}; good p99 of the slowest window {}; {findings} failures\n",
        settings.seed,
        session.summary(),
        spoken(slowest)
    ));
    Ok(findings == 0)
}

impl Session<'_> {
    /// Sends inputs for `time`, mostly of `main`. Returns the inputs, the failure, and the good
    /// tenant's p99.
    fn slice(
        &self,
        target: &Target,
        main: &'static Kind,
        time: Duration,
    ) -> Result<(Vec<Ran>, Option<Failure>, Duration)> {
        let end = now() + time;
        let stop = AtomicBool::new(false);
        let ran: Mutex<Vec<Ran>> = Mutex::default();
        let complaint: Mutex<Option<Failure>> = Mutex::default();
        let good = Good::start(target.host().public)?;
        std::thread::scope(|scope| {
            for worker in 0..WORKERS {
                let (ran, stop, complaint) = (&ran, &stop, &complaint);
                scope.spawn(move || {
                    let mut turn = worker;
                    while !stop.load(Ordering::Relaxed) && now() < end {
                        // One thread sends all kinds in turn, so that kinds run concurrently.
                        let kind = match worker == 0 {
                            true => self.settings.kinds[turn % self.settings.kinds.len()],
                            false => main,
                        };
                        turn += 1;
                        let one = self.one(target, kind);
                        let wrong = one.outcome.clone().err().or_else(|| target.complaint());
                        ran.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                        if let Some(failure) = wrong {
                            stop.store(true, Ordering::Relaxed);
                            let mut first = complaint.lock().unwrap_or_else(PoisonError::into_inner);
                            // If the host has ended, that is the cause of all other failures.
                            let ended = matches!(failure, Failure::Ended(_));
                            if first.is_none() || ended {
                                *first = Some(failure);
                            }
                        }
                    }
                });
            }
        });
        let window = good.stop();
        let complaint = complaint.into_inner().unwrap_or_else(PoisonError::into_inner);
        let failure = complaint
            .filter(|failure| matches!(failure, Failure::Ended(_)))
            .or_else(|| target.complaint())
            .or_else(|| failure::of_window(&window, self.settings.bar));
        let failure = failure.or_else(|| target.calm());
        let ran = ran.into_inner().unwrap_or_else(PoisonError::into_inner);
        // An input's own failure is used last, because the good tenant's view covers all inputs.
        let failure = failure.or_else(|| ran.iter().find_map(|ran| ran.outcome.clone().err()));
        Ok((ran, failure, window.p99()))
    }

    fn one(&self, target: &Target, kind: &'static Kind) -> Ran {
        let count = &self.counts[kind.name];
        let number = count.next.fetch_add(1, Ordering::Relaxed);
        let Input { parts, .. } = kind.input(self.settings.seed, number);
        let begin = now();
        let outcome = (kind.run)(target, &parts);
        count.sent.fetch_add(1, Ordering::Relaxed);
        if outcome == Ok(true) {
            count.accepted.fetch_add(1, Ordering::Relaxed);
        }
        Ran {
            kind,
            number,
            took: begin.elapsed(),
            outcome,
        }
    }

    /// Returns a failure for each kind with too few accepted inputs.
    fn refused(&self) -> Vec<Failure> {
        let few = self.counts.iter().filter_map(|(name, count)| {
            let (sent, accepted) = (
                count.sent.load(Ordering::Relaxed),
                count.accepted.load(Ordering::Relaxed),
            );
            (sent >= FEW && accepted * 10 < sent * 3)
                .then(|| Failure::Refused(format!("{accepted} of {sent} {name}, 30 % is wanted")))
        });
        few.collect()
    }

    /// The number of inputs of each kind.
    fn summary(&self) -> String {
        let kinds = KINDS.iter().filter_map(|kind| {
            let count = self.counts.get(kind.name)?;
            let (sent, accepted) = (
                count.sent.load(Ordering::Relaxed),
                count.accepted.load(Ordering::Relaxed),
            );
            let part = accepted * 100 / sent.max(1);
            Some(format!("{} {} ({part} % accepted)", kind.name, grouped(sent)))
        });
        kinds.collect::<Vec<_>>().join(", ")
    }
}

/// A number with commas: `1,204`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [7, 204, 1_204, 1_000_000].map(grouped),
            ["7", "204", "1,204", "1,000,000"]
        );
    }

    #[test]
    fn a_kind_that_is_mostly_refused_is_a_failure() {
        let settings = Settings {
            time: Duration::ZERO,
            seed: 0,
            bar: Duration::ZERO,
            kinds: Vec::new(),
            without: None,
        };
        let count = |sent: u64, accepted: u64| Count {
            sent: sent.into(),
            accepted: accepted.into(),
            ..Count::default()
        };
        let session = Session {
            settings: &settings,
            counts: [
                ("sql", count(100, 29)),
                ("http1", count(100, 30)),
                ("http2", count(49, 0)),
            ]
            .into(),
        };
        let refused = session.refused();
        assert_eq!(
            refused,
            [Failure::Refused("29 of 100 sql, 30 % is wanted".to_owned())]
        );
        assert_eq!(
            session.summary(),
            "sql 100 (29 % accepted), http1 100 (30 % accepted), http2 49 (0 % accepted)"
        );
    }
}
