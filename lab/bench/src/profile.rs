//! Profiles a process under load with `perf`, and groups the samples by crate.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::say;
use crate::traffic::{Generator, Repeated};

/// Samples per second of each running thread.
const FREQUENCY: f64 = 1_999.0;

/// The load begins before the samples and ends after them.
const MARGIN: Duration = Duration::from_secs(2);

/// The number of symbols that are listed.
const NAMED: usize = 12;

/// Processor time per request, in microseconds.
#[derive(Debug, Serialize)]
pub struct Profile {
    /// By crate or other area.
    areas: BTreeMap<String, f64>,
    /// By function, the largest first.
    symbols: Vec<(String, f64)>,
}

impl Profile {
    /// Profiles a process that answers `request` for `span`. Scratch files go to `folder`.
    pub fn of(
        process: u32,
        generator: &Generator,
        request: &Repeated,
        connections: usize,
        span: Duration,
        folder: &Path,
    ) -> Result<Self> {
        let file = folder.join("perf.data");
        let mut perf = Command::new("perf")
            .args(["record", "--quiet", "--event", "cpu-clock", "--freq"])
            .arg(FREQUENCY.to_string())
            .arg("--pid")
            .arg(process.to_string())
            .arg("--output")
            .arg(&file)
            .args(["--", "sleep"])
            .arg(span.as_secs().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("--profile needs `perf` on the PATH")?;
        let speed = generator.run(request, connections, span + MARGIN);
        ensure!(
            perf.wait()?.success(),
            "perf takes no samples of the host; may it?"
        );
        let requests = speed?.per_second * span.as_secs_f64();
        let script = Command::new("perf")
            .args(["script", "--fields", "ip,sym,dso", "--input"])
            .arg(&file)
            .output()?;
        ensure!(script.status.success(), "perf reads what it has written");
        let of_sample = 1e6 / FREQUENCY / requests;
        let profile = Self::new(&String::from_utf8_lossy(&script.stdout), of_sample);
        ensure!(
            !profile.symbols.is_empty(),
            "perf has taken no samples of the host"
        );
        Ok(profile)
    }

    /// Parses samples, each of which stands for `of_sample` microseconds: a line with its address,
    /// its function and the file of the function.
    fn new(samples: &str, of_sample: f64) -> Self {
        let (mut areas, mut symbols) = (BTreeMap::new(), BTreeMap::new());
        for line in samples.lines() {
            let fields = line
                .trim()
                .split_once(' ')
                .map(|(_, rest)| rest.rsplit_once(" ("));
            let Some((symbol, object)) = fields.flatten() else {
                continue;
            };
            let area = area(symbol, object.trim_end_matches(')'));
            *areas.entry(area.to_owned()).or_default() += of_sample;
            *symbols.entry(symbol.to_owned()).or_default() += of_sample;
        }
        let mut symbols: Vec<(String, f64)> = symbols.into_iter().collect();
        symbols.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        symbols.truncate(NAMED);
        Self { areas, symbols }
    }

    /// Prints the profile.
    pub fn say(&self, name: &str) {
        let mut areas: Vec<_> = self.areas.iter().collect();
        areas.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let all: f64 = self.areas.values().sum();
        let areas: Vec<_> = areas
            .iter()
            .filter(|(_, time)| **time >= all / 100.0)
            .map(|(area, time)| format!("{area} {time:.2}"))
            .collect();
        say(&format!("  {name}, µs: all {all:.1}: {}\n", areas.join(", ")));
        for (symbol, time) in &self.symbols {
            say(&format!("    {time:>6.2}  {symbol}\n"));
        }
    }
}

/// The area of a function.
fn area<'a>(symbol: &'a str, object: &str) -> &'a str {
    if object.contains("kernel") {
        return "the kernel";
    }
    // Compiled components are in no file, and their functions have no names.
    if symbol == "[unknown]" {
        return "the plugin";
    }
    if object.contains("vdso") {
        return "the clock";
    }
    if object.contains("libc.so") {
        return "libc";
    }
    let name = symbol.trim_start_matches(['<', '&', '*', '_']);
    match name.split_once("::") {
        // `dyn` or `T as` may precede it.
        Some((first, _)) => first.rsplit(' ').next().unwrap_or(first),
        None if name.starts_with("mi_") => "mimalloc",
        None => "SQLite and other C",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_belong_to_crates() {
        let object = "/bin/mortise";
        for (symbol, object, wanted) in [
            ("tcp_sendmsg_locked", "[kernel.kallsyms]", "the kernel"),
            ("[unknown]", "/tmp/perf-7.map", "the plugin"),
            ("__memmove_avx512_unaligned_erms", "/lib/libc.so.6", "libc"),
            ("__vdso_clock_gettime", "[vdso]", "the clock"),
            ("_mi_page_malloc_zero", object, "mimalloc"),
            ("sqlite3VdbeExec", object, "SQLite and other C"),
            (
                "mortise::gateway::dispatch::dispatch::{{closure}}",
                object,
                "mortise",
            ),
            ("<hyper::proto::h1::Server as hyper::T>::parse", object, "hyper"),
            ("<T as wasmtime::runtime::Typed>::lift", object, "wasmtime"),
        ] {
            assert_eq!(area(symbol, object), wanted);
        }
    }

    #[test]
    fn samples_are_counted_by_area_and_by_function() {
        let samples = "  7f a::b (/bin/x)\n\n 80 c::d (/bin/x)\n  7f a::b (/bin/x)\n 81 a::e (/bin/x)\n";
        let profile = Profile::new(samples, 0.5);
        assert_eq!(profile.areas["a"], 1.5);
        assert_eq!(profile.symbols[0], ("a::b".to_owned(), 1.0));
    }
}
