//! Plugins, their versions, and the search for the target of a rollback.

use std::sync::Arc;

use super::clock::Timestamp;
use super::id::{PluginName, VersionDigest};
use super::manifest::Manifest;

/// A plugin: a name within a tenant that receives requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// The name, which is the second segment of the plugin's URLs.
    pub name: PluginName,
    /// The version that serves requests, if any.
    pub active: Option<VersionDigest>,
    /// Whether the plugin is disabled. A disabled plugin answers 503 and keeps its data.
    pub disabled: bool,
    /// The number of stored versions.
    pub versions: u32,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of deletion. The plugin can be restored until it is purged.
    pub deleted_at: Option<Timestamp>,
}

/// An uploaded component. It never changes, and its id is its digest.
#[derive(Clone, Debug)]
pub struct Version {
    /// The digest, which identifies the version.
    pub digest: VersionDigest,
    /// The parsed manifest.
    pub manifest: Arc<Manifest>,
    /// The manifest as the component contains it (TOML).
    pub manifest_text: String,
    /// Size of the component in bytes.
    pub size: u64,
    /// Time of the first upload.
    pub created_at: Timestamp,
}

/// The version that a rollback activates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollbackTarget {
    /// The version that becomes active.
    pub digest: VersionDigest,
    /// The activation that made it active before.
    pub sequence: i64,
}

/// Finds the target of a rollback. It looks at the activations from the newest to the oldest.
#[derive(Debug)]
pub struct RollbackSearch {
    active: VersionDigest,
    /// Versions that were rolled back from since the newest explicit activation.
    rolled_back: Vec<VersionDigest>,
    /// Whether all activations so far were rollbacks.
    only_rollbacks: bool,
    /// The activation that the search has reached: the explicit activation of `active` or of a
    /// skipped version.
    position: Option<i64>,
}

impl RollbackSearch {
    /// A search for a plugin whose active version is `active`.
    pub fn new(active: VersionDigest) -> Self {
        Self {
            active,
            rolled_back: Vec::new(),
            only_rollbacks: true,
            position: None,
        }
    }

    /// Looks at the next older activation. It is the target if its version differs from the active
    /// one, was not rolled back from, and can be activated (`is_stored`).
    pub fn look(&mut self, activation: &Activation, is_stored: bool) -> Option<RollbackTarget> {
        let made_active_by = activation.rolled_back_to.unwrap_or(activation.sequence);
        if self.only_rollbacks {
            self.only_rollbacks = activation.rolled_back_to.is_some();
            let from = activation.previous.filter(|_| self.only_rollbacks);
            self.rolled_back.extend(from);
        }
        match self.position {
            // A rollback undoes the activations since its target, so they are skipped.
            Some(position) if activation.sequence >= position => return None,
            Some(_) => {}
            None => {
                self.position = Some(made_active_by);
                return None;
            }
        }
        self.position = Some(made_active_by);
        let digest = activation.digest;
        let is_target = is_stored && digest != self.active && !self.rolled_back.contains(&digest);
        is_target.then_some(RollbackTarget {
            digest,
            sequence: made_active_by,
        })
    }
}

/// One change of the active version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// The position in the plugin's history, counted up.
    pub sequence: i64,
    /// The version that became active.
    pub digest: VersionDigest,
    /// The version that was active before.
    pub previous: Option<VersionDigest>,
    /// The sequence of the activation that this rollback restored; `None` for an explicit
    /// activation.
    pub rolled_back_to: Option<i64>,
    /// The actor: the id of a token, or `host`.
    pub actor: String,
    /// The time of the activation.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plugin's history. Versions are single letters.
    #[derive(Default)]
    struct History(Vec<Activation>);

    impl History {
        fn digest(version: char) -> VersionDigest {
            VersionDigest::of(&[u8::try_from(version).unwrap()])
        }

        fn add(&mut self, digest: VersionDigest, rolled_back_to: Option<i64>) {
            self.0.push(Activation {
                sequence: self.0.last().map_or(1, |last| last.sequence + 1),
                digest,
                previous: self.0.last().map(|last| last.digest),
                rolled_back_to,
                actor: "host".to_owned(),
                at: Timestamp(0),
            });
        }

        /// Rolls back. Returns the version that is active afterwards, if there was a target.
        fn roll_back(&mut self, pruned: &str) -> Option<char> {
            let mut search = RollbackSearch::new(self.0.last()?.digest);
            let is_pruned = |digest| pruned.chars().any(|version| Self::digest(version) == digest);
            let mut newest_first = self.0.iter().rev();
            let target = newest_first.find_map(|past| search.look(past, !is_pruned(past.digest)))?;
            self.add(target.digest, Some(target.sequence));
            ('A'..='Z').find(|version| Self::digest(*version) == target.digest)
        }
    }

    /// Letters activate a version, `<` rolls back. The result has the target of each rollback; `-`
    /// for a refusal.
    fn rollbacks(steps: &str, pruned: &str) -> String {
        let mut history = History::default();
        let mut led_to = String::new();
        for step in steps.chars() {
            match step {
                '<' => led_to.push(history.roll_back(pruned).unwrap_or('-')),
                version => history.add(History::digest(version), None),
            }
        }
        led_to
    }

    #[test]
    fn rollbacks_lead_further_back_and_end() {
        for (steps, wanted) in [
            ("ABC<<<", "BA-"),
            ("A<", "-"),
            ("ABCDE<<<<<", "DCBA-"),
            // An explicit activation restarts the search.
            ("ABC<D<<<", "BBA-"),
            ("ABC<C<<<", "BBA-"),
            ("ABC<<D<<", "BAA-"),
            // Activating the active version again adds no step.
            ("ABBB<<", "A-"),
            // A version that was rolled back from is never a target, however often it was active.
            ("ABAB<<", "A-"),
            ("ABAC<<", "AB"),
            ("ABCB<<<", "CA-"),
        ] {
            assert_eq!(rollbacks(steps, ""), wanted, "{steps}");
        }
    }

    #[test]
    fn a_version_that_is_gone_is_skipped() {
        assert_eq!(rollbacks("ABC<<", "B"), "A-");
        assert_eq!(rollbacks("ABC<", "AB"), "-");
    }
}
