//! Starting the daemon with what it must refuse: nothing is started, and the operator is told
//! what to change.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

mod tariff;

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use lcm_daemon::lab::wait::until;
use lcm_tests::node;
use nix::unistd::geteuid;
use tempfile::TempDir;

/// Longest time that a refusal may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// `nobody`.
const ORDINARY_USER: u32 = 65534;

/// A directory that everybody may enter.
fn dir() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("open to all");
    dir
}

/// Runs a daemon that must end by itself.
fn run(mut command: Command) -> (ExitStatus, String, String) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program runs");
    let status = until(PATIENCE, "the end of the daemon", || child.try_wait().ok().flatten());
    if status.is_err() {
        let _ = child.kill();
    }
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).expect("UTF-8");
    child.stderr.take().unwrap().read_to_string(&mut err).expect("UTF-8");
    (status.unwrap_or_else(|late| panic!("{late}: {out}{err}")), out, err)
}

fn daemon(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lcm-node"));
    command.arg(node::DAEMON).args(arguments);
    command
}

/// A configuration in a file, with a control socket beside it.
struct Configured {
    _dir: TempDir,
    file: PathBuf,
    socket: PathBuf,
}

/// Writes `[daemon]` with a control socket in three lines, and `rest` from line 4.
fn configured(rest: &str) -> Configured {
    let dir = dir();
    let (file, socket) = (dir.path().join("lcm.toml"), dir.path().join("control.sock"));
    let text = format!("[daemon]\nname = \"R\"\ncontrol_socket = {socket:?}\n{rest}");
    fs::write(&file, text).expect("written");
    Configured { _dir: dir, file, socket }
}

/// The daemon refuses `rest`, naming the file, line 3 + `line`, and each of `names`.
fn refused(rest: &str, line: usize, names: &[&str]) {
    let Configured { _dir, file, socket } = configured(rest);
    let path = file.to_str().unwrap();
    for check in [&["--config", path][..], &["--config", path, "--check"]] {
        let (status, out, err) = run(daemon(check));
        assert_eq!(status.code(), Some(2), "{rest}: {err}");
        assert_eq!(out, "", "{rest}");
        let place = format!("{path}:{}:", 3 + line);
        assert!(err.contains(&place), "{place} is not in: {err}");
        for name in names {
            assert!(err.contains(name), "{name} is not in: {err}");
        }
        assert!(!socket.exists(), "{rest}: something was started");
    }
}

#[test]
fn unknown_keys_are_refused_with_file_line_and_key() {
    refused("log_levle = \"info\"\n", 1, &["log_levle", "did you mean log_level?"]);
    refused("[rsvp]\n\nrefresh = 500\n", 3, &["rsvp.refresh"]);
    refused("[chargin]\n", 1, &["chargin"]);
    refused("[[interface]]\nname = \"eth0\"\nprice = 5\n", 3, &["interface[eth0].price"]);
    let tariff = "[default_interface]\ntariff = { kind = \"flat\", price_per_s = 1 }\n";
    refused(tariff, 2, &["default_interface.tariff.price_per_s"]);
}

#[test]
fn wrong_values_are_refused_with_file_line_and_key() {
    refused("[rsvp]\nrefresh_ms = 99\n", 2, &["rsvp.refresh_ms = 99", "100"]);
    refused("[rsvp]\nrefresh_ms = \"500\"\n", 2, &["rsvp.refresh_ms"]);
    refused("[rsvp]\nrole = \"bridge\"\n", 2, &["rsvp.role", "bridge", "router"]);
    refused("metrics_listen = \"everywhere\"\n", 1, &["daemon.metrics_listen", "everywhere"]);
    refused("[charging]\nenabled = true\ncurrency = \"EURO\"\n", 3, &["charging.currency", "EURO"]);
    let price = "[default_interface]\n\
                 tariff = { price_pico_per_s = 121, max_price_pico_per_s = 120 }\n";
    refused(price, 2, &["default_interface.tariff", "121", "120"]);
    let negative = "[default_interface]\ntariff = { price_pico_per_s = -1 }\n";
    refused(negative, 2, &["default_interface.tariff.price_pico_per_s", "-1"]);
}

#[test]
fn broken_toml_is_refused_with_file_and_line() {
    refused("[rsvp\n", 1, &[]);
    refused("[rsvp]\nrole = router\n", 2, &[]);
    refused("[rsvp]\nrole = \"host\"\nrole = \"router\"\n", 3, &["role"]);
}

#[test]
fn every_problem_of_a_file_is_told() {
    let rest = "[rsvp]\nrefresh_ms = 1\nrole = \"x\"\n[limits]\nmax_sessions = -3\n";
    let Configured { _dir, file, socket } = configured(rest);
    let path = file.to_str().unwrap();
    let (status, _, err) = run(daemon(&["--config", path]));
    assert_eq!(status.code(), Some(2));
    for place in [5, 6, 8].map(|line| format!("{path}:{line}:")) {
        assert!(err.contains(&place), "{place} is not in: {err}");
    }
    assert!(!socket.exists());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = dir();
    let missing = dir.path().join("no.toml");
    for path in [&missing, dir.path()] {
        let path = path.to_str().unwrap();
        let (status, out, err) = run(daemon(&["--config", path]));
        assert_eq!((status.code(), &*out), (Some(2), ""), "{err}");
        assert!(err.contains(path), "{err}");
    }
}

#[test]
fn a_good_file_passes_the_check_and_starts_nothing() {
    let Configured { _dir, file, socket } = configured("[rsvp]\nrefresh_ms = 100\n");
    let path = file.to_str().unwrap();
    let (status, out, err) = run(daemon(&["--config", path, "--check"]));
    assert_eq!((status.code(), &*err), (Some(0), ""));
    assert!(out.contains(path), "{out}");
    assert!(!socket.exists());
}

#[test]
fn wrong_arguments_are_refused() {
    for (arguments, name) in [(&["--conifg", "x"][..], "--conifg"), (&["--config"], "--config")] {
        let (status, out, err) = run(daemon(arguments));
        assert_eq!((status.code(), &*out), (Some(2), ""), "{err}");
        assert!(err.contains(name), "{err}");
    }
}

/// The program where an ordinary user finds it: its own directory may be closed to others.
fn for_all(dir: &Path) -> PathBuf {
    let (own, open) = (Path::new(env!("CARGO_BIN_EXE_lcm-node")), dir.join("lcm-node"));
    fs::hard_link(own, &open).or_else(|_| fs::copy(own, &open).map(drop)).expect("a program");
    open
}

#[test]
fn without_privileges_it_says_which_and_starts_nothing() {
    let Configured { _dir, file, socket } = configured("");
    let mut command = Command::new(for_all(_dir.path()));
    command.args([node::DAEMON, "--config", file.to_str().unwrap()]);
    // Anybody but root lacks the privileges as it is.
    if geteuid().is_root() {
        command.uid(ORDINARY_USER).gid(ORDINARY_USER).current_dir("/");
    }
    let (status, out, err) = run(command);
    assert_eq!(status.code(), Some(1), "{err}");
    for words in ["CAP_NET_RAW", "CAP_NET_ADMIN", "start it as root"] {
        assert!(err.contains(words), "{words} is not in: {out}{err}");
    }
    assert!(!socket.exists());
}
