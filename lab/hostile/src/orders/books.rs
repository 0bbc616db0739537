//! Compares the tables of the shop with what its customers, the payment provider and the ERP know.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result};
use rig::host::Host;
use serde::Serialize;
use serde_json::Value;

use super::client::Client;
use super::doubles::Doubles;
use super::shop::query;

/// Queries that answer no row if the books are right.
const RULES: [(&str, &str); 10] = [
    (
        "reserved is what unpaid orders hold",
        "SELECT p.id FROM products p WHERE p.reserved <> (SELECT coalesce(sum(quantity), 0) FROM \
         reservations r WHERE r.product_id = p.id AND r.state = 'held')",
    ),
    (
        "no stock is negative",
        "SELECT id FROM products WHERE stock < 0 OR reserved < 0",
    ),
    (
        "an intent is one payment",
        "SELECT intent FROM payments GROUP BY intent HAVING count(*) > 1",
    ),
    (
        "one payment completes an order",
        "SELECT order_id FROM payments WHERE purpose = 'completes' GROUP BY order_id HAVING count(*) > 1",
    ),
    (
        "a confirmed order has its payment",
        "SELECT o.id FROM orders o WHERE o.state IN ('confirmed', 'completed') AND NOT EXISTS (SELECT 1 FROM \
         payments p WHERE p.order_id = o.id AND p.purpose = 'completes')",
    ),
    (
        "a confirmed order has its invoice",
        "SELECT o.id FROM orders o WHERE o.state IN ('confirmed', 'completed') AND NOT EXISTS (SELECT 1 FROM \
         invoices i WHERE i.order_id = o.id)",
    ),
    (
        "a payment that completes no order has a refund or a review",
        "SELECT p.id FROM payments p WHERE p.purpose <> 'completes' AND NOT EXISTS (SELECT 1 FROM refunds r \
         WHERE r.payment_id = p.id) AND NOT EXISTS (SELECT 1 FROM reviews v WHERE v.intent = p.intent)",
    ),
    (
        "a cancelled order holds nothing",
        "SELECT o.id FROM orders o JOIN reservations r ON r.order_id = o.id WHERE o.state = 'cancelled' \
         AND r.state = 'held'",
    ),
    (
        "no refund waits",
        "SELECT id FROM refunds WHERE state = 'requested'",
    ),
    (
        "no order waits for the ERP",
        "SELECT id FROM orders WHERE synced_revision < revision",
    ),
];

/// The pieces of each product that exist or were sold.
const PIECES: &str = "SELECT p.id, p.stock + p.reserved + coalesce((SELECT sum(l.quantity - l.cancelled) \
    FROM order_lines l JOIN reservations r USING (order_id, product_id) WHERE l.product_id = p.id AND r.state = \
    'consumed'), 0) FROM products p";

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Books {
    orders: usize,
    invoices: i64,
    /// The rules that are broken, with examples.
    broken: Vec<String>,
}

impl Books {
    /// Reads and compares everything. No job may wait or run.
    pub fn read(host: &Host, client: &Client, doubles: &Doubles) -> Result<Self> {
        let mut books = Self::default();
        for (rule, sql) in RULES {
            let rows = query(host, sql)?;
            books.holds(rows.is_empty(), || format!("{rule}: {:?}", first(&rows)));
        }
        let [invoices, highest] = pair(host, "SELECT count(*), coalesce(max(number), 0) FROM invoices")?;
        books.invoices = invoices;
        books.holds(invoices == highest, || {
            format!("invoices have no gap: {invoices} up to the number {highest}")
        });
        books.stock(host, client)?;
        books.payments(host, doubles)?;
        books.orders(host, client, doubles)?;
        Ok(books)
    }

    /// Whether no rule is broken.
    pub fn agree(&self) -> bool {
        self.broken.is_empty()
    }

    /// Nothing is sold twice, and nothing disappears.
    fn stock(&mut self, host: &Host, client: &Client) -> Result<()> {
        let pieces: BTreeMap<i64, i64> = numbers(&query(host, PIECES)?)?;
        for product in &client.products {
            let found = pieces.get(&product.id).copied();
            self.holds(found == Some(product.stock), || {
                format!("stock: {product:?} has {found:?} pieces")
            });
        }
        Ok(())
    }

    /// All money that moved is in the books, and the refunds are the same on both sides.
    fn payments(&mut self, host: &Host, doubles: &Doubles) -> Result<()> {
        let rows = query(host, "SELECT intent, amount_cents, refunded_cents FROM payments")?;
        let mut known = BTreeMap::new();
        for row in rows {
            let [Value::String(intent), amount, refunded] = row.as_slice() else {
                anyhow::bail!("{row:?} is no payment");
            };
            known.insert(intent.clone(), (amount.as_i64(), refunded.as_i64()));
        }
        for (intent, payment) in doubles.payments() {
            let wanted = (Some(payment.amount), Some(payment.refunded));
            let found = known.remove(&intent);
            self.holds(found == Some(wanted), || {
                format!("money that moved: {intent} {payment:?} is {found:?} in the books")
            });
        }
        self.holds(known.is_empty(), || {
            format!("payments that nobody made: {known:?}")
        });
        Ok(())
    }

    /// All acknowledged orders exist, and the ERP has them.
    fn orders(&mut self, host: &Host, client: &Client, doubles: &Doubles) -> Result<()> {
        let all: BTreeMap<i64, i64> = numbers(&query(host, "SELECT id, total_cents FROM orders")?)?;
        self.orders = all.len();
        let sent = doubles.erp_orders();
        for order in client.acknowledged() {
            self.holds(all.contains_key(&order.id), || {
                format!("an order is lost: {order:?}")
            });
            let revised = format!("order-{}-r", order.id);
            let is_sent = sent.contains(&format!("order-{}", order.id))
                || sent.iter().any(|key| key.starts_with(&revised));
            self.holds(is_sent, || {
                format!("an order that the ERP does not have: {order:?}")
            });
        }
        Ok(())
    }

    fn holds(&mut self, is_right: bool, broken: impl FnOnce() -> String) {
        const MOST: usize = 20;
        if !is_right && self.broken.len() < MOST {
            self.broken.push(broken());
        }
    }
}

/// The first rows.
fn first(rows: &[Vec<Value>]) -> &[Vec<Value>] {
    rows.get(..3).unwrap_or(rows)
}

/// The numbers of the only row.
fn pair(host: &Host, sql: &str) -> Result<[i64; 2]> {
    let rows = query(host, sql)?;
    let number = |index: usize| rows.first()?.get(index)?.as_i64();
    Ok([number(0).context("a number")?, number(1).context("a number")?])
}

/// Rows of two numbers.
fn numbers(rows: &[Vec<Value>]) -> Result<BTreeMap<i64, i64>> {
    let pairs = rows.iter().map(|row| {
        let number = |index: usize| row.get(index).and_then(Value::as_i64);
        Some((number(0)?, number(1)?))
    });
    pairs
        .collect::<Option<BTreeMap<i64, i64>>>()
        .context("rows of two numbers")
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.agree() {
            true => write!(
                f,
                "stock, payments, refunds and the ERP agree for {} orders; {} invoices without a gap; one \
                 completion per payment",
                self.orders, self.invoices
            ),
            false => {
                write!(f, "the books do not agree")?;
                self.broken
                    .iter()
                    .try_for_each(|broken| write!(f, "\n  {broken}"))
            }
        }
    }
}
