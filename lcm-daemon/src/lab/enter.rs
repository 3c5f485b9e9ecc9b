//! The process's own mount namespace, and the privileges to make network namespaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use super::error::{Attempt, LabError};

/// Where the scratch file system may be put, best first: places that exist everywhere and that a
/// run does not read from.
const MOUNT_POINTS: [&str; 4] = ["/run", "/mnt", "/srv", "/media"];

/// Capabilities without which the process needs a user namespace of its own, as bit numbers of
/// `CapEff` (capability.h): NET_ADMIN, NET_RAW, SYS_ADMIN.
const NEEDED_CAPABILITIES: [u32; 3] = [12, 13, 21];

static SCRATCH: OnceLock<PathBuf> = OnceLock::new();

/// Prepares this process for [`super::Network`]; to be called at the start of `main`, while the
/// process has a single thread.
///
/// A process without the capabilities NET_ADMIN, NET_RAW and SYS_ADMIN enters a user namespace in
/// which its user is root. Then, in every case, it gets a mount namespace of its own with a file
/// system in memory over `/run` (or over another directory, if `/run` would hide the working
/// directory, the program, or one of the paths in `keep`), where all sockets, configurations and
/// logs of the run are kept: they vanish with the last process of the run. A second call does
/// nothing.
///
/// # Errors
/// Says what the kernel refused and which setting forbids it.
pub fn enter(keep: &[&Path]) -> Result<(), LabError> {
    if SCRATCH.get().is_some() {
        return Ok(());
    }
    require_single_thread()?;
    let mount_point = mount_point(keep)?;
    if !privileged()? {
        enter_user_namespace()?;
    }
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| refused("making a mount namespace", error))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(|error| refused("making the mounts of this process private", error))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("lcm-lab"), &mount_point, Some("tmpfs"), flags, Some("mode=0755")).map_err(
        |error| refused(&format!("mounting a tmpfs on {}", mount_point.display()), error),
    )?;
    let scratch = mount_point.join("lcm-lab");
    fs::create_dir(&scratch).attempt(|| format!("creating {}", scratch.display()))?;
    SCRATCH.get_or_init(|| scratch);
    Ok(())
}

/// The directory in memory for what the run writes.
///
/// # Errors
/// If [`enter`] was not called.
pub fn scratch_dir() -> Result<PathBuf, LabError> {
    SCRATCH.get().cloned().ok_or_else(|| {
        LabError::new("no scratch directory: lab::enter() must be called at the start of main")
    })
}

fn require_single_thread() -> Result<(), LabError> {
    let tasks = fs::read_dir("/proc/self/task").attempt(|| "reading /proc/self/task".into())?;
    match tasks.count() {
        1 => Ok(()),
        threads => Err(LabError::new(format!(
            "lab::enter() was called with {threads} threads running: the kernel moves only a \
             single-threaded process into a user namespace; call it at the start of main"
        ))),
    }
}

/// The first mount point that exists and hides nothing which is still needed.
fn mount_point(keep: &[&Path]) -> Result<PathBuf, LabError> {
    let cwd = std::env::current_dir().attempt(|| "finding the working directory".into())?;
    let program = std::env::current_exe().attempt(|| "finding the program's path".into())?;
    let mut needed = vec![cwd.clone(), program];
    for path in keep {
        // A path that does not exist yet is hidden as its nearest existing ancestor is.
        let absolute = cwd.join(path);
        let real = absolute.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
        needed.push(real.unwrap_or(absolute));
    }
    let free = MOUNT_POINTS.iter().map(Path::new).find(|place| {
        place.is_dir() && !place.is_symlink() && !needed.iter().any(|path| path.starts_with(place))
    });
    free.map(Path::to_path_buf).ok_or_else(|| {
        LabError::new(format!(
            "no place for the scratch file system: each of {} is missing or holds a path that \
             this run needs; create an empty /mnt",
            MOUNT_POINTS.join(", ")
        ))
    })
}

fn privileged() -> Result<bool, LabError> {
    let status =
        fs::read_to_string("/proc/self/status").attempt(|| "reading /proc/self/status".into())?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .ok_or_else(|| LabError::new("/proc/self/status has no CapEff line"))?;
    Ok(NEEDED_CAPABILITIES.iter().all(|bit| effective & (1 << bit) != 0))
}

/// A user namespace where the present user is root and everybody else is nobody.
fn enter_user_namespace() -> Result<(), LabError> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)
        .map_err(|error| refused("making a user namespace", error))?;
    for (file, text) in [
        // An unprivileged process may write gid_map only after giving up setgroups(2).
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {uid} 1")),
        ("/proc/self/gid_map", format!("0 {gid} 1")),
    ] {
        fs::write(file, &text)
            .map_err(|error| refused(&format!("writing \"{text}\" to {file}"), error))?;
    }
    Ok(())
}

/// The kernel said no to `what`: with the setting that may be the reason.
pub(crate) fn refused(what: &str, error: impl std::fmt::Display) -> LabError {
    LabError::caused(what, error).advise(advice())
}

/// What the administrator can change, from the settings that this kernel shows.
fn advice() -> String {
    const AS_ROOT: &str = "or run as root (in a container: with the capabilities SYS_ADMIN, \
                           NET_ADMIN and NET_RAW and without seccomp and AppArmor confinement)";
    let settings = [
        ("user.max_user_namespaces", "0", "15000"),
        ("user.max_mnt_namespaces", "0", "15000"),
        ("user.max_net_namespaces", "0", "15000"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ];
    let wrong: Vec<String> = settings
        .iter()
        .filter(|(key, forbids, _)| {
            let path = format!("/proc/sys/{}", key.replace('.', "/"));
            fs::read_to_string(path).is_ok_and(|value| value.trim() == *forbids)
        })
        .map(|(key, forbids, allows)| {
            format!("{key} is {forbids}: allow namespaces with `sysctl -w {key}={allows}`")
        })
        .collect();
    if wrong.is_empty() {
        format!("allow this user to make user and mount namespaces, {AS_ROOT}")
    } else {
        format!("{}, {AS_ROOT}", wrong.join("; "))
    }
}
