//! Secrets that a plugin uses by name, and the origins to which the host may send them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::origin::Origin;

/// Secrets by name. JSON and TOML have a list of names and of `{ name, origins }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsableSecrets(BTreeMap<String, SecretOrigins>);

/// The origins to which the host may send a secret for a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOrigins {
    /// All origins that the plugin is granted. A name without origins means this.
    Granted,
    /// These origins, if the plugin is granted them. If empty, the secret is for signatures only.
    Only(BTreeSet<Origin>),
}

/// An entry of the list.
enum Entry {
    Name(String),
    Bound(Bound),
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Bound {
    /// Name of the secret.
    name: String,
    /// Origins to which the host may send the secret.
    origins: BTreeSet<Origin>,
}

/// Whether `name` is a valid name of a secret or setting: 1 to 128 letters, digits, `_`, `-` and
/// `.`.
pub fn is_plain_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(is_allowed)
}

impl SecretOrigins {
    /// Whether the secret may be sent to `origin`, provided that the plugin is granted that origin.
    pub fn contain(&self, origin: &Origin) -> bool {
        match self {
            SecretOrigins::Granted => true,
            SecretOrigins::Only(origins) => origins.contains(origin),
        }
    }

    /// The number of named origins.
    pub fn count(&self) -> usize {
        match self {
            SecretOrigins::Granted => 0,
            SecretOrigins::Only(origins) => origins.len(),
        }
    }

    /// The origins in both.
    pub fn intersection(&self, other: &Self) -> Self {
        match (self, other) {
            (SecretOrigins::Granted, both) | (both, SecretOrigins::Granted) => both.clone(),
            (SecretOrigins::Only(left), SecretOrigins::Only(right)) => {
                SecretOrigins::Only(left.intersection(right).cloned().collect())
            }
        }
    }

    /// The origins in either.
    fn union(self, other: Self) -> Self {
        match (self, other) {
            (SecretOrigins::Only(left), SecretOrigins::Only(right)) => {
                SecretOrigins::Only(left.into_iter().chain(right).collect())
            }
            _ => SecretOrigins::Granted,
        }
    }
}

impl fmt::Display for SecretOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretOrigins::Granted => f.write_str("all granted origins"),
            SecretOrigins::Only(origins) if origins.is_empty() => f.write_str("no origin"),
            SecretOrigins::Only(origins) => {
                let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
                f.write_str(&origins.join(", "))
            }
        }
    }
}

impl UsableSecrets {
    /// The origins of a secret, if it is in the list.
    pub fn origins(&self, name: &str) -> Option<&SecretOrigins> {
        self.0.get(name)
    }

    /// Adds a secret, or further origins of a known one.
    pub fn add(&mut self, name: String, origins: SecretOrigins) {
        let all = match self.0.remove(&name) {
            Some(known) => known.union(origins),
            None => origins,
        };
        self.0.insert(name, all);
    }

    /// The secrets in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&String, &SecretOrigins)> {
        self.0.iter()
    }
}

impl Extend<(String, SecretOrigins)> for UsableSecrets {
    fn extend<I: IntoIterator<Item = (String, SecretOrigins)>>(&mut self, secrets: I) {
        for (name, origins) in secrets {
            self.add(name, origins);
        }
    }
}

impl FromIterator<(String, SecretOrigins)> for UsableSecrets {
    fn from_iter<I: IntoIterator<Item = (String, SecretOrigins)>>(secrets: I) -> Self {
        let mut all = Self::default();
        all.extend(secrets);
        all
    }
}

impl IntoIterator for UsableSecrets {
    type Item = (String, SecretOrigins);
    type IntoIter = std::collections::btree_map::IntoIter<String, SecretOrigins>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Serialize for UsableSecrets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|(name, origins)| match origins {
            SecretOrigins::Granted => Entry::Name(name.clone()),
            SecretOrigins::Only(origins) => Entry::Bound(Bound {
                name: name.clone(),
                origins: origins.clone(),
            }),
        }))
    }
}

