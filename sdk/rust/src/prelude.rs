//! The items that most handlers use: `use mortise_sdk::prelude::*;`.
//!
//! ```
//! use mortise_sdk::prelude::*;
//!
//! fn find(Path(id): Path<i64>) -> Result<Json<i64>, Error> {
//!     if id < 1 {
//!         return Err(Error::not_found("there is no such thing"));
//!     }
//!     Ok(Json(id))
//! }
//! # assert!(find(Path(1)).is_ok());
//! ```

pub use crate::context::{Context, Principal};
pub use crate::db::ResultExt;
pub use crate::events::Event;
pub use crate::extract::{Bytes, Cookies, Headers, Path, Query, Text};
pub use crate::jobs::{Job, JobError, NewJob};
pub use crate::{
    Error, IntoResponse, Json, Request, Response, Status, cache, config, context, db, email, events, http,
    jobs, secrets, steps,
};
