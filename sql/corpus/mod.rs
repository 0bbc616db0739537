//! Cases of SQL with what they answer. The host's tests run them through the real capability, and
//! the SDK's tests run them on the test host: what a plugin sees in its tests is what it sees in
//! production.

mod migrations;
mod statements;

pub use migrations::MIGRATIONS;
pub use statements::cases;

/// A value as it goes in and comes out.
#[derive(Clone, Debug)]
pub enum V {
    Null,
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// One statement with its parameters.
#[derive(Clone, Debug)]
pub struct Case {
    pub sql: String,
    pub params: Vec<V>,
    pub wanted: Wanted,
}

/// What a statement has to answer.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// These rows.
    Rows(Vec<Vec<V>>),
    /// Rows, whatever they are.
    Works,
    /// So many changed rows. It is executed, and not queried.
    Changed(u64),
    /// An error of this kind whose message has this part.
    Fails(Kind, &'static str),
}

/// The kinds of errors in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unique,
    ForeignKey,
    NotNull,
    Check,
    Other,
    Invalid,
    Conflict,
    Denied,
    Limit,
    Unavailable,
}

/// What a statement answered.
#[derive(Clone, Debug)]
pub enum Answer {
    Rows(Vec<Vec<V>>),
    Changed(u64),
    Failed(Kind, String),
}

/// The schema of all statements.
pub const SCHEMA: &str = "
    CREATE TABLE items (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, price TEXT, active BOOLEAN NOT NULL DEFAULT TRUE,
        stock INTEGER NOT NULL DEFAULT 0 CHECK (stock >= 0), parent INTEGER REFERENCES items (id), data BLOB,
        weight REAL, at VARCHAR(30)
    );
    CREATE INDEX by_name ON items (name COLLATE NOCASE);
    CREATE VIEW names AS SELECT replace(name, ' ', '_') AS name FROM items;
    CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT DEFAULT (lower(hex(randomblob(4)))));
    CREATE TRIGGER tidied AFTER INSERT ON notes BEGIN UPDATE notes SET body = trim(body) WHERE id = new.id; END;
    INSERT INTO items (id, name, price) VALUES (1, 'Chair', '10.10'), (2, 'Ähre', '00123');
    INSERT INTO notes (body) VALUES (' kept ');
    ALTER TABLE items ADD COLUMN prio INTEGER;
    ANALYZE;";

impl Case {
    /// Whether the statement is executed rather than queried.
    pub fn is_executed(&self) -> bool {
        matches!(self.wanted, Wanted::Changed(_))
    }

    /// What is wrong with an answer, if anything is.
    pub fn complaint(&self, answer: &Answer) -> Option<String> {
        let fits = match (&self.wanted, answer) {
            (Wanted::Works, Answer::Rows(_)) => true,
            (Wanted::Rows(wanted), Answer::Rows(rows)) => format!("{wanted:?}") == format!("{rows:?}"),
            (Wanted::Changed(wanted), Answer::Changed(count)) => wanted == count,
            (Wanted::Fails(kind, part), Answer::Failed(found, message)) => {
                kind == found && message.contains(part)
            }
            _ => false,
        };
        let short = |text: String| text.chars().take(300).collect::<String>();
        (!fits).then(|| {
            short(self.sql.clone())
                + "\n  wanted "
                + &short(format!("{:?}", self.wanted))
                + "\n  and got "
                + &short(format!("{answer:?}"))
        })
    }
}
