//! The three states of an order, and what follows from each change of it.

use mortise_sdk::db::{Transaction, Value};
use mortise_sdk::prelude::*;
use mortise_sdk::time;
use serde::{Deserialize, Serialize};

use crate::erp;
use crate::orders::{self, OrderSummary};

/// The state of an order itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// It holds its stock and waits for the payment.
    Placed,
    /// It is paid, and its stock is its own.
    Confirmed,
    /// It is paid, and a person has to decide.
    Review,
    /// It is delivered.
    Completed,
    Cancelled,
}

/// The state of an order's payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    Pending,
    RequiresAction,
    Authorized,
    Failed,
    Captured,
    PartiallyRefunded,
    Refunded,
    Disputed,
}

/// How much of an order is shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfilmentState {
    Unfulfilled,
    PartiallyShipped,
    Shipped,
    Delivered,
}

/// The data of the events `order.*`.
#[derive(Debug, Serialize)]
struct Changed {
    order_id: i64,
    total_cents: i64,
    state: OrderState,
    payment_state: PaymentState,
    fulfilment_state: FulfilmentState,
    created_at: i64,
    at: i64,
}

/// Notes a change of an order in the transaction that made it: the ERP gets the new revision, and
/// the event is published. Returns the order as it is now.
pub fn changed(transaction: &Transaction, id: i64, topic: &str) -> Result<OrderSummary, Error> {
    transaction.execute(
        "UPDATE orders SET revision = revision + 1, updated_at = $2 WHERE id = $1",
        (id, time::now()),
    )?;
    let order = orders::summary(transaction, id)?;
    erp::send_later(transaction, id, order.revision)?;
    publish(transaction, topic, &order)?;
    Ok(order)
}

/// Publishes an event about an order.
pub fn publish(transaction: &Transaction, topic: &str, order: &OrderSummary) -> Result<(), Error> {
    let data = Changed {
        order_id: order.id,
        total_cents: order.total_cents,
        state: order.state,
        payment_state: order.payment_state,
        fulfilment_state: order.fulfilment_state,
        created_at: order.created_at,
        at: time::now(),
    };
    transaction.publish(topic, &data)?;
    Ok(())
}

impl PaymentState {
    /// The text in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::RequiresAction => "requires_action",
            Self::Authorized => "authorized",
            Self::Failed => "failed",
            Self::Captured => "captured",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
            Self::Disputed => "disputed",
        }
    }
}

impl From<PaymentState> for Value {
    fn from(state: PaymentState) -> Self {
        state.as_str().into()
    }
}
