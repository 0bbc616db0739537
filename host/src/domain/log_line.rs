//! A log line that a plugin wrote.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{InvocationId, PluginName, TenantId};

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Steps that only the author needs.
    Trace,
    /// Details that help to find a fault.
    Debug,
    /// Normal events.
    Info,
    /// Possible faults.
    Warn,
    /// Faults.
    Error,
}

/// One line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The tenant of the plugin.
    pub tenant: TenantId,
    /// The plugin that wrote the line.
    pub plugin: PluginName,
    /// The invocation during which the line was written.
    pub invocation: InvocationId,
    /// The time at which the line was written.
    pub at: Timestamp,
    /// How serious the line is.
    pub level: Level,
    /// The text, without control characters.
    pub message: String,
    /// Structured fields: name and value.
    pub fields: Vec<(String, String)>,
}

impl LogLine {
    /// Bytes that a line costs besides its text: ids, numbers, allocations and index entries. So a
    /// flood of empty lines counts as well. The SQL of the control plane and its second migration
    /// use the same number.
    pub const OVERHEAD: usize = 200;

    /// Bytes of the text. The limit `log_bytes` and the usage of an invocation count these.
    pub fn bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len());
        self.message.len() + fields.sum::<usize>()
    }

    /// Bytes of the message, of the fields as JSON, and of [`Self::OVERHEAD`]. The ledger's memory,
    /// the tenant's rate and the database count these.
    pub fn stored_bytes(&self) -> usize {
        // `[["name","value"],["name","value"]]`
        let field = |(name, value): &(String, String)| 7 + json_bytes(name) + json_bytes(value);
        let fields = self.fields.iter().map(field).sum::<usize>();
        let commas = self.fields.len().saturating_sub(1);
        self.message.len() + 2 + fields + commas + Self::OVERHEAD
    }
}

/// Bytes of a text inside a JSON string, as `serde_json` escapes it.
fn json_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0x00..=0x1f => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

impl Level {
    /// All levels, the least serious first.
    pub const ALL: [Level; 5] = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error];

    /// The level in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_count_as_their_json_does() {
        let texts = [
            "",
            "a",
            "é\u{1f600}",
            "\"\\/",
            "\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}",
        ];
        for count in 0..4 {
            let field = |index: usize| (texts[index].to_owned(), texts[index + 1].to_owned());
            let line = LogLine {
                tenant: TenantId::generate(),
                plugin: "orders".parse().unwrap(),
                invocation: InvocationId::generate(),
                at: Timestamp(1),
                level: Level::Info,
                message: "message".to_owned(),
                fields: (0..count).map(field).collect(),
            };
            let json = serde_json::to_string(&line.fields).unwrap();
            assert_eq!(line.stored_bytes(), 7 + json.len() + LogLine::OVERHEAD, "{json}");
        }
    }
}
