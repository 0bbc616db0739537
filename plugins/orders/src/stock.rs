//! Reservations of stock. `products.stock` is what can be sold, and `products.reserved` is what
//! unpaid orders hold. Both move only here, together with the state of a reservation.
//!
//! Each function runs in the transaction that changes the order, so a product is neither sold twice
//! nor lost if the host stops in between.

use mortise_sdk::db::Transaction;
use mortise_sdk::prelude::*;
use mortise_sdk::time;

use crate::orders::{NewLine, OrderLine};

/// What [`take_again`] got of the stock that an expired order had released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    All,
    /// At least one line, but not all.
    Some,
    None,
}

/// Holds the stock of one line. The update itself has the condition, so no other order can take the
/// stock in between.
pub fn hold(transaction: &Transaction, line: &NewLine) -> Result<OrderLine, Error> {
    let quantity = i64::from(line.quantity);
    let held: Option<(String, i64)> = transaction.query_optional(
        "UPDATE products SET stock = stock - $2, reserved = reserved + $2
         WHERE id = $1 AND stock >= $2 RETURNING name, price_cents",
        (line.product_id, quantity),
    )?;
    match held {
        Some((name, unit_price_cents)) => Ok(OrderLine {
            product_id: line.product_id,
            name,
            unit_price_cents,
            quantity,
            shipped: 0,
            cancelled: 0,
            refunded: 0,
        }),
        None => Err(cannot_hold(transaction, line)?),
    }
}

/// Stores the reservations of an order, whose stock is held.
pub fn note_held(transaction: &Transaction, order: i64) -> Result<(), Error> {
    transaction.execute(
        "INSERT INTO reservations (order_id, product_id, quantity, state, updated_at)
         SELECT order_id, product_id, quantity, 'held', $2 FROM order_lines WHERE order_id = $1",
        (order, time::now()),
    )?;
    Ok(())
}

/// Sells what an order holds.
pub fn consume(transaction: &Transaction, order: i64) -> Result<(), Error> {
    transaction.execute(
        "UPDATE products SET reserved = reserved - held.quantity FROM reservations AS held
         WHERE held.order_id = $1 AND held.state = 'held' AND held.product_id = products.id",
        (order,),
    )?;
    end_held(transaction, order, "consumed")
}

/// Returns what an order holds to what can be sold.
pub fn release(transaction: &Transaction, order: i64) -> Result<(), Error> {
    transaction.execute(
        "UPDATE products SET stock = stock + held.quantity, reserved = reserved - held.quantity
         FROM reservations AS held
         WHERE held.order_id = $1 AND held.state = 'held' AND held.product_id = products.id",
        (order,),
    )?;
    end_held(transaction, order, "released")
}

fn end_held(transaction: &Transaction, order: i64, state: &str) -> Result<(), Error> {
    transaction.execute(
        "UPDATE reservations SET state = $2, updated_at = $3 WHERE order_id = $1 AND state = 'held'",
        (order, state, time::now()),
    )?;
    Ok(())
}

/// Sells the lines whose stock an order has released, as far as the stock is still there. A line is
/// taken as a whole or not at all.
pub fn take_again(transaction: &Transaction, order: i64) -> Result<Taken, Error> {
    let taken: Vec<(i64, i64)> = transaction.query_as(
        "UPDATE reservations SET state = 'consumed', updated_at = $2
         WHERE order_id = $1 AND state = 'released'
           AND quantity <= (SELECT stock FROM products WHERE id = reservations.product_id)
         RETURNING product_id, quantity",
        (order, time::now()),
    )?;
    for (product, quantity) in &taken {
        transaction.execute(
            "UPDATE products SET stock = stock - $2 WHERE id = $1",
            (*product, *quantity),
        )?;
    }
    let missing: i64 = transaction.query_one(
        "SELECT count(*) FROM reservations WHERE order_id = $1 AND state = 'released'",
        (order,),
    )?;
    Ok(match (taken.is_empty(), missing) {
        (_, 0) => Taken::All,
        (false, _) => Taken::Some,
        (true, _) => Taken::None,
    })
}

/// Cancels all pieces of an order that are not shipped, and returns those that were sold to what
/// can be sold.
pub fn return_unshipped(transaction: &Transaction, order: i64) -> Result<(), Error> {
    transaction.execute(
        "UPDATE products SET stock = stock + line.quantity - line.shipped - line.cancelled
         FROM order_lines AS line JOIN reservations AS sold
           ON sold.order_id = line.order_id AND sold.product_id = line.product_id
         WHERE line.order_id = $1 AND sold.state = 'consumed' AND line.product_id = products.id",
        (order,),
    )?;
    transaction.execute(
        "UPDATE order_lines SET cancelled = quantity - shipped WHERE order_id = $1",
        (order,),
    )?;
    Ok(())
}

/// Cancels up to `quantity` pieces of a line that are not shipped, and returns them to what can be
/// sold.
pub fn cancel_pieces(
    transaction: &Transaction,
    order: i64,
    product: i64,
    quantity: i64,
) -> Result<(), Error> {
    let unshipped: Option<i64> = transaction.query_optional(
        "SELECT min(line.quantity - line.shipped - line.cancelled, $3) FROM order_lines AS line
         JOIN reservations AS sold ON sold.order_id = line.order_id AND sold.product_id = line.product_id
         WHERE line.order_id = $1 AND line.product_id = $2 AND sold.state = 'consumed'",
        (order, product, quantity),
    )?;
    let Some(unshipped) = unshipped else {
        return Ok(());
    };
    transaction.execute(
        "UPDATE order_lines SET cancelled = cancelled + $3 WHERE order_id = $1 AND product_id = $2",
        (order, product, unshipped),
    )?;
    transaction.execute(
        "UPDATE products SET stock = stock + $2 WHERE id = $1",
        (product, unshipped),
    )?;
    Ok(())
}

fn cannot_hold(transaction: &Transaction, line: &NewLine) -> Result<Error, Error> {
    let id = line.product_id;
    let stock: Option<i64> = transaction.query_optional("SELECT stock FROM products WHERE id = $1", (id,))?;
    Ok(match stock {
        None => Error::unprocessable(format!("there is no product {id}")).with_code("unknown-product"),
        Some(stock) => Error::conflict(format!(
            "{stock} of product {id} are left, {} were ordered",
            line.quantity
        ))
        .with_code("out-of-stock"),
    }
    .with_field("product_id", id))
}
