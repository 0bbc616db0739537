//! `cargo xtask schema-suite FOLDER`: the official JSON Schema test suite through a running host.

use crate::built::{Profile, build};
use crate::prepare::prepare;
use crate::steps::{Result, Steps};

/// Builds the host as for the tests, and sends it the suite of the folder that `arguments` name.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new(3);
    steps.step("looking at the toolchain", prepare)?;
    let built = steps.step("building the host", || build(Profile::Dev))?;
    steps.step("running the suite", || built.run("schema-suite", arguments))
}
