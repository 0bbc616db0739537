//! Compiles active versions after a start if their code is missing or belongs to another engine.
//! Requests then need not wait for it. The most used versions come first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Lifecycle, LifecycleError};
use crate::components::{CodeCheck, LoadError};
use crate::domain::clock::DAY;
use crate::domain::id::VersionDigest;

/// The invocations that count for the order.
const USED_WITHIN: Duration = DAY.saturating_mul(7);

/// The most failures that are listed with their reasons. Further ones are only counted.
const FAILURES_KEPT: usize = 100;

/// Progress of compiling active versions again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecompileProgress {
    /// Versions still to be compiled.
    pub to_do: u64,
    /// Compiled versions.
    pub done: u64,
    /// Versions whose compilation failed.
    pub failed: u64,
    /// Some of the failures.
    pub failures: Vec<FailedRecompile>,
}

/// A version whose compilation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRecompile {
    /// The version.
    pub version: VersionDigest,
    /// The reason.
    pub reason: String,
}

/// The progress, shared with the admin API.
#[derive(Default)]
pub(super) struct Recompilation(Mutex<RecompileProgress>);

impl Recompilation {
    fn begin(&self, to_do: usize) {
        *self.lock() = RecompileProgress {
            to_do: u64::try_from(to_do).unwrap_or(u64::MAX),
            ..RecompileProgress::default()
        };
    }

    fn report(&self, version: VersionDigest, compiled: Result<(), LoadError>) {
        let mut progress = self.lock();
        progress.to_do = progress.to_do.saturating_sub(1);
        let Err(error) = compiled else {
            progress.done += 1;
            return;
        };
        tracing::warn!(%version, %error, "an active version cannot be compiled again");
        progress.failed += 1;
        if progress.failures.len() < FAILURES_KEPT {
            let reason = error.to_string();
            progress.failures.push(FailedRecompile { version, reason });
        }
    }

    fn lock(&self) -> MutexGuard<'_, RecompileProgress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lifecycle {
    /// Starts compiling on the current runtime. It stops when `stop` is cancelled; the next start
    /// continues.
    pub fn start_recompiling(self: &Arc<Self>, stop: CancellationToken) {
        let lifecycle = self.clone();
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            if let Err(error) = lifecycle.recompile().await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "compiled code could not be checked; unusable code is compiled again when it is needed"
                );
            }
        }));
    }

    /// The current progress.
    pub fn recompile_progress(&self) -> RecompileProgress {
        self.recompilation.lock().clone()
    }

    /// Compiles the outdated versions one after the other.
    async fn recompile(&self) -> Result<(), LifecycleError> {
        let is_current = self.runtime.components().is_code_current().await?;
        if !is_current {
            // From here on there may be code of two engines, also if a host with the other engine
            // starts next.
            self.runtime.components().set_code_current(false).await?;
        }
        let check = match is_current {
            true => CodeCheck::Exists,
            false => CodeCheck::Authentic,
        };
        let outdated = self.outdated(check).await?;
        if !outdated.is_empty() {
            self.recompile_all(&outdated).await?;
        }
        if !is_current {
            self.runtime.components().set_code_current(true).await?;
        }
        // Otherwise it is recorded, unless a request has found damaged code meanwhile.
        Ok(())
    }

    async fn recompile_all(&self, outdated: &[VersionDigest]) -> Result<(), LifecycleError> {
        let began = self.clock.monotonic();
        self.recompilation.begin(outdated.len());
        tracing::info!(
            versions = outdated.len(),
            "compiled code of active versions is missing or from another engine; compiling again in the background"
        );
        for version in outdated {
            let compiled = self.runtime.components().recompile(*version).await;
            self.recompilation.report(*version, compiled);
            // The version may have been purged meanwhile.
            let _files = self.files.lock(*version).await;
            self.evict_unused(*version).await?;
        }
        let RecompileProgress { done, failed, .. } = self.recompile_progress();
        let seconds = (self.clock.monotonic() - began).as_secs();
        tracing::info!(done, failed, seconds, "active versions were compiled again");
        Ok(())
    }

    /// The active versions without code for this engine, the most used first. Refused versions are
    /// left out.
    async fn outdated(&self, check: CodeCheck) -> Result<Vec<VersionDigest>, LifecycleError> {
        let since = self.clock.now().saturating_sub(USED_WITHIN);
        let mut outdated = Vec::new();
        for version in self.db.active_components(since).await? {
            if self.runtime.components().refusal(version).await?.is_none()
                && !self.runtime.components().has_code(version, check).await?
            {
                outdated.push(version);
            }
        }
        Ok(outdated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_recorded_and_the_others_count_on() {
        let recompilation = Recompilation::default();
        recompilation.begin(FAILURES_KEPT + 3);
        for number in 0..=FAILURES_KEPT {
            let version = VersionDigest::of(&number.to_le_bytes());
            recompilation.report(version, Err(LoadError::Missing(version)));
        }
        recompilation.report(VersionDigest::of(b"good"), Ok(()));
        let progress = recompilation.lock().clone();
        assert_eq!((progress.to_do, progress.done, progress.failed), (1, 1, 101));
        assert_eq!(progress.failures.len(), FAILURES_KEPT);
        let first = &progress.failures[0];
        assert_eq!(first.version, VersionDigest::of(&0_usize.to_le_bytes()));
        assert!(first.reason.contains("missing or damaged"), "{}", first.reason);
    }
}
