//! Tests of cursors.

use super::super::super::bindings::database::HostCursor as _;
use super::super::Cursor;
use super::*;
use crate::domain::units::{ByteSize, Span};

const NUMBERS: &str = "CREATE TABLE numbers (n INTEGER PRIMARY KEY, body TEXT);
    WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 1000) INSERT INTO numbers SELECT n, 'xxxxxxxxxx' FROM c;";

impl Call {
    async fn open(&mut self, sql: &str) -> Result<Resource<Cursor>, Error> {
        self.view().open(sql.to_owned(), Vec::new()).await.unwrap()
    }

    async fn next(&mut self, cursor: &Resource<Cursor>, max: u32) -> Result<usize, Error> {
        let cursor = Resource::new_borrow(cursor.rep());
        self.view()
            .next(cursor, max)
            .await
            .unwrap()
            .map(|rows| rows.len())
    }
}

#[tokio::test]
async fn a_result_comes_in_pieces() {
    let mut fixture = fixture(Limits::default(), NUMBERS).await;
    let call = &mut fixture.call;
    let cursor = call.open("SELECT n, body FROM numbers ORDER BY n").await.unwrap();
    let borrowed = Resource::new_borrow(cursor.rep());
    assert_eq!(call.view().columns(borrowed).await.unwrap(), ["n", "body"]);
    let mut sizes = Vec::new();
    loop {
        let count = call.next(&cursor, 300).await.unwrap();
        sizes.push(count);
        if count == 0 {
            break;
        }
        // The cursor does not see concurrent writes.
        let insert = "INSERT INTO numbers (body) VALUES ('new')";
        assert_eq!(call.execute(insert, &[]).await.unwrap(), 1);
    }
    assert_eq!(sizes, [300, 300, 300, 100, 0]);
    assert_eq!(call.next(&cursor, 300).await.unwrap(), 0);
    assert_eq!(call.invocation.usage.sql_rows, 1000);
}

#[tokio::test]
async fn the_guests_number_is_clamped() {
    let mut fixture = fixture(
        Limits {
            sql_rows: 50,
            ..Default::default()
        },
        NUMBERS,
    )
    .await;
    let call = &mut fixture.call;
    let cursor = call.open("SELECT n FROM numbers").await.unwrap();
    assert_eq!(call.next(&cursor, u32::MAX).await.unwrap(), 50);
    assert_eq!(call.next(&cursor, 0).await.unwrap(), 1);
    assert_eq!(call.next(&cursor, 49).await.unwrap(), 49);
}

#[tokio::test]
async fn a_piece_has_no_more_bytes_than_a_result_and_no_row_is_lost() {
    let room = 2 * size_of::<Value>() as u64 + 10;
    let limits = Limits {
        sql_bytes: ByteSize(room * 400 + 5),
        ..Default::default()
    };
    let mut fixture = fixture(limits, NUMBERS).await;
    let call = &mut fixture.call;
    let cursor = call.open("SELECT n, body FROM numbers").await.unwrap();
    let mut sizes = Vec::new();
    for _ in 0..4 {
        sizes.push(call.next(&cursor, 10_000).await.unwrap());
    }
    assert_eq!(sizes, [400, 400, 200, 0]);
    let cursor = call
        .open("SELECT group_concat(body || '0123456789012345678901234567890123456789') FROM numbers")
        .await
        .unwrap();
    is_limit(call.next(&cursor, 1).await, "bytes");
    is_invalid(call.next(&cursor, 1).await, "the cursor is over");
}

#[tokio::test]
async fn mistakes_show_when_it_is_opened() {
    let mut fixture = fixture(Limits::default(), NUMBERS).await;
    let call = &mut fixture.call;
    is_invalid(call.open("SELECT nope FROM numbers").await, "nope");
    is_invalid(call.open("DELETE FROM numbers RETURNING n").await, "only reads");
    is_invalid(call.open("SELECT $1").await, "values were given");
    is_denied(call.open("PRAGMA database_list").await, "PRAGMA");
    assert_eq!(call.number("SELECT count(*) FROM numbers").await, 1000);
}

#[tokio::test]
async fn cursors_are_counted_and_leave_the_readers_alone() {
    let mut fixture = fixture(Limits::default(), NUMBERS).await;
    let call = &mut fixture.call;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(call.open("SELECT n FROM numbers").await.unwrap());
    }
    is_limit(call.open("SELECT n FROM numbers").await, "4 cursors");
    assert_eq!(call.number("SELECT count(*) FROM numbers").await, 1000);
    // A cursor that was read to its end releases its permit while the guest still holds it.
    while call.next(&open[0], 1000).await.unwrap() > 0 {}
    let statement = super::super::Statement {
        sql: "SELECT n FROM numbers".to_owned(),
        params: vec![],
    };
    // This uses the session directly, because host calls are counted.
    let session = call.state.session();
    let room = tokio::time::timeout(std::time::Duration::from_secs(5), async {
        while session.open(statement.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    room.await.unwrap();
}

#[tokio::test]
async fn an_endless_piece_ends() {
    let mut fixture = fixture(
        Limits {
            sql_time: Span::ms(100),
            ..Default::default()
        },
        NUMBERS,
    )
    .await;
    let call = &mut fixture.call;
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n WHERE x < 3 OR x < 0";
    let cursor = call.open(endless).await.unwrap();
    assert_eq!(call.next(&cursor, 2).await.unwrap(), 2);
    is_limit(call.next(&cursor, 1).await, "took longer than");
    is_invalid(call.next(&cursor, 1).await, "the cursor is over");
    drop(fixture.call);
    assert_eq!(call_again(&fixture.databases).await, 1);
}

async fn call_again(databases: &Arc<SqliteDatabases>) -> i64 {
    call(databases, None, Limits::default()).number("SELECT 1").await
}
