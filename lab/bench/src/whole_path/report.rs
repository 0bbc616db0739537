//! Prints the measurements as a table.

use rig::{Bar, Measured};

use super::{Samples, Subject};
use crate::say;
use crate::series::Series;

/// Prints the throughput and returns the measurements with bars.
pub fn bars(subjects: &[Subject], samples: &[Samples]) -> Vec<Measured> {
    let mut bars = Vec::new();
    for (subject, mine) in subjects.iter().zip(samples) {
        let ratio = mine.per_second.over(&samples[subject.baseline].per_second);
        let (least, most) = ratio.spread();
        say(&format!(
            "  {:<30} {:>8.0}/s  p50 {:>6.2} ms  p99 {:>6.2} ms  ÷ baseline {:.2} ({least:.2} to {most:.2})\n",
            subject.name,
            mine.per_second.median(),
            mine.p50_ms.median(),
            mine.p99_ms.median(),
            ratio.median()
        ));
        if let Some(bar) = subject.bar {
            let name = format!("{} / {}", subject.name, subjects[subject.baseline].name);
            let measured = Measured::new(&name, ratio.median(), Bar::AtLeast(bar));
            bars.push(measured.note(format!("{least:.2} to {most:.2} over {} rounds", ratio.0.len())));
        }
    }
    bars
}

/// Prints the processor time per request.
pub fn spent(subjects: &[Subject], samples: &[Samples]) {
    say("  processor time of each request, µs:\n");
    for (subject, mine) in subjects.iter().zip(samples) {
        let times = [&mine.own_us, &mine.kernel_us, &mine.generator_us];
        let [own, kernel, generator] = times.map(Series::median);
        say(&format!(
            "  {:<30} all {:>6.1}  own code {own:>6.1}  kernel for it {kernel:>6.1}  generator {generator:>6.1}\n",
            subject.name,
            own + kernel + generator,
        ));
    }
}

/// Compares the host with the other one, whose subjects begin at `other`.
pub fn compared(subjects: &[Subject], samples: &[Samples], other: usize) -> Vec<Measured> {
    let mut bars = Vec::new();
    for (subject, its) in subjects.iter().zip(samples).skip(other) {
        let mine = &samples[subject.baseline].per_second;
        let ratio = mine.over(&its.per_second);
        let (least, most) = ratio.spread();
        say(&format!(
            "  {:<30} {:>8.0}/s instead of {:>8.0}/s of the host beside: {:.3} ({least:.3} to {most:.3} over {} rounds)\n",
            subject.name,
            mine.median(),
            its.per_second.median(),
            ratio.median(),
            ratio.0.len(),
        ));
        if let Some(bar) = subject.bar {
            let measured = Measured::new(
                &format!("{} / the host beside", subject.name),
                ratio.median(),
                Bar::AtLeast(bar),
            );
            bars.push(measured.note(format!("{least:.3} to {most:.3} over {} rounds", ratio.0.len())));
        }
    }
    bars
}
