//! JSON types of the admin API, used by its handlers and by the command line.

pub mod activations;
pub mod api_keys;
pub mod audit;
pub mod calls;
pub mod components;
pub mod events;
pub mod invocations;
pub mod jobs;
pub mod limits;
pub mod logs;
pub mod mail;
pub mod mail_settings;
pub mod node;
pub mod page;
pub mod plans;
pub mod plugins;
pub mod problem;
pub mod schedules;
pub mod secrets;
pub mod settings;
pub mod tenants;
pub mod tokens;
pub mod versions;
pub mod webhooks_out;
pub mod webhooks_received;
