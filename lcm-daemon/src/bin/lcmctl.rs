//! The operator's tool.

use lcm_daemon::ctl::ctl_main;
use lcm_daemon::exit::Exit;

fn main() -> Exit {
    ctl_main()
}
