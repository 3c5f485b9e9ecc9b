//! How fast the daemon is: `bench transit --quick`.

use std::process::ExitCode;

use lcm_tests::{bench, node};

fn main() -> ExitCode {
    node::play_part().unwrap_or_else(bench::main)
}