impl<'de> Deserialize<'de> for UsableSecrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = BTreeMap::new();
        for entry in Vec::<Entry>::deserialize(deserializer)? {
            let (name, origins) = match entry {
                Entry::Name(name) => (name, SecretOrigins::Granted),
                Entry::Bound(Bound { name, origins }) => (name, SecretOrigins::Only(origins)),
            };
            // A name without origins may be repeated, as always. With origins, a reader could
            // overlook one of the two entries.
            if let Some(known) = all.insert(name.clone(), origins.clone())
                && (known, origins) != (SecretOrigins::Granted, SecretOrigins::Granted)
            {
                return Err(D::Error::custom(format!(
                    "the secret `{name}` is listed twice; write all its origins in one place"
                )));
            }
        }
        Ok(Self(all))
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Entry::Name(name) => serializer.serialize_str(name),
            Entry::Bound(bound) => bound.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"the name of a secret, or { name = "…", origins = ["https://…"] }"#)
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Entry, E> {
        Ok(Entry::Name(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
        Bound::deserialize(MapAccessDeserializer::new(map)).map(Entry::Bound)
    }
}

impl utoipa::PartialSchema for UsableSecrets {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type};
        let entry = OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::String))
            .item(<Bound as utoipa::PartialSchema>::schema());
        ArrayBuilder::new().items(entry).into()
    }
}

impl utoipa::ToSchema for UsableSecrets {}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(list: &Value) -> Result<UsableSecrets, String> {
        serde_json::from_value(list.clone()).map_err(|error| error.to_string())
    }

    fn only(origins: &[&str]) -> SecretOrigins {
        SecretOrigins::Only(origins.iter().map(|origin| origin.parse().unwrap()).collect())
    }

    #[test]
    fn names_and_bound_names_are_read_and_written() {
        let list =
            json!(["a", { "name": "b", "origins": ["https://x.example"] }, { "name": "c", "origins": [] }]);
        let secrets = read(&list).unwrap();
        assert_eq!(secrets.origins("a"), Some(&SecretOrigins::Granted));
        assert_eq!(secrets.origins("b"), Some(&only(&["https://x.example"])));
        assert_eq!(secrets.origins("c"), Some(&only(&[])));
        assert_eq!(secrets.origins("d"), None);
        assert_eq!(serde_json::to_value(&secrets).unwrap(), list);
        assert_eq!(read(&json!(["a", "a"])).unwrap().iter().len(), 1);
    }

    #[test]
    fn what_is_neither_is_refused_with_the_reason() {
        for (list, wanted) in [
            (json!([1]), "the name of a secret, or { name"),
            (json!([{ "name": "a" }]), "missing field `origins`"),
            (json!([{ "name": "a", "origins": ["x"] }]), "`x` is not a URL"),
            (
                json!([{ "name": "a", "origins": ["https://x.example/path"] }]),
                "more than an origin",
            ),
            (
                json!([{ "name": "a", "origins": [], "more": 1 }]),
                "unknown field `more`",
            ),
            (
                json!(["a", { "name": "a", "origins": [] }]),
                "the secret `a` is listed twice",
            ),
            (
                json!([{ "name": "a", "origins": [] }, "a"]),
                "the secret `a` is listed twice",
            ),
        ] {
            let error = read(&list).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn origins_are_combined() {
        let (all, both, one) = (
            SecretOrigins::Granted,
            only(&["https://x.example", "https://y.example"]),
            only(&["https://x.example"]),
        );
        assert_eq!(all.intersection(&one), one);
        assert_eq!(one.intersection(&all), one);
        assert_eq!(both.intersection(&one), one);
        assert_eq!(all.intersection(&all), all);
        let mut secrets = UsableSecrets::default();
        secrets.add("k".to_owned(), one);
        secrets.add("k".to_owned(), only(&["https://y.example"]));
        assert_eq!(secrets.origins("k"), Some(&both));
        secrets.add("k".to_owned(), SecretOrigins::Granted);
        assert_eq!(secrets.origins("k"), Some(&all));
    }
}
