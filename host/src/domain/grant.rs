//! Grants: what a tenant allows a plugin to use, compared with what the plugin's manifest asks for.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::TopicPattern;
use super::mail_address::Sender;
use super::manifest::Manifest;
use super::origin::Origin;
use super::secret::{SecretOrigins, UsableSecrets};

/// What a tenant allows one of its plugins. Everything that is not named is forbidden.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// Whether the plugin may use the tenant's database.
    pub database: bool,
    /// Origins that the plugin may send requests to.
    pub http: BTreeSet<Origin>,
    /// Secrets that the plugin may use.
    pub secrets: SecretGrants,
    /// Topics of events that the plugin may publish, as patterns: `*` stands for one segment, and
    /// `>` at the end for one or more.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(value_type = BTreeSet<String>)]
    pub events: BTreeSet<TopicPattern>,
    /// Addresses that the plugin may send mail from; `@example.com` stands for all of a domain.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(value_type = BTreeSet<String>)]
    pub email: BTreeSet<Sender>,
}

/// Secrets that a plugin may use, by the kind of use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecretGrants {
    /// Secrets that the plugin may use by name. The value stays in the host, which sends it only to
    /// the secret's origins.
    #[serde(rename = "use")]
    pub usable: UsableSecrets,
    /// Secrets that the plugin may read as plain text. It may also use them by name.
    pub reveal: BTreeSet<String>,
}

/// Something that a manifest asks for and the tenant did not grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum MissingGrant {
    /// The database.
    Database,
    /// An origin.
    Http {
        /// The origin.
        name: Origin,
    },
    /// The use of a secret by name.
    SecretUse {
        /// The secret's name.
        name: String,
    },
    /// Sending a secret to an origin.
    SecretOrigin {
        /// The secret's name.
        name: String,
        /// The origin.
        origin: Origin,
    },
    /// The plain text of a secret.
    SecretReveal {
        /// The secret's name.
        name: String,
    },
    /// Publishing events.
    Event {
        /// The topic, or the pattern of topics.
        #[schema(value_type = String)]
        name: TopicPattern,
    },
    /// Sending mail.
    Email {
        /// The address, or the domain after an `@`.
        #[schema(value_type = String)]
        name: Sender,
    },
}

impl Grants {
    /// The grants that `manifest` asks for, and no others.
    pub fn asked_by(manifest: &Manifest) -> Self {
        let mut usable = manifest.secrets.usable.clone();
        // The host checks signatures of webhooks with these secrets and sends them nowhere.
        for name in manifest.webhooks.iter().flat_map(|webhook| &webhook.secrets) {
            usable.add(name.clone(), SecretOrigins::Only(BTreeSet::new()));
        }
        Self {
            database: manifest.database.is_some(),
            http: manifest.http.allow.iter().cloned().collect(),
            secrets: SecretGrants {
                usable,
                reveal: manifest.secrets.reveal.iter().cloned().collect(),
            },
            events: manifest.events.publish.iter().cloned().collect(),
            email: manifest.email.from.iter().cloned().collect(),
        }
    }

    /// What `manifest` asks for and the tenant has not granted.
    pub fn missing_for(&self, manifest: &Manifest) -> Vec<MissingGrant> {
        let asked = Self::asked_by(manifest);
        let mut missing = Vec::new();
        if asked.database && !self.database {
            missing.push(MissingGrant::Database);
        }
        for name in asked.http.difference(&self.http).cloned() {
            missing.push(MissingGrant::Http { name });
        }
        for (name, origins) in asked.secrets.usable.iter() {
            missing.extend(self.secrets.missing_use(name, origins));
        }
        for name in asked.secrets.reveal.difference(&self.secrets.reveal).cloned() {
            missing.push(MissingGrant::SecretReveal { name });
        }
        for name in asked.events {
            if !covered(&self.events, &name) {
                missing.push(MissingGrant::Event { name });
            }
        }
        for name in asked.email {
            if !self.email.iter().any(|granted| granted.covers_sender(&name)) {
                missing.push(MissingGrant::Email { name });
            }
        }
        missing
    }

