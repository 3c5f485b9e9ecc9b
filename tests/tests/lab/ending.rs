//! Processes in nodes, and that nothing outlives the lab.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use lcm_daemon::lab::process::{DaemonProcess, die_with_parent};
use lcm_daemon::lab::wait::until;
use lcm_daemon::lab::{self, LabError, Network, Topology};
use lcm_tests::harness::TestResult;
use nix::mount::{MsFlags, mount};

/// Set in the environment of this program when it is to play a part of a test.
pub(crate) const ROLE_VARIABLE: &str = "LCM_LAB_TEST_ROLE";

const PATIENCE: Duration = Duration::from_secs(10);
/// `nobody`.
const ORDINARY_USER: u32 = 65534;

/// Plays a part: `lab` builds a network with an `idler` in it, tells the idler's pid and waits to
/// be killed; `idler` waits, too; `user` builds a figure and uses it; `failing` fails.
pub(crate) fn play(role: &OsStr) -> ExitCode {
    let result = match role.to_str() {
        Some("idler") => die_with_parent().map_err(Into::into).and_then(|()| wait_for_ever()),
        Some("lab") => play_lab(),
        Some("user") => play_user(),
        Some("failing") => Err("the disk of the failing role is full".into()),
        _ => Err("unknown role".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn wait_for_ever() -> TestResult {
    println!("ready");
    loop {
        std::thread::park();
    }
}

fn play_lab() -> TestResult {
    lab::enter(&[])?;
    let mut network = Network::new()?;
    let node = network.node("A")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ROLE_VARIABLE, "idler");
    let idler = node.spawn("idler", command)?;
    until(PATIENCE, "the idler's start", || said_ready(idler.stdout()))?;
    println!("{}", idler.pid());
    wait_for_ever()
}

fn play_user() -> TestResult {
    lab::enter(&[])?;
    let network = Topology::figure2().build()?;
    let (sender, receiver) = (network.get("S")?, network.get("R2")?);
    let target = receiver.address().ok_or("no address")?.into();
    if !super::networks::reaches(&sender, &receiver, target, PATIENCE)? {
        return Err("S cannot reach R2".into());
    }
    println!("{}", lab::scratch_dir()?.display());
    Ok(())
}

fn said_ready(log: &Path) -> Result<(), String> {
    let text = fs::read_to_string(log).map_err(|error| error.to_string())?;
    if text.contains("ready") { Ok(()) } else { Err(format!("log: {text:?}")) }
}

fn idler(network: &Network) -> Result<DaemonProcess, LabError> {
    let program = Path::new("/usr/bin/env");
    let own = std::env::current_exe()?.display().to_string();
    let role = format!("{ROLE_VARIABLE}=idler");
    DaemonProcess::start(&network.get("A")?, "idler", program, &[&role, &own])
}

/// A process is gone when it has no entry in /proc or is a zombie that somebody else must reap.
fn is_gone(pid: u32) -> Result<(), String> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(_) => Ok(()),
        Ok(stat) if stat.contains(") Z ") || stat.contains(") X ") => Ok(()),
        Ok(stat) => Err(stat),
    }
}

pub(crate) fn a_dropped_network_leaves_no_namespace() -> TestResult {
    let network = Topology::chain(&["A", "B"]).build()?;
    let inode_of = |path: &Path| fs::metadata(path).map(|metadata| metadata.ino());
    let mut namespaces = Vec::new();
    for node in network.nodes() {
        namespaces.push(node.run(move || inode_of(Path::new("/proc/thread-self/ns/net")))??);
    }
    assert_ne!(namespaces[0], namespaces[1]);
    assert!(!namespaces.contains(&inode_of(Path::new("/proc/self/ns/net"))?));
    let holders = || -> std::io::Result<usize> {
        let tasks = fs::read_dir("/proc/self/task")?.filter_map(Result::ok);
        let of_task = tasks.filter_map(|task| inode_of(&task.path().join("ns/net")).ok());
        let fds = fs::read_dir("/proc/self/fd")?.filter_map(Result::ok);
        let of_fd = fds.filter_map(|fd| inode_of(&fd.path()).ok());
        Ok(of_task.chain(of_fd).filter(|inode| namespaces.contains(inode)).count())
    };
    assert!(holders()? >= 4, "a thread and an open file each");
    drop(network);
    assert_eq!(holders()?, 0);
    Ok(())
}

