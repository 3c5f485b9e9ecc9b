//! Every process that a test starts: `lcm-node daemon --config FILE` is the daemon.

use std::process::ExitCode;

use lcm_tests::node;

fn main() -> ExitCode {
    node::play_part().unwrap_or_else(|| {
        eprintln!("usage: lcm-node {} --config FILE", node::DAEMON);
        ExitCode::from(2)
    })
}
