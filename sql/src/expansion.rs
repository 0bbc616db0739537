//! Estimates the size of a statement after SQLite has expanded its views and subqueries, and
//! rejects one that would be too large to compile.
//!
//! While SQLite compiles, it copies a WITH, a view or a subquery of a FROM to every place that uses
//! it or its columns. Twenty that each use the previous one twice make a million copies, which
//! takes minutes. So the copies are counted first, from the text, and never fewer than SQLite
//! makes.
//!
//! The count covers these functions of SQLite 3.51: `withExpand` and `selectExpander` copy a WITH
//! and a view for each use. `flattenSubquery` copies an expression for each use of a column
//! (`substExpr`), and the outer query for each term of a UNION ALL. `pushDownWhereTerms` copies
//! conditions into subqueries.
//!
//! Other kinds of expansion are not counted: virtual generated columns that use each other, the
//! terms of an OR, the triggers of a table. These, and any that a later version adds, are bounded
//! by the number of instructions, the tenant's memory and the clock in the allocator (`memory`),
//! also during compilation.

use std::collections::HashMap;

use crate::token::{Token, tokens};

/// The most words of a statement with all copies: some tens of milliseconds and megabytes.
const MOST_WORDS: u64 = 100_000;

/// The most subqueries of a statement before any is copied.
const MOST_BLOCKS: usize = 500;

/// The most levels of views and subqueries that use each other.
const MOST_DEPTH: usize = 100;

/// Words that are never a name without quotes.
const RESERVED: &[&str] = &[
    "all",
    "and",
    "as",
    "between",
    "case",
    "collate",
    "default",
    "delete",
    "distinct",
    "else",
    "escape",
    "exists",
    "from",
    "group",
    "having",
    "in",
    "insert",
    "into",
    "is",
    "isnull",
    "join",
    "limit",
    "not",
    "nothing",
    "notnull",
    "null",
    "on",
    "or",
    "order",
    "returning",
    "select",
    "set",
    "table",
    "then",
    "to",
    "union",
    "update",
    "using",
    "values",
    "when",
    "where",
];

/// The views of a database with the size of each, copies included.
#[derive(Debug, Default)]
pub struct Views(HashMap<String, Size>);

/// The cost of one use.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// The total number of words.
    words: u64,
    /// The number of words of the largest column.
    widest: u64,
}

/// A SELECT: the statement itself, or one in parentheses.
#[derive(Default)]
struct Block {
    name: Option<String>,
    /// Words that may name a column, a WITH or a view.
    words: Vec<String>,
    widest: u64,
    /// Whether it is grouped. Then it is computed first, and its columns are not copied into its
    /// users.
    grouped: bool,
    /// The inner blocks, each with whether it is part of a column.
    inner: Vec<(usize, bool)>,
    column: u64,
    in_columns: bool,
    parentheses: usize,
}

/// The statement is too large to compile.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMuch;

impl Views {
    /// The views that `texts` create, in any order.
    pub fn of(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let none = HashMap::new();
        let mut arena = Vec::new();
        let mut views = HashMap::new();
        let mut roots = Vec::new();
        for text in texts {
            let tokens = tokens(text.as_ref());
            match add_blocks(&mut arena, &tokens) {
                Ok(root) => roots.push(root),
                Err(TooMuch) => views.extend(view_name(&tokens).map(|name| (name, Size::ENDLESS))),
            }
        }
        let mut sizes = Sizes::of(&arena, &none);
        for root in roots {
            let size = sizes.size(root, 0);
            views.extend(arena[root].name.clone().map(|name| (name, size)));
        }
        Self(views)
    }

    /// Returns an error if the statement is too large to compile.
    pub fn check(&self, statement: &str) -> Result<(), TooMuch> {
        if self.0.is_empty() && selects(statement) < 2 {
            return Ok(());
        }
        let mut blocks = Vec::new();
        let root = add_blocks(&mut blocks, &tokens(statement))?;
        Sizes::of(&blocks, &self.0).size(root, 0).check()
    }
}

