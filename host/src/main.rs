//! The executable: the command line, and the compile worker, a process that the host starts from
//! its own executable.

use std::process::ExitCode;

use mortise::components::compile::worker::COMMAND;

fn main() -> ExitCode {
    // The worker is checked for first, because it limits itself before it reads what a customer
    // sent.
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(COMMAND) {
        let (memory, cpu) = (
            arguments.next().unwrap_or_default(),
            arguments.next().unwrap_or_default(),
        );
        return mortise::sandbox::compile_worker(&memory, &cpu);
    }
    mortise::cli::main()
}
