//! Effective limits: the value that applies, the layer that set it, and the range that is allowed.

use serde::{Deserialize, Serialize};

use super::limits::Owner;
use super::units::{ByteSize, Span};

/// The value of a limit in JSON: a number, or text with a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum LimitValue {
    /// A count.
    Count(u32),
    /// A size or a span of time: `64MiB`, `50ms`.
    Text(String),
}

/// The layer that set a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The host's configuration (`[limits]`), or the host's default.
    Default,
    /// The plan of the tenant.
    Plan,
    /// The tenant's own changes to its plan.
    Tenant,
    /// The manifest of a plugin version. It may only lower limits.
    Manifest,
}

/// A limit with its effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The name in the configuration, in manifests and in the API: `memory`.
    pub name: &'static str,
    /// Whether it bounds one invocation or all of a tenant's plugins together.
    pub owner: Owner,
    /// The effective value.
    pub value: LimitValue,
    /// The layer that set the value.
    pub source: Source,
    /// The highest value that can be set.
    pub ceiling: LimitValue,
    /// The lowest value that can be set.
    pub floor: LimitValue,
    /// A note if a stored value has no effect or is too low to run with.
    pub note: Option<String>,
}

/// Why a value is refused when it is set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfRange {
    /// The value is above the host's ceiling.
    #[error(
        "{name}: {value} is above the ceiling of {ceiling}; the operator raises that in the host's configuration \
         (`[ceiling]`)"
    )]
    Above {
        /// The limit's name, such as `memory`.
        name: &'static str,
        /// The value that was refused.
        value: LimitValue,
        /// The highest value that this host allows.
        ceiling: LimitValue,
    },
    /// No plugin could run with so low a value.
    #[error("{name}: {value} is below {floor}, and with less no plugin can run")]
    Below {
        /// The limit's name, such as `memory`.
        name: &'static str,
        /// The value that was refused.
        value: LimitValue,
        /// The lowest value with which a plugin can run.
        floor: LimitValue,
    },
}

/// A type of limit values.
pub trait Kind: Copy + Ord + Into<LimitValue> {
    /// The lowest value.
    const ZERO: Self;
}

impl Kind for u32 {
    const ZERO: Self = 0;
}

impl Kind for ByteSize {
    const ZERO: Self = ByteSize(0);
}

impl Kind for Span {
    const ZERO: Self = Span::ms(0);
}

/// Applies a layer to a limit: the result is the value that the layer asks for, but never above
/// `ceiling`. Both enforcement and the API use this rule.
pub fn overridden<T: Kind>(value: T, asked: Option<T>, ceiling: T) -> T {
    asked.unwrap_or(value).min(ceiling)
}

/// The range of one limit.
#[derive(Clone, Copy, Debug)]
pub struct Range<T> {
    /// The name in the configuration, in manifests and in the API: `memory`.
    pub name: &'static str,
    /// Whether it bounds one invocation or all of a tenant's plugins together.
    pub owner: Owner,
    /// The lowest value with which a plugin can run.
    pub floor: T,
    /// The highest value that this host allows.
    pub ceiling: T,
}

impl<T: Kind> Range<T> {
    /// Refuses a value with which no plugin could run.
    pub fn check_floor(&self, value: T) -> Result<(), OutOfRange> {
        match value < self.floor {
            true => Err(OutOfRange::Below {
                name: self.name,
                value: value.into(),
                floor: self.floor.into(),
            }),
            false => Ok(()),
        }
    }

    /// Refuses a value outside of the range.
    pub fn check(&self, value: T) -> Result<(), OutOfRange> {
        self.check_floor(value)?;
        match value > self.ceiling {
            true => Err(OutOfRange::Above {
                name: self.name,
                value: value.into(),
                ceiling: self.ceiling.into(),
            }),
            false => Ok(()),
        }
    }

