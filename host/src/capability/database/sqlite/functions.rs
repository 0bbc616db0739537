//! The SQL functions that plugins may call.
//!
//! A list of what is allowed, so that a function which a newer SQLite brings is not allowed by accident. Nothing here
//! reads files, loads code, tells about the host, or makes something large out of nothing.
//!
//! A statement can be interrupted between rows and not within one call of a function. Some functions take time with
//! the product of the sizes of their arguments (`trim` of 64 KiB by 64 KiB takes 13 s), so a statement that calls one
//! works on values of bounded size; the sizes are chosen so that no call takes more than about 50 ms.

/// What a call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// Time that has little to do with the size of its arguments.
    Small,
    /// Time with the size of its arguments: so many nanoseconds for each byte, measured and rounded up.
    Linear(u32),
    /// Time with the product of their sizes: no value of the statement may have more than these bytes.
    Product(i32),
}

/// At most so many calls of [`Cost::Product`] in one statement. They can all stand in one row, where nothing
/// interrupts them.
pub(super) const MAX_COSTLY_CALLS: u32 = 6;

/// Nanoseconds that the functions of one statement may take together if each is called once with a value of a
/// mebibyte. Beyond this the values must be smaller.
pub(super) const CALLS_NANOSECONDS: i64 = 200_000_000;

/// What the function costs, or `None` where plugins may not call it. `name` in lower case.
pub(super) fn cost(name: &str) -> Option<Cost> {
    match name {
        "instr" | "replace" => Some(Cost::Product(64 * 1024)),
        "trim" | "ltrim" | "rtrim" | "unhex" | "json_patch" => Some(Cost::Product(4 * 1024)),
        "strftime" => Some(Cost::Linear(150)),
        _ if LINEAR.binary_search(&name).is_ok() => Some(Cost::Linear(16)),
        _ if SMALL.binary_search(&name).is_ok() => Some(Cost::Small),
        _ => None,
    }
}

/// Functions that ALTER TABLE calls on its own; SQLite refuses them in any other text.
pub(super) fn is_internal_to_alter(name: &str) -> bool {
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

/// What to use instead of a function that is not allowed, where there is something.
pub(super) fn instead_of(name: &str) -> &'static str {
    match name {
        "last_insert_rowid" | "changes" | "total_changes" => "; use a RETURNING clause",
        "json_pretty" => "; it is for people, so format in the plugin",
        "printf" | "format" | "zeroblob" | "randomblob" => {
            "; make the value in the plugin and pass it as a parameter"
        }
        _ => "",
    }
}

/// In the order of their bytes, for the search. Numbers are read from text to its end, so that arithmetic is here too.
const LINEAR: &[&str] = &[
    "->",
    "->>",
    "abs",
    "avg",
    "char",
    "concat",
    "concat_ws",
    "date",
    "datetime",
    "glob",
    "group_concat",
    "hex",
    "json",
    "json_array",
    "json_array_length",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
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
    "length",
    "like",
    "lower",
    "max",
    "min",
    "nullif",
    "quote",
    "round",
    "string_agg",
    "substr",
    "substring",
    "sum",
    "time",
    "timediff",
    "total",
    "unicode",
    "unixepoch",
    "upper",
];

/// In the order of their bytes as well.
const SMALL: &[&str] = &[
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "ceil",
    "ceiling",
    "coalesce",
    "cos",
    "cosh",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "degrees",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "if",
    "ifnull",
    "iif",
    "lag",
    "last_value",
    "lead",
    "likelihood",
    "likely",
    "ln",
    "log",
    "log10",
    "log2",
    "mod",
    "nth_value",
    "ntile",
    "octet_length",
    "percent_rank",
    "pi",
    "pow",
    "power",
    "radians",
    "random",
    "rank",
    "row_number",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
    "typeof",
    "unlikely",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_searched() {
        assert!(LINEAR.is_sorted() && SMALL.is_sorted());
        for name in SMALL {
            assert_eq!(cost(name), Some(Cost::Small), "{name}");
        }
        for name in LINEAR {
            assert!(matches!(cost(name), Some(Cost::Linear(_))), "{name}");
        }
    }

    #[test]
    fn what_is_not_listed_is_not_allowed() {
        for name in [
            "load_extension",
            "fts3_tokenizer",
            "readfile",
            "printf",
            "zeroblob",
            "randomblob",
            "json_pretty",
            "sqlite_version",
            "a_function_of_tomorrow",
        ] {
            assert_eq!(cost(name), None, "{name}");
        }
    }
}
