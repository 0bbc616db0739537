//! A process as the system sees it from outside.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Bytes of a process that are in memory.
pub fn resident(process: u32) -> Result<u64> {
    status_line(process, "VmRSS:")
}

/// The most bytes of a process that were in memory at once, since its start or the last time that
/// this was asked.
pub fn most_resident(process: u32) -> Result<u64> {
    let most = status_line(process, "VmHWM:")?;
    // 5 sets the mark back to what is in memory now.
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

/// Open descriptors of a process.
pub fn descriptors(process: u32) -> Result<u64> {
    Ok(u64::try_from(open_files(process)?.len())?)
}

/// What the open descriptors of a process lead to.
pub fn open_files(process: u32) -> Result<Vec<PathBuf>> {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).context("the descriptors of a process")?;
    // One that is closed meanwhile leads nowhere.
    Ok(open
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .collect())
}

/// Processor time that a process has spent, its threads together.
pub fn processor_time(process: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).context("the times of a process")?;
    let (_, fields) = stat.rsplit_once(") ").context("the name of a process")?;
    // The fields behind the name begin with the third; the times are the 14th and 15th.
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // Linux counts a hundred of them in a second for its users, on every machine.
    Ok(Duration::from_millis(ticks * 10))
}

/// Threads of a process.
pub fn threads(process: u32) -> Result<u64> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).context("the threads of a process")?;
    Ok(u64::try_from(threads.count())?)
}

/// Whether a process has ended. One that nobody has waited for yet is a zombie until then.
pub fn has_ended(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The state stands behind the name, which ends with the last parenthesis.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_none_or(|state| matches!(state, 'Z' | 'X'))
}

/// The processes that a process has started.
pub fn children(process: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // `4711 (name) S 4710 …`; the name may hold anything but is followed by the last parenthesis.
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