pub(crate) fn a_dead_process_is_told_with_its_log() -> TestResult {
    let mut network = Network::new()?;
    let node = network.node("A")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ROLE_VARIABLE, "failing");
    let mut process = node.spawn("failing", command)?;
    assert_eq!(process.wait(PATIENCE)?.code(), Some(1));
    let text = process.check().expect_err("it is dead").to_string();
    assert!(text.contains("failing (pid ") && text.contains("in node A ended"), "{text}");
    assert!(text.contains("the disk of the failing role is full"), "{text}");

    let program = std::env::current_exe()?;
    let mut daemon = DaemonProcess::start(&node, "listing", &program, &["--list"])?;
    let never = || Err::<(), &str>("never ready");
    let text = daemon.wait_ready(PATIENCE, never).expect_err("it ends").to_string();
    assert!(text.contains("listing (pid ") && text.contains("exit status: 0"), "{text}");
    assert!(text.contains("a_dead_process_is_told_with_its_log: test"), "{text}");
    Ok(())
}

pub(crate) fn a_process_can_be_restarted() -> TestResult {
    let mut network = Network::new()?;
    network.node("A")?;
    let mut daemon = idler(&network)?;
    let log = daemon.process().stdout().to_path_buf();
    daemon.wait_ready(PATIENCE, || said_ready(&log))?;
    let first = daemon.process().pid();
    daemon.kill()?;
    assert!(!Path::new(&format!("/proc/{first}")).exists(), "killed and reaped");
    fs::write(&log, "")?;
    daemon.restart()?;
    daemon.wait_ready(PATIENCE, || said_ready(&log))?;
    let second = daemon.process().pid();
    assert!(is_gone(second).is_err());
    let status = daemon.terminate(PATIENCE)?;
    assert_eq!(status.to_string(), "signal: 15 (SIGTERM)");
    daemon.restart()?;
    let third = daemon.process().pid();
    drop((daemon, network));
    assert!(!Path::new(&format!("/proc/{third}")).exists(), "killed and reaped when dropped");
    Ok(())
}

pub(crate) fn children_die_with_a_killed_lab() -> TestResult {
    let mut lab = Command::new(std::env::current_exe()?)
        .env(ROLE_VARIABLE, "lab")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut first_line = String::new();
    BufReader::new(lab.stdout.take().ok_or("no stdout")?).read_line(&mut first_line)?;
    let idler: u32 = first_line.trim().parse()?;
    let alive = is_gone(idler).is_err();
    lab.kill()?;
    lab.wait()?;
    assert!(alive, "the idler ran while the lab did");
    until(PATIENCE, "the end of the idler", || is_gone(idler))?;
    Ok(())
}

pub(crate) fn an_ordinary_user_can_enter() -> TestResult {
    if !maps_all_users()? {
        // This very process is an ordinary user in a namespace of its own: every test shows it.
        return Ok(());
    }
    // The program may lie in a directory that is closed to others: show it in the scratch one.
    let program = lab::scratch_dir()?.join("program-for-all");
    fs::write(&program, "")?;
    let own = std::env::current_exe()?;
    mount(Some(&own), &program, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    let mut user = Command::new(&program)
        .env(ROLE_VARIABLE, "user")
        .current_dir("/")
        .uid(ORDINARY_USER)
        .gid(ORDINARY_USER)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (mut out, mut err) = (String::new(), String::new());
    user.stdout.take().ok_or("no stdout")?.read_to_string(&mut out)?;
    user.stderr.take().ok_or("no stderr")?.read_to_string(&mut err)?;
    let status = user.wait()?;
    assert!(status.success(), "{status}: {err}");
    let scratch = PathBuf::from(out.trim());
    assert!(scratch.is_absolute() && !scratch.starts_with("/run"), "/run holds the program: {out}");
    assert!(!scratch.exists(), "{} outlived its process", scratch.display());
    Ok(())
}

/// True if this process is in a user namespace where every user exists, as the first one.
fn maps_all_users() -> Result<bool, Box<dyn std::error::Error>> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    let count = map.split_whitespace().nth(2).ok_or("an empty uid_map")?;
    Ok(count.parse::<u32>()? > ORDINARY_USER)
}
