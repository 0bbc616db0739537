//! Plain types and ids of the subject matter. Nothing here does IO.

pub mod api_key;
pub mod audit;
pub mod circuit;
pub mod clock;
pub mod credential;
pub mod effective;
pub mod grant;
pub mod id;
pub mod invocation;
pub mod lenient;
pub mod limits;
pub mod log_line;
pub mod manifest;
pub mod migration;
pub mod origin;
pub mod path;
pub mod plugin;
pub mod principal;
pub mod promises;
pub mod public_url;
pub mod role;
pub mod secret;
pub mod tenant;
pub mod token;
pub mod units;
pub mod version_name;