    /// The grants at run time: those that the manifest asks for and the tenant has granted.
    pub fn effective_for(&self, manifest: &Manifest) -> Self {
        let asked = Self::asked_by(manifest);
        Self {
            database: asked.database && self.database,
            http: asked.http.intersection(&self.http).cloned().collect(),
            secrets: SecretGrants {
                usable: self.secrets.effective_use(asked.secrets.usable),
                reveal: asked
                    .secrets
                    .reveal
                    .intersection(&self.secrets.reveal)
                    .cloned()
                    .collect(),
            },
            events: both(&asked.events, &self.events),
            email: senders(&asked.email, &self.email),
        }
    }
}

/// Whether one of the patterns covers the topic or pattern.
fn covered(patterns: &BTreeSet<TopicPattern>, topic: &TopicPattern) -> bool {
    patterns.iter().any(|pattern| pattern.covers(topic))
}

/// The topics in both sets: of two patterns of which one covers the other, the narrower one.
fn both(some: &BTreeSet<TopicPattern>, others: &BTreeSet<TopicPattern>) -> BTreeSet<TopicPattern> {
    let narrower = some.iter().filter(|topic| covered(others, topic));
    let narrower = narrower.chain(others.iter().filter(|topic| covered(some, topic)));
    narrower.cloned().collect()
}

/// The senders in both sets: of a domain and an address of it, the address.
fn senders(some: &BTreeSet<Sender>, others: &BTreeSet<Sender>) -> BTreeSet<Sender> {
    let covered =
        |senders: &BTreeSet<Sender>, one: &Sender| senders.iter().any(|sender| sender.covers_sender(one));
    let narrower = some.iter().filter(|sender| covered(others, sender));
    let narrower = narrower.chain(others.iter().filter(|sender| covered(some, sender)));
    narrower.cloned().collect()
}

