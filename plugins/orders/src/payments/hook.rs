//! The job of the manifest's webhook `payments`. The host has verified the signature, stored the
//! event and answered the provider before it runs.

use mortise_sdk::log;
use mortise_sdk::prelude::*;

use super::events::{self, Applied, Change, Event};
use super::provider;
use crate::payments::Source;
use crate::products;

/// The job: applies an event. If the payment provider can be asked, its answer counts instead of the
/// event, which may be old.
pub fn on_event(event: Event) -> Result<(), JobError> {
    let Some(told) = event.told().map_err(JobError::discard)? else {
        return Ok(());
    };
    let asked = match &told.named_intent {
        Some(intent) if provider::is_set() && told.change != Change::Disputed => {
            Some(provider::payment(intent)?)
        }
        _ => None,
    };
    db::transaction(|transaction| {
        match &asked {
            Some(payment) => {
                super::apply(transaction, payment, Source::Webhook)?;
            }
            None => {
                let applied = events::apply(transaction, &told)?;
                if applied == Applied::Early {
                    return Err(JobError::retry(format!(
                        "the payment `{}` is not known yet",
                        told.intent()
                    )));
                }
            }
        }
        transaction.complete()?;
        Ok(())
    })?;
    products::forget_first_page();
    log::info(
        "Payment event handled",
        &[("event_id", &told.event), ("type", &told.kind)],
    );
    Ok(())
}
