//! The shared code of the guests that run the SQL of their requests.

use test_guests::{Value, json, text};

use crate::contract::database::{self, Value as Sql};
use crate::contract::{Request, Response, answer, input};
use crate::own;

/// Answers a request.
pub fn handle(request: Request) -> Response {
    let input = input(&request);
    let output = match request.path.as_str() {
        "/query" => outcome(database::query(text(&input, "sql"), &params(&input)).map(rows)),
        "/execute" => {
            outcome(database::execute(text(&input, "sql"), &params(&input)).map(|rows| json!(rows)))
        }
        "/transaction" => outcome(transaction(&input)),
        "/cursor" => outcome(cursor(&input)),
        "/second" => second_use(&input),
        "/trap-in-transaction" => {
            let transaction = database::begin().expect("a transaction begins");
            transaction
                .execute(text(&input, "sql"), &params(&input))
                .expect("the statement runs");
            std::process::abort()
        }
        other => json!(other),
    };
    answer(200, &output)
}

/// Runs all `statements` in one transaction, which is committed, rolled back or dropped as `end`
/// says.
fn transaction(input: &Value) -> Result<Value, database::Error> {
    let transaction = database::begin()?;
    let mut changed = Vec::new();
    for statement in input["statements"].as_array().into_iter().flatten() {
        changed.push(transaction.execute(statement.as_str().unwrap_or_default(), &[])?);
    }
    match text(input, "end") {
        "commit" => transaction.commit()?,
        "rollback" => transaction.rollback()?,
        "commit-twice" => {
            transaction.commit()?;
            transaction.commit()?;
        }
        "enqueue" => {
            transaction.enqueue(&own::job())?;
        }
        "publish" => transaction.publish("t", "{}").map(|_| ())?,
        "query" => return transaction.query("SELECT count(*) FROM item", &[]).map(rows),
        _ => drop(transaction),
    }
    Ok(json!(changed))
}

fn cursor(input: &Value) -> Result<Value, database::Error> {
    let cursor = database::open(text(input, "sql"), &params(input))?;
    let columns = cursor.columns();
    let max = u32::try_from(input["max"].as_u64().unwrap_or(2)).unwrap_or(u32::MAX);
    let mut pieces = Vec::new();
    loop {
        let piece = cursor.next(max)?;
        if piece.is_empty() {
            return Ok(json!({ "columns": columns, "pieces": pieces }));
        }
        pieces.push(piece.len());
    }
}

/// Uses the database outside an open transaction of the same invocation, which would wait for
/// itself.
fn second_use(input: &Value) -> Value {
    let _transaction = database::begin().expect("a transaction begins");
    json!([
        outcome(database::execute(text(input, "sql"), &[]).map(|rows| json!(rows))),
        outcome(database::begin().map(|_| json!("begun"))),
    ])
}

fn params(input: &Value) -> Vec<Sql> {
    let values = input["params"].as_array().cloned().unwrap_or_default();
    values.iter().map(param).collect()
}

fn param(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Bool(value) => Sql::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Sql::Integer(integer),
            None => Sql::Real(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Sql::Text(text.clone()),
        Value::Array(bytes) => Sql::Blob(
            bytes
                .iter()
                .filter_map(|byte| u8::try_from(byte.as_u64()?).ok())
                .collect(),
        ),
        Value::Object(_) => Sql::Text(value.to_string()),
    }
}

fn rows(rows: database::Rows) -> Value {
    let plain = |value: &Sql| match value {
        Sql::Null => json!(null),
        Sql::Boolean(value) => json!(value),
        Sql::Integer(value) => json!(value),
        Sql::Real(value) => json!(value),
        Sql::Text(value) => json!(value),
        Sql::Blob(value) => json!(value),
    };
    let values: Vec<Vec<Value>> = rows
        .rows
        .iter()
        .map(|row| row.iter().map(plain).collect())
        .collect();
    json!({ "columns": rows.columns, "rows": values })
}

fn outcome(result: Result<Value, database::Error>) -> Value {
    match result {
        Ok(value) => json!({ "ok": value }),
        Err(error) => {
            let (kind, message) = own::failure(error);
            json!({ "error": kind, "message": message })
        }
    }
}
