//! Migration files: their names, their order and the text that their checksums cover.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// The largest migration number, which is also the largest that the database stores. A time such as
/// 20240101120000 fits.
pub const MOST: u64 = i64::MAX.cast_unsigned();

/// The most bytes of the name after the number.
const MAX_NAME: usize = 100;

const BOM: char = '\u{feff}';

/// Why a file name is not the name of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongName {
    /// It does not end in `.sql`.
    Extension,
    /// It does not begin with a number.
    NoNumber,
    /// `V1__name.sql`.
    Version,
    /// The number is zero.
    Zero,
    /// The number is larger than [`MOST`].
    TooLarge,
    /// There is no `_` or no name after the number.
    NoName,
    /// The name is too long.
    LongName,
    /// `0001_name.down.sql`.
    Direction,
    /// The name contains a character that is not allowed.
    Character(char),
}

impl fmt::Display for WrongName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Extension => "it does not end in `.sql`",
            Self::NoNumber => "it does not begin with a number, as `0001_name.sql` does",
            Self::Version => "write `0001_name.sql` for `V1__name.sql`: a number, one `_`, a name",
            Self::Zero => "numbers begin with 1",
            Self::TooLarge => return write!(out, "the number is larger than {MOST}"),
            Self::NoName => "behind the number come `_` and a name, as in `0001_name.sql`",
            Self::LongName => return write!(out, "the name has more than {MAX_NAME} bytes"),
            Self::Direction => {
                "there is one file for each migration, without `.up`, and none for the way back: what undoes a \
                 migration is the next one"
            }
            Self::Character(character) => {
                return write!(
                    out,
                    "`{character}` cannot be in the name, which has `a-z`, `0-9`, `_` and `-`"
                );
            }
        })
    }
}

/// Parses the number and the name of `0001_name.sql`.
pub fn parse_name(file: &str) -> Result<(u64, &str), WrongName> {
    let stem = file.strip_suffix(".sql").ok_or(WrongName::Extension)?;
    let digits = stem.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = stem.split_at(digits);
    if number.is_empty() {
        let mut behind = stem.bytes().skip(1);
        let is_version = stem.starts_with(['V', 'v', 'U', 'R'])
            && behind.next().is_some_and(|b| b.is_ascii_digit() || b == b'_');
        return Err(if is_version {
            WrongName::Version
        } else {
            WrongName::NoNumber
        });
    }
    let number: u64 = number.parse().map_err(|_| WrongName::TooLarge)?;
    let name = rest.strip_prefix('_').unwrap_or_default();
    if name.is_empty() {
        return Err(WrongName::NoName);
    }
    if name.ends_with(".up") || name.ends_with(".down") {
        return Err(WrongName::Direction);
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if let Some(other) = name.chars().find(|c| !allowed(*c)) {
        return Err(WrongName::Character(other));
    }
    match number {
        _ if name.len() > MAX_NAME => Err(WrongName::LongName),
        0 => Err(WrongName::Zero),
        1..=MOST => Ok((number, name)),
        _ => Err(WrongName::TooLarge),
    }
}

/// The file name, with at least four digits.
pub fn file_name(number: u64, name: &str) -> String {
    format!("{number:04}_{name}.sql")
}

/// Two migration files of one plugin that are in the wrong order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrongOrder {
    /// Both have the same number.
    SameNumber {
        /// The earlier file.
        before: String,
        /// The later file.
        file: String,
    },
    /// The later file has the smaller number.
    Descending {
        /// The earlier file.
        before: String,
        /// The later file.
        file: String,
    },
}

impl fmt::Display for WrongOrder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameNumber { before, file } => write!(
                out,
                "`{before}` and `{file}` have the same number; give the one that was applied nowhere the next free one"
            ),
            Self::Descending { before, file } => {
                write!(out, "`{file}` comes after `{before}`; numbers strictly increase")
            }
        }
    }
}

/// Sorts files by their numbers, and files without a number by their names.
pub fn sort<T>(files: &mut [T], name: impl Fn(&T) -> &str) {
    files.sort_by(|a, b| (number_of(name(a)), name(a)).cmp(&(number_of(name(b)), name(b))));
}

/// Checks that the numbers of the files strictly increase. [`parse_name`] has accepted their names.
pub fn check_order(files: &[&str]) -> Result<(), WrongOrder> {
    let mut files = files.iter().copied();
    let Some(mut before) = files.next() else {
        return Ok(());
    };
    for file in files {
        let names = || (before.to_owned(), file.to_owned());
        match number_of(before).cmp(&number_of(file)) {
            Ordering::Less => {}
            Ordering::Equal => {
                let (before, file) = names();
                return Err(WrongOrder::SameNumber { before, file });
            }
            Ordering::Greater => {
                let (before, file) = names();
                return Err(WrongOrder::Descending { before, file });
            }
        }
        before = file;
    }
    Ok(())
}