impl SecretGrants {
    /// The names of the secrets that are granted for use or as plain text.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let usable = self.usable.iter().map(|(name, _)| name.as_str());
        usable.chain(self.reveal.iter().map(String::as_str))
    }

    /// Whether the secret may be used by name.
    pub fn may_use(&self, name: &str) -> bool {
        self.origins(name).is_some()
    }

    /// The origins to which the host may send the secret; `None` if the plugin may not use it. A
    /// plugin that may read a secret can send it anywhere, unless its grant by name lists origins.
    pub fn origins(&self, name: &str) -> Option<&SecretOrigins> {
        let usable = self.usable.origins(name);
        usable.or(self.reveal.contains(name).then_some(&SecretOrigins::Granted))
    }

    /// The missing grants for one secret. A tenant may restrict a secret to origins although the
    /// manifest names none.
    fn missing_use(&self, name: &str, asked: &SecretOrigins) -> Vec<MissingGrant> {
        let granted = self.origins(name);
        let mut missing = Vec::new();
        if granted.is_none() {
            missing.push(MissingGrant::SecretUse {
                name: name.to_owned(),
            });
        }
        if let SecretOrigins::Only(origins) = asked {
            let lacking = |origin: &&Origin| granted.is_none_or(|granted| !granted.contain(origin));
            missing.extend(
                origins
                    .iter()
                    .filter(lacking)
                    .map(|origin| MissingGrant::SecretOrigin {
                        name: name.to_owned(),
                        origin: origin.clone(),
                    }),
            );
        }
        missing
    }

    /// The secrets that the plugin may use by name, with the origins that are both asked for and
    /// granted.
    fn effective_use(&self, asked: UsableSecrets) -> UsableSecrets {
        let both = |(name, asked): (String, SecretOrigins)| {
            let origins = self.origins(&name)?.intersection(&asked);
            Some((name, origins))
        };
        asked.into_iter().filter_map(both).collect()
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
            MissingGrant::Http { name } => write!(f, "requests to {name}"),
            MissingGrant::SecretUse { name } => write!(f, "use of secret `{name}`"),
            MissingGrant::SecretOrigin { name, origin } => write!(f, "sending secret `{name}` to {origin}"),
            MissingGrant::SecretReveal { name } => write!(f, "the plain text of secret `{name}`"),
            MissingGrant::Event { name } => write!(f, "publishing events on `{name}`"),
            MissingGrant::Email { name } => write!(f, "sending mail from {name}"),
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

    const BOUND: &str = "[plugin]\nname = 'p'\nversion = '1.0.0'\n\
         [http]\nallow = ['https://a.example', 'https://b.example']\n\
         [secrets]\nuse = [{ name = 'k', origins = ['https://a.example'] }]\n";

    fn grants(json: serde_json::Value) -> Grants {
        serde_json::from_value(json).unwrap()
    }

    fn missing(grants: &Grants, manifest: &Manifest) -> Vec<String> {
        let missing = grants.missing_for(manifest);
        missing.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn origins_of_a_secret_are_asked_for_one_by_one() {
        let manifest = Manifest::parse(BOUND).unwrap();
        let http = ["https://a.example", "https://b.example"];
        let granted = |usable| grants(serde_json::json!({ "http": http, "secrets": { "use": usable } }));
        let to_a = "sending secret `k` to https://a.example";
        assert_eq!(
            missing(&granted(serde_json::json!([])), &manifest),
            ["use of secret `k`", to_a]
        );
        let elsewhere = serde_json::json!([{ "name": "k", "origins": ["https://b.example"] }]);
        assert_eq!(missing(&granted(elsewhere), &manifest), [to_a]);
        let bound = serde_json::json!([{ "name": "k", "origins": ["https://a.example"] }]);
        for enough in [serde_json::json!(["k"]), bound] {
            assert_eq!(missing(&granted(enough), &manifest), [""; 0]);
        }
        let json = serde_json::to_value(granted(serde_json::json!([])).missing_for(&manifest)).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                { "kind": "secret-use", "name": "k" },
                { "kind": "secret-origin", "name": "k", "origin": "https://a.example" },
            ])
        );
    }

    #[test]
    fn a_secret_goes_to_the_origins_that_are_asked_for_and_granted() {
        let (a, b): (Origin, Origin) = (
            "https://a.example".parse().unwrap(),
            "https://b.example".parse().unwrap(),
        );
        let (bound, plain) = (Manifest::parse(BOUND).unwrap(), manifest());
        let to_b = serde_json::json!([{ "name": "k", "origins": ["https://b.example"] }]);
        for (manifest, usable, reaches_a, reaches_b) in [
            (&bound, serde_json::json!(["k"]), true, false),
            (&bound, to_b.clone(), false, false),
            (&plain, serde_json::json!(["k"]), true, true),
            (&plain, to_b, false, true),
        ] {
            let effective =
                grants(serde_json::json!({ "secrets": { "use": usable } })).effective_for(manifest);
            let origins = effective.secrets.origins("k").unwrap();
            assert_eq!(
                (origins.contain(&a), origins.contain(&b)),
                (reaches_a, reaches_b),
                "{usable}"
            );
        }
        let effective = grants(serde_json::json!({})).effective_for(&bound);
        assert_eq!(effective.secrets.origins("k"), None);
    }

    #[test]
    fn the_secrets_of_webhooks_are_asked_for_without_origins() {
        let manifest = Manifest::parse(
            "[plugin]\nname = 'p'\nversion = '1'\n[http]\nallow = ['https://a.example']\n\
             [secrets]\nuse = ['api']\n[[job]]\nname = 'work'\n\
             [[webhook]]\nname = 'in'\nscheme = 'github'\nsecrets = ['api', 'hook']\njob = 'work'\n",
        );
        let manifest = manifest.unwrap();
        let asked = Grants::asked_by(&manifest);
        assert_eq!(asked.secrets.origins("api"), Some(&SecretOrigins::Granted));
        let nowhere = SecretOrigins::Only(BTreeSet::new());
        assert_eq!(asked.secrets.origins("hook"), Some(&nowhere));
        assert_eq!(
            missing(
                &grants(serde_json::json!({ "http": ["https://a.example"] })),
                &manifest
            ),
            ["use of secret `api`", "use of secret `hook`"]
        );
        // A grant for all origins does not lead to any.
        let wide = serde_json::json!({ "secrets": { "use": ["hook"] } });
        let effective = grants(wide).effective_for(&manifest);
        assert_eq!(effective.secrets.origins("hook"), Some(&nowhere));
    }

    #[test]
    fn a_plugin_publishes_on_topics_that_it_asks_for_and_the_tenant_grants() {
        let manifest = Manifest::parse(
            "[plugin]\nname = 'p'\nversion = '1'\n[events]\npublish = ['order.*', 'stock.low']\n",
        );
        let manifest = manifest.unwrap();
        for (granted, lacking, topics) in [
            (vec![], vec!["order.*", "stock.low"], vec![]),
            (vec!["order.*", "stock.low"], vec![], vec!["order.*", "stock.low"]),
            (vec![">"], vec![], vec!["order.*", "stock.low"]),
            (
                vec!["order.created", "stock.>"],
                vec!["order.*"],
                vec!["order.created", "stock.low"],
            ),
            (
                vec!["*.created", "payment.*"],
                vec!["order.*", "stock.low"],
                vec![],
            ),
        ] {
            let grants = grants(serde_json::json!({ "events": granted }));
            let wanted: Vec<String> = lacking
                .iter()
                .map(|name| format!("publishing events on `{name}`"))
                .collect();
            assert_eq!(missing(&grants, &manifest), wanted);
            let effective = grants.effective_for(&manifest).events;
            let effective: Vec<&str> = effective.iter().map(TopicPattern::as_str).collect();
            assert_eq!(effective, topics);
        }
        let json = serde_json::to_value(Grants::default().missing_for(&manifest)).unwrap();
        assert_eq!(json[0], serde_json::json!({ "kind": "event", "name": "order.*" }));
        assert!(serde_json::from_str::<Grants>(r#"{"events":["a..b"]}"#).is_err());
    }

    #[test]
    fn a_plugin_sends_mail_from_what_it_asks_for_and_the_tenant_grants() {
        let manifest = Manifest::parse(
            "[plugin]\nname = 'p'\nversion = '1'\n[email]\nfrom = ['shop@a.example', '@b.example']\n",
        );
        let manifest = manifest.unwrap();
        for (granted, lacking, senders) in [
            (vec![], vec!["shop@a.example", "@b.example"], vec![]),
            (
                vec!["@a.example", "@b.example"],
                vec![],
                vec!["shop@a.example", "@b.example"],
            ),
            (
                vec!["x@b.example"],
                vec!["shop@a.example", "@b.example"],
                vec!["x@b.example"],
            ),
        ] {
            let grants = grants(serde_json::json!({ "email": granted }));
            let wanted: Vec<String> = lacking
                .iter()
                .map(|name| format!("sending mail from {name}"))
                .collect();
            assert_eq!(missing(&grants, &manifest), wanted);
            let effective = grants.effective_for(&manifest).email;
            let effective: Vec<String> = effective.iter().map(ToString::to_string).collect();
            assert_eq!(effective, senders);
        }
        assert!(serde_json::from_str::<Grants>(r#"{"email":["shop"]}"#).is_err());
    }

    #[test]
    fn stored_grants_of_earlier_hosts_read_as_they_were() {
        let stored =
            r#"{"database":true,"http":["https://a.example"],"secrets":{"use":["k"],"reveal":["r"]}}"#;
        let grants: Grants = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&grants).unwrap(), stored);
        assert_eq!(grants.secrets.origins("k"), Some(&SecretOrigins::Granted));
        assert!(grants.missing_for(&manifest()).is_empty());
    }
}
