//! The customer's browser comes back from the payment page, often before the webhook.
//!
//! The browser proves nothing, so the payment provider is asked.

use mortise_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use super::provider::{self, ProviderError};
use super::{Completion, Source, apply};
use crate::status::OrderStatus;
use crate::{orders, products};

#[derive(Deserialize)]
pub struct Returned {
    payment_intent: String,
}

/// The answer, which tells a stranger no more than the state of the payment that it names.
#[derive(Debug, Serialize)]
pub struct Shown {
    order_id: i64,
    status: OrderStatus,
    /// `null` while the payment has not succeeded.
    outcome: Option<Completion>,
}

/// Completes the order of a payment that succeeded, as the webhook does.
pub fn returned(Path(order): Path<i64>, Json(body): Json<Returned>) -> Result<Json<Shown>, Error> {
    let payment = provider::payment(&body.payment_intent).map_err(|error| match error {
        ProviderError::Unknown => unknown_payment(),
        error => Error::unavailable("the payment provider does not answer")
            .with_code("payments-unavailable")
            .with_cause(error),
    })?;
    if payment.order_id != Some(order) {
        return Err(unknown_payment());
    }
    let shown = db::transaction(|transaction| {
        let outcome = apply(transaction, &payment, Source::Return)?;
        let found = orders::summary(transaction, order)?;
        Ok::<_, Error>(Shown {
            order_id: order,
            status: found.status,
            outcome,
        })
    })?;
    products::forget_first_page();
    Ok(Json(shown))
}

fn unknown_payment() -> Error {
    Error::not_found("the order has no such payment").with_code("unknown-payment")
}