fn number_of(file: &str) -> Option<u64> {
    file.split('_').next()?.parse().ok()
}

/// Normalises what editors and version control change: removes a byte order mark and replaces
/// `\r\n` by `\n`.
pub fn normal(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    match text.contains("\r\n") {
        true => text.replace("\r\n", "\n").into(),
        false => text.into(),
    }
}

/// The text that a checksum covers: normalised, with one final line feed.
pub fn canonical(text: &str) -> String {
    let normal = normal(text);
    format!("{}\n", normal.trim_end_matches(['\r', '\n']))
}

/// The forms of a text whose checksums earlier hosts stored. They hashed the file without
/// normalisation.
pub fn former_forms(text: &str) -> impl Iterator<Item = String> {
    let canonical = canonical(text);
    let open = canonical.trim_end_matches('\n').to_owned();
    let with_ends = [open.clone(), canonical].into_iter().flat_map(|text| {
        let windows = text.replace('\n', "\r\n");
        [text, windows]
    });
    with_ends.flat_map(|text| [format!("{BOM}{text}"), text])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_number_and_a_name() {
        for (file, wanted) in [
            ("0001_create_orders.sql", Ok((1, "create_orders"))),
            ("1_a-2.sql", Ok((1, "a-2"))),
            ("20240101120000_init.sql", Ok((20_240_101_120_000, "init"))),
            ("9223372036854775807_a.sql", Ok((MOST, "a"))),
            ("9223372036854775808_a.sql", Err(WrongName::TooLarge)),
            ("99999999999999999999_a.sql", Err(WrongName::TooLarge)),
            ("0000_zero.sql", Err(WrongName::Zero)),
            ("V1__init.sql", Err(WrongName::Version)),
            ("R__views.sql", Err(WrongName::Version)),
            ("views.sql", Err(WrongName::NoNumber)),
            ("x_y.sql", Err(WrongName::NoNumber)),
            ("+1_a.sql", Err(WrongName::NoNumber)),
            ("0001.sql", Err(WrongName::NoName)),
            ("0001_.sql", Err(WrongName::NoName)),
            ("0001-a.sql", Err(WrongName::NoName)),
            ("0001_a.txt", Err(WrongName::Extension)),
            ("0001_a.up.sql", Err(WrongName::Direction)),
            ("0001_a.down.sql", Err(WrongName::Direction)),
            ("0001_Add.sql", Err(WrongName::Character('A'))),
            ("0001_a/b.sql", Err(WrongName::Character('/'))),
            ("0001_a b.sql", Err(WrongName::Character(' '))),
        ] {
            assert_eq!(parse_name(file), wanted, "{file}");
        }
        assert_eq!(
            parse_name(&format!("1_{}.sql", "a".repeat(101))),
            Err(WrongName::LongName)
        );
        assert_eq!(file_name(7, "a"), "0007_a.sql");
    }

    #[test]
    fn numbers_strictly_increase() {
        let same = |before: &str, file: &str| {
            let (before, file) = (before.to_owned(), file.to_owned());
            Err(WrongOrder::SameNumber { before, file })
        };
        let descending = |before: &str, file: &str| {
            let (before, file) = (before.to_owned(), file.to_owned());
            Err(WrongOrder::Descending { before, file })
        };
        for (files, wanted) in [
            (vec![], Ok(())),
            (vec!["0007_a.sql"], Ok(())),
            (vec!["0002_b.sql", "10_a.sql", "20240101120000_c.sql"], Ok(())),
            (vec!["0002_a.sql", "2_b.sql"], same("0002_a.sql", "2_b.sql")),
            (
                vec!["0001_a.sql", "10_a.sql", "9_b.sql"],
                descending("10_a.sql", "9_b.sql"),
            ),
        ] {
            assert_eq!(check_order(&files), wanted, "{files:?}");
        }
        let mut files = ["10_a.sql", "9_b.sql", "notes.sql", "0001_c.sql"];
        sort(&mut files, |file| file);
        assert_eq!(files, ["notes.sql", "0001_c.sql", "9_b.sql", "10_a.sql"]);
    }

    #[test]
    fn what_version_control_changes_does_not_count() {
        let forms = [
            "a;\nb;\n",
            "a;\r\nb;\r\n",
            "\u{feff}a;\nb;\n",
            "a;\nb;",
            "a;\nb;\n\n",
            "\u{feff}a;\r\nb;",
        ];
        for form in forms {
            assert_eq!(canonical(form), "a;\nb;\n", "{form:?}");
            // A checksum of any form is found from any other, except for the number of final line
            // feeds.
            for other in forms.iter().filter(|other| !other.ends_with("\n\n")) {
                assert!(
                    former_forms(form).any(|former| former == *other),
                    "{form:?} {other:?}"
                );
            }
        }
        assert_ne!(canonical("a; b;"), canonical("a;\nb;"));
        assert_eq!(normal("\u{feff}a\r\nb\rc"), "a\nb\rc");
    }
}
