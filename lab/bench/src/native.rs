//! The native baseline: a bare axum server that does the plugin's work, in its own process.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use mortise::config::RuntimeSection;
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::say;

/// The first argument that starts the baseline.
pub const COMMAND: &str = "native";

/// Connections to the database: as many as a tenant's readers and writer.
const CONNECTIONS: u32 = 3;

/// The running baseline. It ends when this is dropped.
pub struct Native {
    child: Child,
    pub address: SocketAddr,
}

/// The body of a request, which is returned with the quantity increased by one.
#[derive(Deserialize, Serialize)]
pub struct Order {
    product: String,
    quantity: u32,
    note: String,
}

/// A row of the plugin's table.
#[derive(Serialize, sqlx::FromRow)]
pub struct Row {
    id: i64,
    body: String,
}

impl Order {
    /// The work of the plugin.
    pub fn one_more(mut self) -> Self {
        self.quantity += 1;
        self
    }
}

/// Opens a database with the plugin's table, with the durability of a tenant's.
pub async fn database(file: &Path) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .connect_with(options)
        .await?;
    sqlx::raw_sql(NOTES).execute(&pool).await?;
    Ok(pool)
}

/// One row by its key.
pub async fn select(pool: &SqlitePool, id: i64) -> sqlx::Result<Row> {
    sqlx::query_as("SELECT id, body FROM notes WHERE id = $1")
        .bind(id)
        .fetch_one(pool)
        .await
}

impl Native {
    /// Starts it with a database in `folder`, with as many threads as the host has for plugins.
    pub fn start(folder: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(COMMAND)
            .arg(folder.join("native.db"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the baseline starts")?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line
            .trim()
            .parse()
            .context("the baseline says where it listens")?;
        Ok(Self { child, address })
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the baseline.
pub fn serve(arguments: &[String]) -> Result<()> {
    let file = arguments.first().context("the file of the database")?;
    let threads = RuntimeSection::default().threads();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let pool = database(Path::new(file)).await?;
        let router = Router::new()
            .route("/orders", post(order))
            .route("/rows/{id}", get(row))
            .with_state(pool);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        say(&format!("{}\n", listener.local_addr()?));
        axum::serve(listener, router).await?;
        Ok(())
    })
}

/// The same table as the plugin's.
pub const NOTES: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
    WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1000)
    INSERT INTO notes (id, body) SELECT x, 'the note number ' || x FROM n;";

async fn order(Json(order): Json<Order>) -> Json<Order> {
    Json(order.one_more())
}

async fn row(State(pool): State<SqlitePool>, UrlPath(id): UrlPath<i64>) -> Result<Json<Row>, StatusCode> {
    let row = select(&pool, id).await;
    row.map(Json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
