//! The rows of the catalogue, one file for each area and one function for each row.

pub mod access;
pub mod cache;
pub mod compile;
pub mod crash;
pub mod egress;
pub mod faults;
pub mod frames;
pub mod guest;
pub mod host_call;
pub mod ingress;
pub mod jobs;
pub mod log;
pub mod mail;
pub mod messages;
pub mod queries;
pub mod responses;
pub mod servers;
pub mod shares;
pub mod sqlite;
pub mod starts;
pub mod telling;
pub mod upload;
pub mod webhooks_in;
pub mod webhooks_out;
