//! What rides inside a component that was accepted: read by the host when a version is activated or
//! served.
//!
//! The compile worker has read and checked the same bytes before. The host reads them as flat text
//! only, so that what a customer nested is not nested here, and leniently, so that versions that an
//! earlier host accepted go on serving.

use std::collections::BTreeMap;

use super::section::Content;
use super::{BundleError, SECTION};
use crate::components::scan::ScanError;
use crate::domain::migration::Migration;

/// What rides inside a component that was accepted.
#[derive(Clone, Debug)]
pub struct StoredBundle {
    /// The migrations, in the order of their numbers.
    pub migrations: Vec<Migration>,
    /// The schemas as JSON text, by the paths that the manifest's routes name.
    pub schemas: BTreeMap<String, String>,
}

impl StoredBundle {
    /// Reads a stored component. Takes as long as it is large: on a thread that may block.
    pub fn open(component: &[u8]) -> Result<Self, BundleError> {
        let content = Content::parse(section(component)?.ok_or(BundleError::NoManifest)?)?;
        let migration = |file: &super::MigrationFile| {
            Migration::parse(&file.file, &file.sql)
                .map_err(|error| BundleError::Migrations(error.to_string()))
        };
        Ok(Self {
            migrations: content
                .migrations
                .iter()
                .map(migration)
                .collect::<Result<_, _>>()?,
            schemas: content.schemas(),
        })
    }
}

/// The last section of the outermost component that has the name, as `scan` finds it. Nothing
/// within the other sections is looked at.
fn section(component: &[u8]) -> Result<Option<&[u8]>, BundleError> {
    let mut found = None;
    let mut rest = component.get(8..).ok_or_else(|| cut(component, component))?;
    while let Some((id, after)) = rest.split_first() {
        let (length, after) = number(after).ok_or_else(|| cut(component, rest))?;
        let (content, after) = after
            .split_at_checked(length)
            .ok_or_else(|| cut(component, rest))?;
        if *id == 0
            && let Some((length, name)) = number(content)
            && let Some((name, data)) = name.split_at_checked(length)
            && name == SECTION.as_bytes()
        {
            found = Some(data);
        }
        rest = after;
    }
    Ok(found)
}

/// LEB128, at most five bytes of it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (place, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(place + 1..)?));
        }
    }
    None
}

fn cut(component: &[u8], rest: &[u8]) -> BundleError {
    let offset = component.len().saturating_sub(rest.len());
    BundleError::Component(ScanError::Malformed {
        offset: u64::try_from(offset).unwrap_or(u64::MAX),
        message: "a section is cut".to_owned(),
    })
}