    /// The effective value: the default, changed by each of `layers`. Stored values above the
    /// ceiling are lowered to it, and the note says so.
    pub fn effective(&self, default: T, layers: impl IntoIterator<Item = (Source, Option<T>)>) -> Effective {
        let (mut value, mut source) = (overridden(default, None, self.ceiling), Source::Default);
        let mut note = (default > self.ceiling).then(|| self.clamped(Source::Default, default));
        for (layer, asked) in layers {
            let Some(asked) = asked else { continue };
            let former = value;
            // A manifest only lowers, so the current value is its ceiling.
            let ceiling = match layer {
                Source::Manifest => former,
                _ => self.ceiling,
            };
            value = overridden(former, Some(asked), ceiling);
            match layer {
                Source::Manifest if asked > value => note = Some(not_raised(asked, value)),
                Source::Manifest if value == former => {}
                _ => {
                    source = layer;
                    note = (asked > value).then(|| self.clamped(layer, asked));
                }
            }
        }
        if value < self.floor {
            let (value, floor): (LimitValue, LimitValue) = (value.into(), self.floor.into());
            note = Some(format!(
                "{value} is below {floor}, and with less no plugin can run"
            ));
        }
        Effective {
            name: self.name,
            owner: self.owner,
            value: value.into(),
            source,
            ceiling: self.ceiling.into(),
            floor: self.floor.into(),
            note,
        }
    }

    fn clamped(&self, source: Source, asked: T) -> String {
        let whose = match source {
            Source::Default => "the host's configuration",
            Source::Plan => "the plan",
            Source::Tenant => "the tenant's own value",
            Source::Manifest => "the manifest",
        };
        let (asked, ceiling): (LimitValue, LimitValue) = (asked.into(), self.ceiling.into());
        format!("{whose} says {asked}, but the ceiling is {ceiling}")
    }
}

fn not_raised<T: Kind>(asked: T, value: T) -> String {
    let (asked, value): (LimitValue, LimitValue) = (asked.into(), value.into());
    format!("the manifest asks for {asked}; a manifest only lowers limits, so {value} applies")
}

impl std::fmt::Display for LimitValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<u32> for LimitValue {
    fn from(count: u32) -> Self {
        Self::Count(count)
    }
}

impl From<ByteSize> for LimitValue {
    fn from(size: ByteSize) -> Self {
        Self::Text(size.to_string())
    }
}

impl From<Span> for LimitValue {
    fn from(span: Span) -> Self {
        Self::Text(span.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range<u32> = Range {
        name: "share",
        owner: Owner::Tenant,
        floor: 1,
        ceiling: 100,
    };

    #[test]
    fn what_cannot_hold_is_refused_with_its_bound() {
        assert_eq!((RANGE.check(1), RANGE.check(100)), (Ok(()), Ok(())));
        insta::assert_snapshot!(RANGE.check(0).unwrap_err(), @"share: 0 is below 1, and with less no plugin can run");
        insta::assert_snapshot!(RANGE.check(101).unwrap_err(), @"share: 101 is above the ceiling of 100; the operator raises that in the host's configuration (`[ceiling]`)");
    }

    #[test]
    fn the_last_layer_that_says_something_wins_and_a_manifest_only_lowers() {
        let shown = |layers: &[(Source, Option<u32>)]| {
            let effective = RANGE.effective(5, layers.iter().copied());
            (effective.value, effective.source, effective.note)
        };
        let count = LimitValue::Count;
        let (plan, tenant, manifest) = (Source::Plan, Source::Tenant, Source::Manifest);
        assert_eq!(shown(&[(plan, None)]), (count(5), Source::Default, None));
        assert_eq!(shown(&[(plan, Some(7)), (tenant, None)]), (count(7), plan, None));
        assert_eq!(
            shown(&[(plan, Some(7)), (tenant, Some(2))]),
            (count(2), tenant, None)
        );
        assert_eq!(
            shown(&[(plan, Some(7)), (manifest, Some(3))]),
            (count(3), manifest, None)
        );
        let (value, source, note) = shown(&[(plan, Some(7)), (manifest, Some(8))]);
        assert_eq!((value, source), (count(7), plan));
        assert_eq!(
            note.unwrap(),
            "the manifest asks for 8; a manifest only lowers limits, so 7 applies"
        );
        let (value, _, note) = shown(&[(plan, Some(200))]);
        assert_eq!(value, count(100));
        assert_eq!(note.unwrap(), "the plan says 200, but the ceiling is 100");
        assert!(shown(&[(tenant, Some(0))]).2.unwrap().starts_with("0 is below 1"));
    }
}
