//! What a tenant allows a plugin, and how that meets what the plugin asks for.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::origin::Origin;

/// What a tenant allows one of its plugins. Nothing is allowed that is not named here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// Whether it may use the tenant's database.
    pub database: bool,
    /// Origins that it may send requests to.
    pub http: BTreeSet<Origin>,
    /// Secrets that it may use by name.
    pub secrets: SecretGrants,
}

/// Secrets by what may be done with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecretGrants {
    /// Usable by name; the value stays in the host.
    #[serde(rename = "use")]
    pub usable: BTreeSet<String>,
    /// Readable as plain text; includes the use by name.
    pub reveal: BTreeSet<String>,
}

/// Something that a manifest asks for and the tenant did not grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
pub enum MissingGrant {
    /// The database.
    Database,
    /// An origin.
    Http(Origin),
    /// The use of a secret by name.
    SecretUse(String),
    /// The plain text of a secret.
    SecretReveal(String),
}

impl Grants {
    /// Exactly what `manifest` asks for.
    pub fn asked_by(manifest: &Manifest) -> Self {
        Self {
            database: manifest.database.is_some(),
            http: manifest.http.allow.iter().cloned().collect(),
            secrets: SecretGrants {
                usable: manifest.secrets.usable.iter().cloned().collect(),
                reveal: manifest.secrets.reveal.iter().cloned().collect(),
            },
        }
    }

    /// What `manifest` asks for and these grants do not hold.
    pub fn missing_for(&self, manifest: &Manifest) -> Vec<MissingGrant> {
        let asked = Self::asked_by(manifest);
        let mut missing = Vec::new();
        if asked.database && !self.database {
            missing.push(MissingGrant::Database);
        }
        missing.extend(asked.http.difference(&self.http).cloned().map(MissingGrant::Http));
        let usable = asked
            .secrets
            .usable
            .iter()
            .filter(|name| !self.secrets.may_use(name));
        missing.extend(usable.cloned().map(MissingGrant::SecretUse));
        let reveal = asked.secrets.reveal.difference(&self.secrets.reveal);
        missing.extend(reveal.cloned().map(MissingGrant::SecretReveal));
        missing
    }

    /// What holds at run time: asked for by the manifest and granted by the tenant.
    pub fn effective_for(&self, manifest: &Manifest) -> Self {
        let asked = Self::asked_by(manifest);
        Self {
            database: asked.database && self.database,
            http: asked.http.intersection(&self.http).cloned().collect(),
            secrets: SecretGrants {
                usable: asked
                    .secrets
                    .usable
                    .into_iter()
                    .filter(|name| self.secrets.may_use(name))
                    .collect(),
                reveal: asked
                    .secrets
                    .reveal
                    .intersection(&self.secrets.reveal)
                    .cloned()
                    .collect(),
            },
        }
    }
}

impl SecretGrants {
    /// Whether the secret may be used by name.
    pub fn may_use(&self, name: &str) -> bool {
        self.usable.contains(name) || self.reveal.contains(name)
    }

    /// Whether the secret's plain text may be read.
    pub fn may_reveal(&self, name: &str) -> bool {
        self.reveal.contains(name)
    }
}

impl fmt::Display for MissingGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissingGrant::Database => f.write_str("the database"),
            MissingGrant::Http(origin) => write!(f, "requests to {origin}"),
            MissingGrant::SecretUse(name) => write!(f, "use of secret `{name}`"),
            MissingGrant::SecretReveal(name) => write!(f, "the plain text of secret `{name}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest::parse(
            "[plugin]\nname = 'p'\nversion = '1.0.0'\n[database]\nmigrations = 'migrations'\n\
             [http]\nallow = ['https://a.example']\n[secrets]\nuse = ['k']\nreveal = ['r']\n",
        )
        .unwrap()
    }

    #[test]
    fn everything_asked_is_missing_until_it_is_granted() {
        let names: Vec<String> = Grants::default()
            .missing_for(&manifest())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            names,
            [
                "the database",
                "requests to https://a.example",
                "use of secret `k`",
                "the plain text of secret `r`"
            ]
        );
        assert!(Grants::asked_by(&manifest()).missing_for(&manifest()).is_empty());
    }

    #[test]
    fn a_grant_that_nobody_asked_for_has_no_effect() {
        let mut grants = Grants::asked_by(&manifest());
        grants.http.insert("https://b.example".parse().unwrap());
        grants.secrets.reveal.insert("k".to_owned());
        let effective = grants.effective_for(&manifest());
        assert_eq!(effective, Grants::asked_by(&manifest()));
        assert!(!effective.secrets.may_reveal("k"));
    }
}
