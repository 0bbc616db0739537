//! An order processor for a shop: from the order and its payment to the shipment.
//!
//! It has products with stock, orders that reserve it, payments by webhook, invoices, shipments,
//! refunds, mail to customers, an ERP, a nightly reconciliation and sales reports.
//!
//! | file | subject |
//! | --- | --- |
//! | `products.rs` | the catalogue, and its cached first page |
//! | `orders.rs` | creating, reading and listing orders |
//! | `states.rs` | the states of an order, of its payment and of its fulfilment |
//! | `stock.rs`, `expiry.rs` | reservations of stock, and their end |
//! | `payments/` | completing an order, the provider's events and API, refunds, reconciliation |
//! | `invoices.rs` | invoices with numbers without gaps |
//! | `shipments.rs` | shipments of whole orders and of parts |
//! | `reviews.rs` | what a person has to decide |
//! | `mail.rs` | mail to customers |
//! | `erp.rs` | the job that sends orders to the ERP |
//! | `reports.rs` | the nightly sales reports |
//! | `status.rs` | the status of an order as earlier versions of the API have it |
//! | `currency.rs` | totals in other currencies, through a rate service |
//! | `quote.rs` | the price of a cart before it is ordered |
//! | `pagination.rs`, `secret.rs` | helpers |

mod currency;
mod erp;
mod expiry;
#[cfg(test)]
mod invariants;
mod invoices;
mod mail;
mod orders;
mod pagination;
mod payments;
mod products;
mod quote;
mod reports;
mod reviews;
mod secret;
mod shipments;
mod states;
mod status;
mod stock;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod upgrade;

mortise_sdk::routes! {
    GET "/products" => products::list,
    GET "/products/{id}" => products::show,
    POST "/products" => products::create,
    PATCH "/products/{id}" => products::change,

    POST "/orders" => orders::place,
    GET "/orders" => orders::list,
    GET "/orders/{id}" => orders::show,
    POST "/orders/{id}/status" => status::change,

    POST "/orders/{id}/payment-return" => payments::browser::returned,
    GET "/orders/{id}/payments" => payments::refunds::list,
    POST "/orders/{id}/refunds" => payments::refunds::create,
    POST "/orders/{id}/shipments" => shipments::create,
    POST "/orders/{id}/shipments/{shipment}/delivered" => shipments::delivered,
    GET "/orders/{id}/invoice" => invoices::show,
    GET "/invoices" => invoices::list,

    GET "/reviews" => reviews::list,
    POST "/reviews/{id}" => reviews::resolve,

    GET "/reports/sales" => reports::list,
    GET "/reports/sales/{day}" => reports::show,

    POST "/webhooks/payment" => payments::legacy::receive,
}

mortise_sdk::jobs! {
    "on-payment-event" => payments::hook::on_event,
    "send-mail" => mail::send,
    "sync-erp" => erp::sync,
    "expire-order" => expiry::expire,
    "expire-orders" => expiry::sweep,
    "refund" => payments::refunds::refund,
    "reconcile" => payments::reconcile::reconcile,
    "reconcile-window" => payments::reconcile::compare,
    "check-payment" => payments::reconcile::check,
    "sales-report" => reports::report,
}

mortise_sdk::functions! {
    "order.quote" => quote::quote,
}
