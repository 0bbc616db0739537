//! Plugins, their versions and which of them is active.

use std::sync::Arc;

use super::clock::Timestamp;
use super::id::{PluginName, VersionDigest};
use super::manifest::Manifest;

/// A name within a tenant that requests go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// The second segment of its URLs.
    pub name: PluginName,
    /// The version that serves, if any.
    pub active: Option<VersionDigest>,
    /// A disabled plugin answers 503 and keeps everything else.
    pub disabled: bool,
    /// How many versions are kept of it.
    pub versions: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was deleted. It can be restored until it is purged.
    pub deleted_at: Option<Timestamp>,
}

/// An uploaded component: immutable, named by its digest.
#[derive(Clone, Debug)]
pub struct Version {
    /// What names it.
    pub digest: VersionDigest,
    /// What it asks for.
    pub manifest: Arc<Manifest>,
    /// The manifest as it was written (TOML).
    pub manifest_text: String,
    /// Bytes of the component.
    pub size: u64,
    /// When it was first uploaded.
    pub created_at: Timestamp,
}

/// Where a rollback leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollbackTarget {
    /// The version that becomes active.
    pub digest: VersionDigest,
    /// The activation that made it active before.
    pub sequence: i64,
}

/// Finds where a rollback leads, from the newest activation to the oldest.
#[derive(Debug)]
pub struct RollbackSearch {
    active: VersionDigest,
    /// Versions that were rolled back from since the newest explicit activation.
    rolled_back: Vec<VersionDigest>,
    /// Whether all activations so far were rollbacks.
    only_rollbacks: bool,
    /// The activation at which the search stands: the explicit activation of `active` or of a version
    /// that was skipped.
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

    /// Looks at the next older activation. It is the target if its version was active before, was not itself
    /// rolled back from and can be activated (`is_stored`).
    pub fn look(&mut self, activation: &Activation, is_stored: bool) -> Option<RollbackTarget> {
        let made_active_by = activation.rolled_back_to.unwrap_or(activation.sequence);
        if self.only_rollbacks {
            self.only_rollbacks = activation.rolled_back_to.is_some();
            let from = activation.previous.filter(|_| self.only_rollbacks);
            self.rolled_back.extend(from);
        }
        match self.position {
            // What happened between an activation and a rollback to it is undone.
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
    /// Counts up within the plugin.
    pub sequence: i64,
    /// What became active.
    pub digest: VersionDigest,
    /// What was active before.
    pub previous: Option<VersionDigest>,
    /// The sequence of the activation that this rollback went back to; `None` for an explicit
    /// activation.
    pub rolled_back_to: Option<i64>,
    /// Who did it: the id of a token, or `host`.
    pub actor: String,
    /// When.
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

        /// Rolls back. The version that is active then, if there is one to go back to.
        fn roll_back(&mut self, pruned: &str) -> Option<char> {
            let mut search = RollbackSearch::new(self.0.last()?.digest);
            let is_pruned = |digest| pruned.chars().any(|version| Self::digest(version) == digest);
            let mut newest_first = self.0.iter().rev();
            let target = newest_first.find_map(|past| search.look(past, !is_pruned(past.digest)))?;
            self.add(target.digest, Some(target.sequence));
            ('A'..='Z').find(|version| Self::digest(*version) == target.digest)
        }
    }

    /// Letters activate a version, `<` rolls back. What each rollback led to; `-` where it was refused.
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
            // An explicit activation starts anew.
            ("ABC<D<<<", "BBA-"),
            ("ABC<C<<<", "BBA-"),
            ("ABC<<D<<", "BAA-"),
            // The same version again is no step.
            ("ABBB<<", "A-"),
            // Neither leads it to what was rolled back from, however often that was active.
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
