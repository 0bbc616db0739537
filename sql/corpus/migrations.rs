//! Files of migrations.

/// The migrations of one plugin, and what applying them has to say.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// Names and texts, in their order.
    pub files: &'static [(&'static str, &'static str)],
    /// The plugin is of contract 0.2.
    pub is_strict: bool,
    /// A statement that has to work afterwards, or parts of the message.
    pub wanted: Result<&'static str, &'static [&'static str]>,
}

const ORDERS: (&str, &str) = (
    "0001_orders.sql",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT NOT NULL DEFAULT '');
     -- The lines; a semicolon in a comment;
     CREATE TABLE lines (id INTEGER PRIMARY KEY, orders INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE);
     INSERT INTO orders VALUES (1, '  first  ');
     INSERT INTO lines VALUES (1, 1);",
);

const SEQUENCE: &str =
    "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, x INTEGER); INSERT INTO a (x) VALUES (1);";

const fn works(files: &'static [(&'static str, &'static str)], afterwards: &'static str) -> Migrations {
    Migrations {
        files,
        is_strict: true,
        wanted: Ok(afterwards),
    }
}

const fn fails(files: &'static [(&'static str, &'static str)], parts: &'static [&'static str]) -> Migrations {
    Migrations {
        files,
        is_strict: true,
        wanted: Err(parts),
    }
}

/// Migrations that run, and migrations that are refused, with what each leads to.
pub const MIGRATIONS: &[Migrations] = &[
    works(&[ORDERS], "SELECT note FROM orders"),
    works(
        &[
            ORDERS,
            (
                "0002_state.sql",
                "ALTER TABLE orders ADD COLUMN state TEXT NOT NULL DEFAULT 'new' CHECK (state <> '');",
            ),
        ],
        "SELECT state FROM orders",
    ),
    works(
        &[
            ORDERS,
            ("0002_prio.sql", "ALTER TABLE orders ADD COLUMN prio INTEGER;"),
        ],
        "SELECT prio FROM orders",
    ),
    works(
        &[
            ORDERS,
            (
                "0002_names.sql",
                "ALTER TABLE orders RENAME COLUMN note TO remark; ALTER TABLE lines RENAME TO order_lines;
            ALTER TABLE orders ADD COLUMN unused TEXT; ALTER TABLE orders DROP COLUMN unused;",
            ),
        ],
        "SELECT remark FROM orders JOIN order_lines ON order_lines.orders = orders.id",
    ),
    works(
        &[
            ORDERS,
            (
                "0002_index.sql",
                "CREATE INDEX by_note ON orders (upper(note)); ANALYZE; ANALYZE orders; REINDEX;
            CREATE TABLE copy AS SELECT id, note FROM orders; DROP TABLE copy; ANALYZE;",
            ),
        ],
        "SELECT count(*) FROM sqlite_stat1",
    ),
    // A table that others refer to is rebuilt, and its children stay.
    works(
        &[
            ORDERS,
            (
                "0002_rebuild.sql",
                "CREATE TABLE orders_new (id INTEGER PRIMARY KEY, note TEXT) STRICT;
            INSERT INTO orders_new SELECT id, note FROM orders; DROP TABLE orders;
            ALTER TABLE orders_new RENAME TO orders;",
            ),
        ],
        "SELECT json(iif(count(*) = 1, '1', 'the child is gone')) FROM lines",
    ),
    works(
        &[
            ("20240101120000_init.sql", "CREATE TABLE t (a)"),
            ("20240101120001_more.sql", "CREATE TABLE u (a)"),
        ],
        "SELECT a FROM u",
    ),
    works(
        &[(
            "0001_a.sql",
            "\u{feff}CREATE TABLE t (a);\r\nINSERT INTO t VALUES ('x\r\ny');\r\n",
        )],
        "SELECT json(iif(a = 'x' || char(10) || 'y', '1', 'another text')) FROM t",
    ),
    works(
        &[(
            "0001_a.sql",
            "CREATE TABLE t (id TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))), a);",
        )],
        "INSERT INTO t (a) VALUES (1)",
    ),
    // Types.
    works(
        &[(
            "0001_a.sql",
            "CREATE TABLE t (a INTEGER, b BIGINT, c REAL, d DOUBLE PRECISION, e TEXT, f VARCHAR(9), g BLOB,
            h BOOLEAN, i, j CHAR(3), k FLOAT, l INT); CREATE TABLE u (a ANY, b INT) STRICT;",
        )],
        "SELECT * FROM t, u",
    ),
    fails(
        &[(
            "0001_a.sql",
            "CREATE TABLE t (price DECIMAL(10,2), at TIMESTAMP, id TEXT);",
        )],
        &[
            "`t.price` is declared `DECIMAL(10,2)`",
            "`t.at` is declared `TIMESTAMP`",
            "declare it `TEXT`",
        ],
    ),
    fails(
        &[("0001_a.sql", "CREATE TABLE t (id UUID PRIMARY KEY)")],
        &["`t.id` is declared `UUID`"],
    ),
    fails(&[("0001_a.sql", "CREATE TABLE t (a STRING)")], &["`STRING`"]),
    fails(&[("0001_a.sql", "CREATE TABLE t (a JSON)")], &["`JSON`"]),
    fails(
        &[
            ("0001_a.sql", "CREATE TABLE t (a TEXT)"),
            ("0002_b.sql", "ALTER TABLE t ADD COLUMN b DATETIME"),
        ],
        &["`t.b` is declared `DATETIME`"],
    ),
    Migrations {
        files: &[("0001_a.sql", "CREATE TABLE t (price DECIMAL(10,2))")],
        is_strict: false,
        wanted: Ok("SELECT price FROM t"),
    },
    // What a later migration mends is no mistake of the schema.
    works(
        &[
            ("0001_a.sql", "CREATE TABLE t (a NUMERIC)"),
            ("0002_b.sql", "DROP TABLE t; CREATE TABLE t (a TEXT)"),
        ],
        "SELECT a FROM t",
    ),
    // Mistakes are named with their line.
    fails(
        &[("0001_a.sql", "CREATE TABLE t (x);\n\n  SELEKT 1;")],
        &["0001_a.sql failed at line 3", "syntax error"],
    ),
    fails(
        &[
            ORDERS,
            (
                "0002_b.sql",
                "CREATE TABLE bad (x);\nINSERT INTO bad VALUES (1);\r\nINSERT INTO orders VALUES (1, 'twice');",
            ),
        ],
        &["0002_b.sql failed at line 3", "orders.id"],
    ),
    fails(
        &[("0001_a.sql", "CREATE TABLE t (x);\nCOMMIT;")],
        &["line 2", "BEGIN, COMMIT"],
    ),
    fails(&[("0001_a.sql", "PRAGMA journal_mode = DELETE;")], &["PRAGMA"]),
    fails(&[("0001_a.sql", "ATTACH 'x' AS y")], &["ATTACH"]),
    fails(&[("0001_a.sql", "VACUUM")], &["failed at line 1"]),
    fails(
        &[("0001_a.sql", "CREATE TABLE _mortise_x (a)")],
        &["the host's own"],
    ),
    fails(
        &[("0001_a.sql", "DELETE FROM _mortise_migrations")],
        &["the host's own"],
    ),
    // SQLite does not ask about the table that a foreign key refers to.
    fails(
        &[(
            "0001_a.sql",
            "CREATE TABLE t (a);\nCREATE TABLE u (a REFERENCES \"_mortise_outbox\" (seq))",
        )],
        &["line 2", "the host's own"],
    ),
    fails(
        &[
            ("0001_a.sql", SEQUENCE),
            ("0002_b.sql", "DELETE FROM sqlite_sequence"),
        ],
        &["may not use `sqlite_sequence`"],
    ),
    fails(
        &[
            ("0001_a.sql", SEQUENCE),
            (
                "0002_b.sql",
                "CREATE TABLE b (a);\nUPDATE [SQLite_Sequence] SET seq = 9",
            ),
        ],
        &["line 2", "may not use `sqlite_sequence`"],
    ),
    fails(
        &[
            ("0001_a.sql", SEQUENCE),
            (
                "0002_b.sql",
                "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM 'sqlite_sequence'; END",
            ),
        ],
        &["may not use `sqlite_sequence`"],
    ),
    // SQLite itself writes it when such a table is renamed and dropped.
    works(
        &[
            ("0001_a.sql", SEQUENCE),
            (
                "0002_b.sql",
                "ALTER TABLE a RENAME TO b; INSERT INTO b (x) VALUES (2); CREATE TABLE c (id INTEGER);
                 INSERT INTO c SELECT id FROM b; DROP TABLE b;",
            ),
        ],
        "SELECT id FROM c",
    ),
    fails(
        &[("0001_a.sql", "SELECT load_extension('x')")],
        &["load_extension"],
    ),
    fails(&[("0001_a.sql", "CREATE TEMP TABLE t (x)")], &["temporary"]),
    fails(
        &[("0001_a.sql", "CREATE VIRTUAL TABLE f USING fts5(x)")],
        &["virtual tables", "full-text search"],
    ),
    fails(&[("0001_a.sql", "SELECT $1")], &["no parameters"]),
    fails(&[("0001_a.sql", "SELECT 1;\nSELECT '\0'")], &["line 2", "NUL"]),
    fails(
        &[(
            "0001_a.sql",
            "CREATE TABLE t (a);\nINSERT INTO t VALUES (\"text\")",
        )],
        &["line 2", "no such column"],
    ),
    fails(
        &[
            ORDERS,
            ("0002_b.sql", "ALTER TABLE orders ADD COLUMN x TEXT NOT NULL"),
        ],
        &["NOT NULL"],
    ),
    fails(
        &[ORDERS, ("0002_b.sql", "DELETE FROM orders")],
        &["rows of `lines` that refer to missing rows of `orders`"],
    ),
    fails(
        &[("0001_a.sql", "CREATE TABLE t (a CHECK (a REGEXP 'x'))")],
        &[""],
    ),
];
