//! Measures the first request to a version that is on disk only.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rig::{Bar, Measured};
use rustix::fs::Advice;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{launch, names};
use crate::options::Options;
use crate::say;
use crate::series::Series;
use crate::subject::ORDER;

/// The number of first requests to time.
const TIMED: usize = 50;

/// Where the files of compiled code are at the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    /// In the page cache.
    Cached,
    /// On the disk only.
    Uncached,
}

/// Runs the measurement in the data folder of a host with `plugins` plugins.
pub fn run(options: &Options, folder: Arc<TempDir>, plugins: usize) -> Result<(Measured, Vec<Value>)> {
    let mut raw = Vec::new();
    let mut over = |files: Files| -> Result<f64> {
        let (cold, warm) = measure(options, folder.clone(), plugins, files)?;
        say(&format!(
            "  the first request to a version whose file is {}: {:.2} ms, the second {:.2} ms, connecting included\n",
            files.name(),
            cold.median(),
            warm.median()
        ));
        let over = cold.median() - warm.median();
        raw.push(json!({ "files": files.name(), "cold_ms": cold, "warm_ms": warm }));
        Ok(over)
    };
    // The time of the disk is not the host's, so the bar is on the cached files.
    let cached = over(Files::Cached)?;
    let uncached = over(Files::Uncached)?;
    let name = "first request to a version on disk, over warm, ms";
    let bar = Measured::new(name, cached, Bar::AtMost(1.0));
    Ok((
        bar.note(format!(
            "{uncached:.2} where the system has to read it from the disk"
        )),
        raw,
    ))
}

/// Times each version's first and second request after a start, when nothing is loaded. Each
/// request has its own connection.
fn measure(
    options: &Options,
    folder: Arc<TempDir>,
    plugins: usize,
    files: Files,
) -> Result<(Series, Series)> {
    let host = launch(options).start_on(folder)?;
    // The system evicts files that were not read for minutes, so the state of the page cache is set
    // explicitly.
    files.apply(&host.data().join("compiled"))?;
    let (mut cold, mut warm) = (Series::default(), Series::default());
    let client = host.http();
    let body = serde_json::from_str(ORDER)?;
    let step = (plugins / TIMED).max(1);
    for number in (0..plugins).step_by(step).take(TIMED) {
        let (tenant, plugin) = names(number);
        let path = format!("/{tenant}/{plugin}/orders");
        for series in [&mut cold, &mut warm] {
            let begin = rig::clock::now();
            client.post(&path, &body)?.is("200")?;
            series.push(begin.elapsed().as_secs_f64() * 1e3);
        }
    }
    host.stop()?;
    Ok((cold, warm))
}

impl Files {
    fn apply(self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let mut file = File::open(entry?.path())?;
            match self {
                Self::Cached => drop(io::copy(&mut file, &mut io::sink())?),
                Self::Uncached => rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?,
            }
        }
        Ok(())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cached => "in the system's cache",
            Self::Uncached => "on the disk only",
        }
    }
}
