//! Reads the state and resources of a process from `/proc`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The resident memory of a process, in bytes.
pub fn resident(process: u32) -> Result<u64> {
    status_line(process, "VmRSS:")
}

/// The peak resident memory of a process, in bytes, since its start or the last call.
pub fn most_resident(process: u32) -> Result<u64> {
    let most = status_line(process, "VmHWM:")?;
    // 5 resets the peak to the current value.
    std::fs::write(format!("/proc/{process}/clear_refs"), "5").context("the memory mark of a process")?;
    Ok(most)
}

/// A number of bytes in the status of a process.
fn status_line(process: u32, name: &str) -> Result<u64> {
    let status =
        std::fs::read_to_string(format!("/proc/{process}/status")).context("the status of a process")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let line = line.with_context(|| format!("no {name}"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes << 10)
}

/// The number of open descriptors of a process.
pub fn descriptors(process: u32) -> Result<u64> {
    Ok(u64::try_from(open_files(process)?.len())?)
}

/// The targets of the open descriptors of a process.
pub fn open_files(process: u32) -> Result<Vec<PathBuf>> {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).context("the descriptors of a process")?;
    // A descriptor that is closed meanwhile is skipped.
    Ok(open
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .collect())
}

/// The processor time of a process, of all its threads.
pub fn processor_time(process: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).context("the times of a process")?;
    let (_, fields) = stat.rsplit_once(") ").context("the name of a process")?;
    // The fields after the name begin with the third; the times are the 14th and 15th.
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // Linux reports a hundred ticks per second on every machine.
    Ok(Duration::from_millis(ticks * 10))
}

/// The number of threads of a process.
pub fn threads(process: u32) -> Result<u64> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).context("the threads of a process")?;
    Ok(u64::try_from(threads.count())?)
}

/// Whether a process has ended, including one that is still a zombie.
pub fn has_ended(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The state follows the name, which ends with the last parenthesis.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_none_or(|state| matches!(state, 'Z' | 'X'))
}

/// The processes that a process has started.
pub fn children(process: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // `4711 (name) S 4710 …`: the name may contain anything and ends with the last parenthesis.
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        if parent == Some(process) {
            children.extend(
                entry
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse::<u32>().ok()),
            );
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_looked_at_from_outside() {
        let me = std::process::id();
        assert!(most_resident(me).unwrap() > 0 && processor_time(me).is_ok());
        assert!(resident(me).unwrap() > 0 && descriptors(me).unwrap() > 0 && threads(me).unwrap() > 0);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(children(me).unwrap().contains(&child.id()) && !has_ended(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_ended(child.id()));
    }
}
