//! `cargo xtask hostile --orders`: kills hosts while the shop `plugins/orders` takes orders, and
//! checks its books.
//!
//! Customers order, pay, pay twice, cancel and get refunds. The payment provider repeats, reorders
//! and delays its events, and sends each of them until it is acknowledged. The provider and the ERP
//! fail at random. In the end the stock, the payments, the invoices and the provider's own books
//! must agree.

mod books;
mod client;
mod doubles;
mod shop;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::clock::{now, pass, spoken, within};
use rig::host::Host;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::say;
use crate::stage::Scale;
use books::Books;
use client::Client;
use doubles::Doubles;
use shop::Shop;

/// A host is killed this long after the client has begun, at the earliest and at the latest.
const DELAY_MS: (u64, u64) = (150, 600);

/// How long the jobs may take in the end: leases of killed attempts, back-off and reservations.
const REST: Duration = Duration::from_secs(1_200);

/// No job must come within this time after the last one.
const CALM: Duration = Duration::from_secs(3);

/// Runs all stages. Returns whether the books agree, and the raw results.
pub fn run(executable: &Path, scale: Scale, seed: u64) -> Result<(bool, Value)> {
    let begin = now();
    let (kills, wanted) = match scale {
        Scale::Quick => (10, 20),
        Scale::Full => (200, 1_000),
    };
    let doubles = Doubles::start(seed)?;
    let shop = Shop::new(executable, scale);
    let mut host = shop.launch().start()?;
    let key = shop.open(&host, &doubles)?;
    let client = Client::new(seed, shop.stock(&host, &key)?, key);
    say("orders: one shop with a payment provider and an ERP that fail at random\n");
    for round in 0..kills {
        let delay = Duration::from_millis(DELAY_MS.0 + client.random(DELAY_MS.1 - DELAY_MS.0));
        client.work(&host, &doubles, || {
            pass(delay);
            host.signal(Signal::KILL)
        })?;
        let folder = host.kill()?;
        host = shop.launch().start_on(folder)?;
        if (round + 1) % 20 == 0 {
            let orders = client.orders();
            say(&format!(
                "  {:>3} kills; {orders:>5} orders acknowledged\n",
                round + 1
            ));
        }
    }
    client.settle(&host)?;
    doubles.repair();
    finish(&host)?;
    let books = Books::read(&host, &client, &doubles)?;
    say(&format!(
        "{kills} kills over {} acknowledged orders and {} payments: {books} ({})\n",
        client.orders(),
        doubles.payments().len(),
        spoken(begin.elapsed())
    ));
    host.stop()?;
    ensure!(
        client.orders() >= wanted,
        "only {} orders were acknowledged",
        client.orders()
    );
    Ok((books.agree(), json!({ "kills": kills, "books": books })))
}

/// Waits until no job is left to run.
fn finish(host: &Host) -> Result<()> {
    let mut idle_since = None;
    within(REST, "the end of the last job", || {
        let node = host.admin().get("/api/v1/node")?.ok()?;
        let gauge = |name: &str| node["gauges"][name].as_u64().context("a gauge of jobs");
        if gauge("jobs_queued")? + gauge("jobs_running")? > 0 {
            idle_since = None;
            return Ok(None);
        }
        let since = *idle_since.get_or_insert_with(now);
        Ok((since.elapsed() > CALM).then_some(()))
    })
}