/// Returns an error if a statement of `script` is too large to compile in a database with these
/// views.
pub(crate) fn check_script(views: &[String], script: &str) -> Result<(), TooMuch> {
    let none = HashMap::new();
    let mut blocks = Vec::new();
    for view in views {
        add_blocks(&mut blocks, &tokens(view))?;
    }
    let mut roots = Vec::new();
    for statement in tokens(script).split(|token| *token == Token::Semicolon) {
        roots.push(add_blocks(&mut blocks, statement)?);
    }
    let mut sizes = Sizes::of(&blocks, &none);
    roots.into_iter().try_for_each(|root| sizes.size(root, 0).check())
}

impl Size {
    const ENDLESS: Self = Self {
        words: u64::MAX,
        widest: u64::MAX,
    };

    fn check(self) -> Result<(), TooMuch> {
        if self.words > MOST_WORDS {
            Err(TooMuch)
        } else {
            Ok(())
        }
    }
}

/// The number of occurrences of SELECT in a text.
fn selects(text: &str) -> usize {
    let windows = text.as_bytes().windows(6);
    windows
        .filter(|window| window.eq_ignore_ascii_case(b"select"))
        .count()
}

/// Parses a statement into blocks. Returns the index of the outermost block.
fn add_blocks(blocks: &mut Vec<Block>, tokens: &[Token<'_>]) -> Result<usize, TooMuch> {
    let root = blocks.len();
    blocks.push(Block {
        name: view_name(tokens),
        ..Block::default()
    });
    let mut open = vec![root];
    // For each open parenthesis, whether it opened a block.
    let mut parentheses = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1);
        let at = open.last().copied().unwrap_or(root);
        let count = blocks.len();
        let Some(block) = blocks.get_mut(at) else { break };
        match token {
            Token::Open if next.is_some_and(begins_block) => {
                let name = with_name(tokens, index);
                if name.is_none() {
                    block.inner.push((count, block.in_columns));
                }
                blocks.push(Block {
                    name,
                    ..Block::default()
                });
                if blocks.len() > root + MOST_BLOCKS {
                    return Err(TooMuch);
                }
                open.push(count);
                parentheses.push(true);
            }
            Token::Open => {
                block.parentheses += 1;
                parentheses.push(false);
            }
            Token::Close => match parentheses.pop() {
                Some(true) => {
                    block.end_column();
                    open.pop();
                }
                _ => block.parentheses = block.parentheses.saturating_sub(1),
            },
            Token::Comma if block.parentheses == 0 => block.end_column(),
            Token::Word(word) => block.word(*token, word, next),
            Token::Quoted(_) => block.name(*token, next),
            Token::Comma | Token::Dot | Token::Semicolon | Token::Other => {}
        }
    }
    blocks.iter_mut().skip(root).for_each(Block::end_column);
    Ok(root)
}

impl Block {
    fn word(&mut self, token: Token<'_>, word: &str, next: Option<&Token<'_>>) {
        let word = word.to_ascii_lowercase();
        match word.as_str() {
            "select" | "values" => {
                self.end_column();
                self.in_columns = true;
            }
            "from" if self.parentheses == 0 => {
                self.end_column();
                self.in_columns = false;
            }
            "group" => self.grouped = true,
            _ if RESERVED.binary_search(&word.as_str()).is_ok() => {}
            _ => self.name(token, next),
        }
    }

    /// Adds a name, unless it is the qualifier of the next one or a function.
    fn name(&mut self, token: Token<'_>, next: Option<&Token<'_>>) {
        if !matches!(next, Some(Token::Dot | Token::Open)) {
            self.words.extend(token.name());
            self.column += u64::from(self.in_columns);
        }
    }

    fn end_column(&mut self) {
        self.widest = self.widest.max(self.column).max(1);
        self.column = 0;
    }
}

fn begins_block(token: &Token<'_>) -> bool {
    ["select", "with", "values"]
        .iter()
        .any(|word| token.is_word(word))
}

