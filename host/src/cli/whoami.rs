//! `mortise whoami`: whose token this is.

use super::client::Client;
use super::{CliError, Output};
use crate::wire::tokens::WhoAmI;

/// Shows the token that the host sees: its name, its role and its tenant.
pub fn run(client: &Client, output: &mut Output) -> Result<(), CliError> {
    output.object(&client.get::<WhoAmI>(&["whoami"])?)
}
