//! Nothing outlives the demo, and everybody can run it.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lcm_daemon::lab;
use lcm_daemon::lab::process::PARENT_VARIABLE;
use lcm_daemon::lab::wait::until;
use lcm_tests::harness::TestResult;
use lcm_tests::node;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::demo::scratch;
use crate::support::golden::{self, A};
use crate::support::play::program;
use crate::support::programs::{Talker, lcmctl, text};

const GONE: Duration = Duration::from_secs(10);
/// `nobody`.
const ORDINARY_USER: u32 = 65534;
/// Where the demo may put a file system, and where a program might forget files.
const PLACES: [&str; 5] = ["/mnt", "/srv", "/media", "/var/run/netns", "/dev/shm"];

/// A demo that plays, and everything of it that must vanish.
struct Demo {
    talker: Talker,
    dir: PathBuf,
    places: Vec<Vec<String>>,
    mounts: usize,
    namespaces: BTreeSet<u64>,
}

fn entries(place: &str) -> Vec<String> {
    let Ok(list) = fs::read_dir(place) else { return Vec::new() };
    let mut names: Vec<String> =
        list.flatten().map(|entry| entry.path().display().to_string()).collect();
    names.sort_unstable();
    names
}

fn mounts() -> std::io::Result<usize> {
    Ok(fs::read_to_string("/proc/self/mountinfo")?.matches(" - tmpfs lcm-lab ").count())
}

/// Ids of the network and mount namespaces of a process's threads.
fn namespaces(pid: u32) -> BTreeSet<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let links = tasks.flat_map(|task| ["ns/net", "ns/mnt"].map(|ns| task.path().join(ns)));
    links.filter_map(|link| fs::metadata(link).ok()).map(|metadata| metadata.ino()).collect()
}

fn all_pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Processes that a lab in process `parent` started.
fn children_of(parent: u32) -> Vec<u32> {
    let mark = format!("{PARENT_VARIABLE}={parent}");
    let of_it = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    all_pids().into_iter().filter(of_it).collect()
}

impl Demo {
    /// Starts it in an empty directory and waits until phase A was shown.
    fn start(name: &str, more: &[&str]) -> Result<Demo, Box<dyn Error>> {
        let dir = scratch(name)?;
        let places = PLACES.iter().map(|place| entries(place)).collect();
        let mounts = mounts()?;
        let own = namespaces(std::process::id());
        let mut command = lcmctl(&["demo", "figure2", "--refresh-ms", "500"]);
        command.args(more).current_dir(&dir).env("TMPDIR", &dir).env("HOME", &dir);
        let mut talker = Talker::start(command)?;
        talker.wait_line("phase A", |line| line.starts_with("A:"))?;
        let namespaces = &namespaces(talker.pid()) - &own;
        assert!(namespaces.len() >= 7, "six nodes and the mounts, but {}", namespaces.len());
        assert_eq!(children_of(talker.pid()).len(), 6, "six daemons");
        Ok(Demo { talker, dir, places, mounts, namespaces })
    }

    /// Waits until nothing of it is left.
    fn check_gone(self) -> TestResult {
        let pid = self.talker.pid();
        until(GONE, "the end of all daemons", || match children_of(pid) {
            none if none.is_empty() => Ok(()),
            some => Err(format!("{some:?} live")),
        })?;
        until(GONE, "the end of all namespaces", || {
            let of = |pid: u32| namespaces(pid).intersection(&self.namespaces).count();
            let holders: Vec<u32> = all_pids().into_iter().filter(|pid| of(*pid) > 0).collect();
            if holders.is_empty() { Ok(()) } else { Err(format!("{holders:?} hold some")) }
        })?;
        assert_eq!(entries(&self.dir.display().to_string()), Vec::<String>::new());
        let places: Vec<Vec<String>> = PLACES.iter().map(|place| entries(place)).collect();
        assert_eq!(places, self.places);
        assert_eq!(mounts()?, self.mounts);
        Ok(())
    }
}

pub(crate) fn after_success() -> TestResult {
    let mut demo = Demo::start("success", &[])?;
    let status = demo.talker.child().wait()?;
    assert_eq!(status.code(), Some(0));
    demo.check_gone()
}

fn after(signal: Signal, name: &str) -> TestResult {
    // Each phase takes a while: it does not come to its end before, on a busy machine either.
    let mut demo = Demo::start(name, &["--phase-s", "3"])?;
    kill(Pid::from_raw(demo.talker.pid().cast_signed()), signal)?;
    let status = demo.talker.child().wait()?;
    assert!(!status.success(), "it was interrupted: {status}");
    demo.check_gone()
}

pub(crate) fn after_interrupt() -> TestResult {
    after(Signal::SIGINT, "interrupted")
}

pub(crate) fn after_kill() -> TestResult {
    after(Signal::SIGKILL, "killed")
}

pub(crate) fn ordinary_user() -> TestResult {
    // Where this process is itself an ordinary user, in a namespace of its own, there are no other
    // users to be; then every other test here shows what this one is about.
    let own_map = fs::read_to_string("/proc/self/uid_map")?;
    let users: u64 = own_map.split_whitespace().nth(2).ok_or("an empty uid_map")?.parse()?;
    if users <= u64::from(ORDINARY_USER) {
        return Ok(());
    }
    // The program may lie in a directory that is closed to others: show it in the scratch one.
    let for_all = lab::scratch_dir()?.join("program-for-all");
    fs::write(&for_all, "")?;
    mount(Some(&program()), &for_all, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    let output = Command::new(&for_all)
        .args([node::CTL, "demo", "figure2", "--json"])
        .current_dir(Path::new("/"))
        .uid(ORDINARY_USER)
        .gid(ORDINARY_USER)
        .output()?;
    let said = text(&output.stderr);
    assert!(output.status.success(), "uid {ORDINARY_USER}: {}: {said}", output.status);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(findings[A], golden::case(A)?);
    Ok(())
}
