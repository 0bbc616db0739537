//! Reads the memory, file descriptors and threads of this process from `/proc` (Linux only).

/// The resources of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub file_descriptors: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl Process {
    /// Reads the current values. It takes longer if more descriptors are open.
    pub fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            resident_bytes: field(&status, "VmRSS:").map(|kib| kib.saturating_mul(1_024)),
            // The open folder itself is one of the entries.
            file_descriptors: std::fs::read_dir("/proc/self/fd")
                .ok()
                .and_then(|entries| u64::try_from(entries.count()).ok()?.checked_sub(1)),
            threads: field(&status, "Threads:"),
        }
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let status = "Name:\tmortise\nVmRSS:\t  12345 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(12_345));
        assert_eq!(field(status, "Threads:"), Some(7));
        assert_eq!(field(status, "VmSwap:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_descriptors_and_threads() {
        let now = Process::now();
        assert!(now.resident_bytes.unwrap() > 1 << 20, "{now:?}");
        assert!(now.file_descriptors.unwrap() >= 3, "{now:?}");
        assert!(now.threads.unwrap() >= 1, "{now:?}");
    }
}
