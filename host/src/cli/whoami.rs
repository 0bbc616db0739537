//! `mortise whoami`: shows the token of the caller.

use super::client::Client;
use super::{CliError, Output};
use crate::wire::tokens::WhoAmI;

/// Shows the token as the host sees it: name, role and tenant.
pub fn run(client: &Client, output: &mut Output) -> Result<(), CliError> {
    output.object(&client.get::<WhoAmI>(&["whoami"])?)
}
