//! The nightly comparison with the payment provider. It finds payments and refunds whose events
//! were lost, for example because the webhook was disabled.
//!
//! The schedule's job adds one job for each span of time, so that each stays within the limits of
//! an invocation. A payment that differs gets a job of its own.

use std::collections::BTreeMap;

use mortise_sdk::db::Value;
use mortise_sdk::jobs::Origin;
use mortise_sdk::prelude::*;
use mortise_sdk::{log, time};
use serde::{Deserialize, Serialize};

use super::provider::{self, Payment, PaymentStatus, ProviderError};
use super::{Source, apply};
use crate::products;
use crate::reviews::{self, Reason};

/// The length of a span.
const SPAN_MS: i64 = 2 * 60 * 60 * 1_000;

/// The spans of a night. They overlap with the night before, for payments that were under way.
const SPANS: i64 = 13;

/// The most pages of one span. The host allows 16 requests for one invocation.
const PAGES: usize = 15;

/// The payments that get a job in one attempt. The host allows 100 jobs for one invocation.
const CHECKS: usize = 90;

/// The payload of the job of a span.
#[derive(Debug, Deserialize, Serialize)]
pub struct Span {
    from_ms: i64,
    to_ms: i64,
}

/// The payload of the job of a payment.
#[derive(Deserialize, Serialize)]
pub struct Check {
    intent: String,
}

/// The job of the schedule: adds the jobs of the last 26 hours.
pub fn reconcile(_: (), job: &Job) -> Result<(), JobError> {
    if !provider::is_set() {
        return Ok(());
    }
    let end = match job.origin {
        Origin::Schedule { due_at, .. } => due_at,
        _ => time::now(),
    };
    db::transaction(|transaction| {
        for number in 1..=SPANS {
            let from_ms = end - number * SPAN_MS;
            NewJob::new("reconcile-window")
                .payload(&Span {
                    from_ms,
                    to_ms: from_ms + SPAN_MS,
                })
                .unique_key(from_ms.to_string())
                .enqueue_in(transaction)?;
        }
        transaction.complete()
    })?;
    Ok(())
}

/// The job of a span: compares the provider's payments with those of the shop, in both directions.
pub fn compare(span: Span) -> Result<(), JobError> {
    let mut of_provider: Vec<Payment> = Vec::new();
    let mut after: Option<String> = None;
    for page in 1.. {
        let payments = provider::payments(span.from_ms, span.to_ms, after.as_deref())?;
        of_provider.extend(payments.data);
        after = payments.next;
        if after.is_none() {
            break;
        }
        if page == PAGES {
            return Err(JobError::discard(format!(
                "the payment provider has more than {} payments between {} and {}; shorten `SPAN_MS`",
                of_provider.len(),
                time::to_rfc3339(span.from_ms),
                time::to_rfc3339(span.to_ms)
            )));
        }
    }
    let mut different = Vec::new();
    for page in of_provider.chunks(provider::PAGE as usize) {
        different.extend(differing(page)?);
    }
    different.extend(missing(&span, &of_provider)?);
    let left = different.len().saturating_sub(CHECKS);
    db::transaction(|transaction| {
        for intent in different.iter().take(CHECKS) {
            NewJob::new("check-payment")
                .payload(&Check {
                    intent: intent.clone(),
                })
                .unique_key(intent.as_str())
                .enqueue_in(transaction)?;
        }
        transaction.execute(
            "INSERT OR REPLACE INTO reconciliations (from_ms, to_ms, checked, different, made_at)
             VALUES ($1, $2, $3, $4, $5)",
            (
                span.from_ms,
                span.to_ms,
                of_provider.len(),
                different.len(),
                time::now(),
            ),
        )?;
        if left == 0 {
            transaction.complete()?;
        }
        Ok::<_, JobError>(())
    })?;
    log::info(
        "Payments reconciled",
        &[("checked", &of_provider.len()), ("different", &different.len())],
    );
    match left {
        0 => Ok(()),
        left => Err(JobError::retry(format!("{left} more payments are to be checked"))),
    }
}

/// The payments of a page that the shop has otherwise or not at all.
fn differing(page: &[Payment]) -> Result<Vec<String>, JobError> {
    let names: Vec<String> = (1..=page.len()).map(|number| format!("${number}")).collect();
    let sql = format!(
        "SELECT intent, refund_cents FROM payments WHERE intent IN ({})",
        names.join(", ")
    );
    let intents: Vec<Value> = page
        .iter()
        .map(|payment| Value::from(payment.id.as_str()))
        .collect();
    let known: Vec<(String, i64)> = db::query_as(&sql, intents)?;
    let known: BTreeMap<String, i64> = known.into_iter().collect();
    let is_different = |payment: &&Payment| match known.get(&payment.id) {
        None => payment.status == PaymentStatus::Succeeded,
        Some(refund_cents) => payment.refunded_cents > *refund_cents,
    };
    let different = page.iter().filter(is_different);
    Ok(different.map(|payment| payment.id.clone()).collect())
}

/// The payments of the shop in a span that the provider's list does not have. The provider counts
/// by another clock, so each is asked for again before a person is.
fn missing(span: &Span, of_provider: &[Payment]) -> Result<Vec<String>, JobError> {
    let ours: Vec<String> = db::query_as(
        "SELECT intent FROM payments
         WHERE captured_at >= $1 AND captured_at < $2 AND source NOT IN ('manual', 'migration')
           AND intent <> 'order-' || coalesce(order_id, 0)
         ORDER BY id LIMIT 1000",
        (span.from_ms, span.to_ms),
    )?;
    let has = |intent: &String| of_provider.iter().any(|payment| payment.id == *intent);
    Ok(ours.into_iter().filter(|intent| !has(intent)).collect())
}

/// The job of a payment: asks the provider for it, and applies the answer.
pub fn check(payload: Check) -> Result<(), JobError> {
    let asked = match provider::payment(&payload.intent) {
        Ok(payment) => Some(payment),
        Err(ProviderError::Unknown) => None,
        Err(error) => return Err(error.into()),
    };
    db::transaction(|transaction| {
        match &asked {
            Some(payment) => {
                apply(transaction, payment, Source::Reconciliation)?;
            }
            None => {
                let known: Option<Option<i64>> = transaction.query_optional(
                    "SELECT order_id FROM payments WHERE intent = $1",
                    (&payload.intent,),
                )?;
                if let Some(order) = known {
                    let detail = "The payment provider does not know the payment.";
                    let reason = Reason::UnknownToProvider;
                    reviews::open(transaction, order, Some(&payload.intent), reason, detail)?;
                }
            }
        }
        transaction.complete()?;
        Ok::<_, JobError>(())
    })?;
    products::forget_first_page();
    Ok(())
}
