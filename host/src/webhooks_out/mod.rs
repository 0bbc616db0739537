//! Sends webhooks to the endpoints of tenants, by the rules of Standard Webhooks.
//!
//! Each delivery is a job of the queue, and [`DeliveryHandler`] runs it: it signs the body with all
//! valid secrets of the endpoint (`signature`), sends it, and decides by the answer what becomes of
//! the delivery (`outcome`). An endpoint that fails again and again is not called for a while, and
//! one with a rate is not called more often than that (`health`). [`Retention`] deletes deliveries
//! that are old or too many.

mod handler;
mod health;
mod outcome;
mod retention;
mod signature;

pub use handler::{DeliveryHandler, Parts};
pub use retention::Retention;
pub use signature::{InvalidSecret, SigningSecret, signatures};
