//! The SQL functions that plugins may call.
//!
//! It is a list of allowed functions, so that a new function of a later SQLite is not allowed by
//! accident. None of them reads files, loads code, exposes the host, or makes a large value from a
//! small one.
//!
//! SQLite asks about the functions of statements, views and triggers when it compiles them. It asks
//! about those of generated columns, CHECK and expression indexes when a migration creates them. It
//! does not ask about those of a DEFAULT. The list need not be a boundary there: with
//! `trusted_schema` off, SQLite allows only functions marked as harmless in a schema, and the tests
//! name each one that is not in the list. Their time and memory are bounded like any other work.

/// Whether plugins may call the function `name`, given in lower case.
pub(crate) fn is_allowed(name: &str) -> bool {
    ALLOWED.binary_search(&name).is_ok()
}

/// Functions that ALTER TABLE calls internally. SQLite rejects them in any other statement.
pub(crate) fn is_internal_to_alter(name: &str) -> bool {
    matches!(
        name,
        "sqlite_rename_column"
            | "sqlite_rename_table"
            | "sqlite_rename_test"
            | "sqlite_drop_column"
            | "sqlite_rename_quotefix"
            | "printf"
    )
}

/// Suggests a replacement for a function that is not allowed, if there is one.
pub(crate) fn instead_of(name: &str) -> &'static str {
    match name {
        "last_insert_rowid" | "changes" | "total_changes" => "; use a RETURNING clause",
        "json_pretty" => "; it is for people, so format in the plugin",
        "printf" | "format" | "zeroblob" | "randomblob" => {
            "; make the value in the plugin and pass it as a parameter"
        }
        "regexp" => {
            "; there are no regular expressions in SQL: use LIKE or GLOB, or choose among the rows in the plugin"
        }
        "match" => "; there is no full-text search: use LIKE, or a table of the words with an index",
        "now" => "; use `datetime('now')` or `unixepoch()`, or pass the time as a parameter",
        "uuid" | "gen_random_uuid" => "; make the value in the plugin and pass it as a parameter",
        _ => "",
    }
}

/// Sorted by bytes, for the binary search.
const ALLOWED: &[&str] = &[
    "->",
    "->>",
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "avg",
    "ceil",
    "ceiling",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "cos",
    "cosh",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "degrees",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "glob",
    "group_concat",
    "hex",
    "if",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_length",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_patch",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_type",
    "json_valid",
    "jsonb",
    "jsonb_array",
    "jsonb_extract",
    "jsonb_group_array",
    "jsonb_group_object",
    "jsonb_insert",
    "jsonb_object",
    "jsonb_remove",
    "jsonb_replace",
    "jsonb_set",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "max",
    "min",
    "mod",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "percent_rank",
    "pi",
    "pow",
    "power",
    "quote",
    "radians",
    "random",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "strftime",
    "string_agg",
    "substr",
    "substring",
    "sum",
    "tan",
    "tanh",
    "time",
    "timediff",
    "total",
    "trim",
    "trunc",
    "typeof",
    "unhex",
    "unicode",
    "unixepoch",
    "unlikely",
    "upper",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_searched() {
        assert!(ALLOWED.is_sorted());
        for name in ALLOWED {
            assert!(is_allowed(name), "{name}");
        }
    }

    #[test]
    fn what_is_not_listed_is_not_allowed() {
        for name in [
            "load_extension",
            "fts3_tokenizer",
            "soundex",
            "readfile",
            "printf",
            "zeroblob",
            "randomblob",
            "json_pretty",
            "sqlite_version",
            "a_function_of_tomorrow",
        ] {
            assert!(!is_allowed(name), "{name}");
        }
    }

    /// Fails if a newer SQLite has a new function that schemas may call, so that somebody reviews
    /// it.
    #[test]
    fn functions_that_only_schemas_may_call_are_known() {
        // None of these reads files, loads code, or takes time proportional to the product of its
        // arguments.
        const KNOWN: &[&str] = &[
            "changes",
            "format",
            "fts5_insttoken",
            "fts5_locale",
            "fts5_source_id",
            "json_pretty",
            "jsonb_patch",
            "last_insert_rowid",
            "printf",
            "randomblob",
            "soundex",
            "sqlite_compileoption_get",
            "sqlite_compileoption_used",
            "sqlite_log",
            "sqlite_source_id",
            "sqlite_version",
            "subtype",
            "total_changes",
            "unistr",
            "unistr_quote",
            "zeroblob",
        ];
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        // 0x200000 marks a function as innocuous, 0x80000 one for top-level statements only.
        let sql = "SELECT DISTINCT name FROM pragma_function_list
            WHERE flags & 0x200000 <> 0 AND flags & 0x80000 = 0 ORDER BY name";
        let mut statement = connection.prepare(sql).unwrap();
        let names: Vec<String> = statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .filter(|name: &String| !is_allowed(name))
            .collect();
        assert_eq!(names, KNOWN);
    }
}
