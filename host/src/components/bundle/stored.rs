//! Reads the bundle of an accepted component, when a version is activated or served.
//!
//! The compile worker has checked the same bytes. The host parses only flat text, so it never
//! recurses over nested data of a customer. It accepts what earlier hosts accepted, so that old
//! versions stay in service.

use std::collections::BTreeMap;

use super::section::Content;
use super::{BundleError, SECTION};
use crate::components::scan::ScanError;
use crate::domain::migration::Migration;

/// The bundle of an accepted component.
#[derive(Clone, Debug)]
pub struct StoredBundle {
    /// The migrations, in the order of their numbers.
    pub migrations: Vec<Migration>,
    /// The schemas as JSON text, by the paths in the manifest.
    pub schemas: BTreeMap<String, String>,
    /// The files of the mail templates by their names.
    pub templates: BTreeMap<String, String>,
}

impl StoredBundle {
    /// Reads a stored component. Large ones take long, so call it on a blocking thread.
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
            templates: content.templates,
        })
    }
}

/// Finds the last section of the outermost component with the bundle's name, like `scan`. Other
/// sections are skipped.
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

/// Decodes LEB128 of at most five bytes.
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
