//! `cargo xtask schema-suite FOLDER`: runs the official JSON Schema test suite through a running
//! host.

use crate::built::{Profile, build};
use crate::prepare::prepare;
use crate::steps::{Result, Steps};

/// Builds the host with the profile of the tests, and runs the suite in the folder of `arguments`.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new(3);
    steps.step("checking the toolchain", prepare)?;
    let built = steps.step("building the host", || build(Profile::Dev))?;
    steps.step("running the suite", || built.run("schema-suite", arguments))
}
