//! Measures the duration of operations with [criterion](https://docs.rs/criterion).

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use criterion::Criterion;
use serde_json::Value;
use tempfile::TempDir;

/// Measures durations.
pub struct Stopwatch {
    criterion: Criterion,
    folder: TempDir,
    /// Operations timed so far: criterion keeps one result under each name.
    timed: usize,
}

impl Stopwatch {
    /// Creates a stopwatch that measures each operation for `span`.
    pub fn new(span: Duration) -> Result<Self> {
        let folder = TempDir::with_prefix("mortise-bench-")?;
        let criterion = Criterion::default()
            .without_plots()
            .output_directory(folder.path())
            .sample_size(20)
            .warm_up_time(span / 4)
            .measurement_time(span);
        Ok(Self {
            criterion,
            folder,
            timed: 0,
        })
    }

    /// Returns the median duration of one `run` in microseconds. `run` is called with a number of
    /// repetitions and returns their duration.
    pub fn time(&mut self, name: &str, run: impl Fn(u64) -> Result<Duration>) -> Result<f64> {
        self.timed += 1;
        let id = format!("{}-{}", self.timed, name.replace(' ', "-"));
        let mut failure = None;
        self.criterion.bench_function(&id, |bencher| {
            bencher.iter_custom(|times| {
                run(times).unwrap_or_else(|error| {
                    failure = Some(error);
                    // Criterion accepts no errors, and divides by this.
                    Duration::from_nanos(times.max(1))
                })
            });
        });
        if let Some(error) = failure {
            return Err(error.context(name.to_owned()));
        }
        let file: PathBuf = self.folder.path().join(&id).join("new/estimates.json");
        let text = std::fs::read(&file).with_context(|| file.display().to_string())?;
        let estimates: Value = serde_json::from_slice(&text)?;
        let median = estimates["median"]["point_estimate"].as_f64();
        Ok(median.context("criterion gives a median")? / 1e3)
    }
}
