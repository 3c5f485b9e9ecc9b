//! Random networks of RSVP engines: `simulate --seed 1 --nodes 12 --minutes 20`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lcm_tests::simulate::main()
}
