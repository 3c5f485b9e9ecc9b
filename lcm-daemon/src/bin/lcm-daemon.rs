//! The daemon.

use lcm_daemon::cli::daemon_main;
use lcm_daemon::exit::Exit;

fn main() -> Exit {
    daemon_main()
}
