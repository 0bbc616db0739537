//! The SQLite authorizer: what a plugin's SQL may do. SQLite calls it while it compiles a
//! statement, views and triggers included.
//!
//! | author | may |
//! | --- | --- |
//! | plugins | read and write rows of their tenant's tables |
//! | migrations | also change the schema |
//! | the host | everything |
//!
//! Only the host may attach files, set pragmas, control transactions, or use the host's own tables.

use rusqlite::hooks::AuthAction;

use crate::failure::Failure;
use crate::functions::{instead_of, is_allowed, is_internal_to_alter};
use crate::token::{Token, tokens};

/// The author of the SQL that is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Author {
    /// The host itself.
    Host,
    /// A plugin, during an invocation.
    Plugin,
    /// A plugin's migration.
    Migration,
}

impl Author {
    /// The author with this number. An unknown number is the author with the fewest rights.
    pub(crate) fn of(number: u8) -> Self {
        [Author::Host, Author::Migration]
            .into_iter()
            .find(|author| *author as u8 == number)
            .unwrap_or(Author::Plugin)
    }
}

/// The decision about one action.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Allow the action.
    Allow,
    /// Skip the action silently.
    Skip,
    /// Reject the statement, for this reason.
    Deny(String),
}

/// The prefix of the host's own tables.
pub const HOST_TABLES: &str = "_mortise";

/// Built-in tables that expose the file or the process instead of the tenant's data.
const TELLING_TABLES: &[&str] = &[
    "dbstat",
    "sqlite_dbpage",
    "sqlite_stmt",
    "bytecode",
    "tables_used",
];

/// SQLite's table of the last row ids. The host's own tables are in it.
const SEQUENCES: &str = "sqlite_sequence";

/// Decides about one action of a statement.
pub(crate) fn decide(author: Author, action: &AuthAction<'_>) -> Verdict {
    if author == Author::Host {
        return Verdict::Allow;
    }
    let schema = author == Author::Migration;
    match *action {
        AuthAction::Select | AuthAction::Recursive => Verdict::Allow,
        AuthAction::Function { function_name } => function(author, function_name),
        AuthAction::Read { table_name, .. } => reading(author, table_name),
        AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. } => writing(author, table_name),
        AuthAction::CreateTable { table_name }
        | AuthAction::DropTable { table_name }
        | AuthAction::AlterTable { table_name, .. }
        | AuthAction::CreateIndex { table_name, .. }
        | AuthAction::DropIndex { table_name, .. }
        | AuthAction::CreateTrigger { table_name, .. }
        | AuthAction::DropTrigger { table_name, .. } => changing_schema(schema, table_name),
        // ANALYZE without a name also visits the host's tables, which are skipped.
        AuthAction::Analyze { table_name } if schema && is_host_table(table_name) => Verdict::Skip,
        AuthAction::Analyze { .. } => changing_schema(schema, ""),
        AuthAction::CreateView { view_name } | AuthAction::DropView { view_name } => {
            changing_schema(schema, view_name)
        }
        AuthAction::Reindex { index_name } => changing_schema(schema, index_name),
        // ALTER TABLE ADD COLUMN checks the existing rows with it.
        AuthAction::Pragma { pragma_name, .. }
            if schema && pragma_name.eq_ignore_ascii_case("quick_check") =>
        {
            Verdict::Allow
        }
        AuthAction::Pragma { pragma_name, .. } => deny(format!(
            "plugins may not use PRAGMA (`{pragma_name}`); the host sets up the connection"
        )),
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
            deny("plugins may not use ATTACH, DETACH or VACUUM; a plugin sees its tenant's one database")
        }
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => deny(
            "plugins may not use BEGIN, COMMIT, ROLLBACK or SAVEPOINT as SQL; use `begin` of the database interface",
        ),
        AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. }
        | AuthAction::DropTempIndex { .. }
        | AuthAction::DropTempTable { .. }
        | AuthAction::DropTempTrigger { .. }
        | AuthAction::DropTempView { .. } => deny_temporary(),
        AuthAction::CreateVtable { module_name, .. } | AuthAction::DropVtable { module_name, .. } => {
            deny(format!(
                "plugins may not use virtual tables (`{module_name}`), and with them full-text search; keep what is \
                 looked for in a table of its own, with an index"
            ))
        }
        _ => deny("plugins may not run this kind of statement"),
    }
}

fn function(author: Author, name: &str) -> Verdict {
    let name = name.to_ascii_lowercase();
    if is_allowed(&name) || (author == Author::Migration && is_internal_to_alter(&name)) {
        return Verdict::Allow;
    }
    deny(format!(
        "plugins may not call the SQL function `{name}`{}",
        instead_of(&name)
    ))
}

fn reading(author: Author, table: &str) -> Verdict {
    if is_host_table(table) {
        return deny_host_table(table);
    }
    // DROP TABLE and ALTER TABLE read it. `check_names` rejects migrations that name it.
    if author == Author::Plugin && table.eq_ignore_ascii_case(SEQUENCES) {
        return Verdict::Deny(sequences());
    }
    // SQLite also asks about the tables `pragma_*` as pragmas, and they are rejected there.
    if TELLING_TABLES.iter().any(|name| table.eq_ignore_ascii_case(name)) {
        return deny(format!("plugins may not read `{table}`"));
    }
    Verdict::Allow
}

fn writing(author: Author, table: &str) -> Verdict {
    if is_host_table(table) {
        return deny_host_table(table);
    }
    // DDL writes to the schema tables, and SQLite asks about that too. SQLite itself rejects a
    // statement that names them, because `writable_schema` is off and only a PRAGMA could switch it
    // on.
    if has_prefix(table, "sqlite_temp_") && author == Author::Plugin {
        return deny_temporary();
    }
    if has_prefix(table, "sqlite_") && author == Author::Plugin {
        return deny(format!(
            "plugins may not write to `{table}`; the schema changes only in migrations"
        ));
    }
    Verdict::Allow
}

fn changing_schema(allowed: bool, name: &str) -> Verdict {
    if is_host_table(name) {
        return deny_host_table(name);
    }
    if allowed {
        return Verdict::Allow;
    }
    deny("the schema changes only in migrations, which run when a version is activated")
}

/// Returns an error if the text of a migration names a table that only the host may use.
///
/// SQLite does not ask about a foreign key to a table. It asks about `sqlite_sequence` for every
/// DROP TABLE and ALTER TABLE, so a statement that names it cannot be told by what SQLite asks.
pub(crate) fn check_names(text: &str) -> Result<(), Failure> {
    for name in tokens(text).iter().filter_map(Token::name) {
        if name == SEQUENCES {
            return Err(Failure::Denied(sequences()));
        }
        if is_host_table(&name) {
            return Err(Failure::Denied(host_table(&name)));
        }
    }
    Ok(())
}

fn sequences() -> String {
    format!(
        "plugins may not use `{SEQUENCES}`, which has rows of the host; `RETURNING` answers the id of a new row; to begin \
         with a larger id, insert a row with the id before it and delete that row"
    )
}

pub(crate) fn is_host_table(name: &str) -> bool {
    has_prefix(name, HOST_TABLES)
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn deny_temporary() -> Verdict {
    deny("plugins may not make temporary tables; connections are shared, use a table of a migration")
}

fn deny_host_table(name: &str) -> Verdict {
    Verdict::Deny(host_table(name))
}

fn host_table(name: &str) -> String {
    format!("names that start with `{HOST_TABLES}` are the host's own (`{name}`)")
}

fn deny(reason: impl Into<String>) -> Verdict {
    Verdict::Deny(reason.into())
}