/// The name of the WITH whose body begins at `open`: `name (columns) AS NOT MATERIALIZED (`.
fn with_name(tokens: &[Token<'_>], open: usize) -> Option<String> {
    let mut before = tokens.get(..open)?.iter().rev().peekable();
    before.next_if(|token| token.is_word("materialized"));
    before.next_if(|token| token.is_word("not"));
    before.next_if(|token| token.is_word("as"))?;
    if before.next_if(|token| **token == Token::Close).is_some() {
        before.find(|token| **token == Token::Open)?;
    }
    before.next()?.name()
}

/// The name of the view that a statement creates.
fn view_name(tokens: &[Token<'_>]) -> Option<String> {
    let begin = tokens.get(..10.min(tokens.len()))?;
    let view = begin.iter().position(|token| token.is_word("view"))?;
    if !begin.first()?.is_word("create") {
        return None;
    }
    let mut rest = tokens.get(view + 1..)?.iter().peekable();
    for word in ["if", "not", "exists"] {
        rest.next_if(|token| token.is_word(word));
    }
    let name = rest.next()?;
    match rest.next_if(|token| **token == Token::Dot) {
        Some(_) => rest.next()?.name(),
        None => name.name(),
    }
}

/// Computes the size of each block once.
struct Sizes<'b> {
    blocks: &'b [Block],
    views: &'b HashMap<String, Size>,
    named: HashMap<&'b str, Vec<usize>>,
    known: Vec<Option<Size>>,
}

impl<'b> Sizes<'b> {
    fn of(blocks: &'b [Block], views: &'b HashMap<String, Size>) -> Self {
        let mut named: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, block) in blocks.iter().enumerate() {
            if let Some(name) = &block.name {
                named.entry(name).or_default().push(index);
            }
        }
        Self {
            blocks,
            views,
            named,
            known: vec![None; blocks.len()],
        }
    }

    fn size(&mut self, index: usize, depth: usize) -> Size {
        let once = Size { words: 1, widest: 1 };
        let (Some(block), Some(known)) = (self.blocks.get(index), self.known.get_mut(index)) else {
            return once;
        };
        if let Some(known) = *known {
            return known;
        }
        if depth > MOST_DEPTH {
            return Size::ENDLESS;
        }
        // A reference to itself, as in a recursive WITH, counts once.
        *known = Some(once);
        let (mut copies, mut in_columns, mut width) = (0_u64, 0_u64, 1);
        for (inner, in_column) in &block.inner {
            let size = self.size(*inner, depth + 1);
            copies = copies.saturating_add(size.words);
            width = width.max(size.widest);
            if *in_column {
                in_columns = in_columns.saturating_add(size.words);
            }
        }
        for word in &block.words {
            if let Some(size) = self.of_name(word, depth + 1) {
                copies = copies.saturating_add(size.words);
                width = width.max(size.widest);
            }
        }
        let words = u64::try_from(block.words.len()).unwrap_or(u64::MAX);
        let columns = if block.grouped { 1 } else { width };
        let size = Size {
            words: words.saturating_mul(width).saturating_add(copies).max(1),
            widest: block.widest.saturating_mul(columns).saturating_add(in_columns),
        };
        if let Some(known) = self.known.get_mut(index) {
            *known = Some(size);
        }
        size
    }

    /// The largest size of all meanings of a name.
    fn of_name(&mut self, name: &str, depth: usize) -> Option<Size> {
        let blocks = self.named.get(name).cloned().unwrap_or_default();
        let mut largest = self.views.get(name).copied();
        for index in blocks {
            let size = self.size(index, depth);
            let other = largest.unwrap_or(size);
            largest = Some(Size {
                words: size.words.max(other.words),
                widest: size.widest.max(other.widest),
            });
        }
        largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(first: &str, step: impl Fn(usize) -> String, count: usize) -> String {
        let steps: String = (1..count)
            .map(|index| format!(", c{index} AS ({})", step(index - 1)))
            .collect();
        format!("WITH c0 AS ({first}){steps} SELECT count(*) FROM c{}", count - 1)
    }

    fn nested(columns: &str, count: usize) -> String {
        let from = (0..count).fold("t".to_owned(), |inner, _| {
            format!("(SELECT {columns} AS x FROM {inner})")
        });
        format!("SELECT x FROM {from}")
    }

    #[test]
    fn what_doubles_with_each_step_is_too_much() {
        let views = Views::default();
        for (statement, most) in [
            (
                chain("SELECT 1 AS x", |i| format!("SELECT a.x FROM c{i} a, c{i} b"), 40),
                40,
            ),
            (
                chain(
                    "SELECT 1 AS x",
                    |i| format!("SELECT x FROM \"C{i}\" UNION ALL SELECT x FROM [c{i}]"),
                    40,
                ),
                40,
            ),
            (
                chain(
                    "SELECT 1 AS x",
                    |i| format!("SELECT (SELECT max(x) FROM c{i}) + (SELECT x FROM c{i}) AS x"),
                    40,
                ),
                40,
            ),
            (
                chain(
                    "SELECT 1 AS x",
                    |i| format!("SELECT 1 WHERE 1 IN c{i} AND 2 IN c{i}"),
                    40,
                ),
                40,
            ),
            (nested("x + x", 40), 40),
            (nested("coalesce(x, x, x, x)", 20), 20),
        ] {
            assert_eq!(views.check(&statement), Err(TooMuch), "{most} steps: {statement}");
        }
    }

    #[test]
    fn what_people_write_is_not() {
        let views = Views::of(["CREATE VIEW paid AS SELECT id, total FROM orders WHERE status = 'paid'"]);
        let report = "WITH months AS (SELECT strftime('%Y-%m', at) AS month, total, customer FROM orders),
            sums AS (SELECT month, sum(total) AS total, count(DISTINCT customer) AS customers
                FROM months GROUP BY month),
            shares AS (SELECT month, total, total * 1.0 / (SELECT sum(total) FROM sums) AS share,
                lag(total) OVER (ORDER BY month) AS before, customers FROM sums),
            ranked AS (SELECT *, rank() OVER (ORDER BY share DESC) AS place, total - before AS more FROM shares),
            best AS (SELECT * FROM ranked WHERE place <= 10),
            worst AS (SELECT * FROM ranked WHERE place > 10)
            SELECT best.month, best.total, best.share, worst.month, worst.total,
                CASE WHEN best.more > 0 THEN 'up' WHEN best.more < 0 THEN 'down' ELSE 'same' END AS trend
            FROM best LEFT JOIN worst ON worst.place = best.place + 10 JOIN paid ON paid.id = best.month
            WHERE best.total > 100 ORDER BY best.place, worst.place LIMIT 100";
        for statement in [
            "SELECT 1",
            "SELECT id, name FROM item WHERE id IN (SELECT item FROM tag WHERE name = $1) ORDER BY id",
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 10) SELECT * FROM n, n AS m",
            "INSERT INTO item (name) SELECT name FROM (SELECT name, max(id) FROM item GROUP BY name)",
            report,
        ] {
            assert_eq!(views.check(statement), Ok(()), "{statement}");
        }
    }

    #[test]
    fn views_count_in_whatever_order_they_were_made() {
        let double = |i: usize| format!("CREATE VIEW v{} AS SELECT a.x FROM v{i} a, main.v{i} b", i + 1);
        let mut texts: Vec<String> = (0..30).map(double).collect();
        for _ in 0..2 {
            texts.reverse();
            let views = Views::of(&texts);
            assert_eq!(views.check("SELECT * FROM v3"), Ok(()));
            assert_eq!(views.check("SELECT * FROM V29"), Err(TooMuch));
            assert_eq!(check_script(&[], &texts.join(";")), Err(TooMuch));
        }
        let views = Views::of(["CREATE VIEW IF NOT EXISTS \"v\" (x) AS SELECT x FROM v"]);
        assert_eq!(views.check("SELECT * FROM v, v"), Ok(()));
    }

    #[test]
    fn depth_and_number_have_an_end() {
        let views = Views::default();
        let deep = chain("SELECT 1 AS x", |i| format!("SELECT x FROM c{i}"), 400);
        assert_eq!(views.check(&deep), Err(TooMuch));
        let wide = format!("SELECT {}", vec!["(SELECT 1)"; MOST_BLOCKS + 1].join(", "));
        assert_eq!(views.check(&wide), Err(TooMuch));
        assert_eq!(
            views.check(&format!("{}SELECT 1 UNION SELECT 1", "(".repeat(50_000))),
            Ok(())
        );
    }

    #[test]
    fn the_list_can_be_searched() {
        assert!(RESERVED.is_sorted());
    }
}
