//! One writer for a directory: `DIR/lock`, locked as long as the writer lives.
//!
//! The lock is the kernel's (of the open file description), so it ends with the process however
//! that ends, and readers can ask for it without taking it. The file names its holder.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::{error, fmt};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

const NAME: &str = "lock";

/// Why a directory cannot be written in.
#[derive(Debug)]
pub enum Refused {
    /// Another process writes in it.
    Taken {
        /// The directory.
        dir: PathBuf,
        /// The process, if it said which.
        pid: Option<u32>,
    },
    /// It cannot be made, or locked.
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { dir, pid } => {
                write!(f, "{}: in use by ", dir.display())?;
                match pid {
                    Some(pid) => write!(f, "process {pid}")?,
                    None => write!(f, "another process")?,
                }
                f.write_str("; stop that one first, or use another directory")
            }
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl error::Error for Refused {}

/// A lock that is held.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks a directory.
    ///
    /// # Errors
    ///
    /// If another holds the lock, or the file cannot be made.
    pub(super) fn take(dir: &Path) -> Result<Self, Refused> {
        let path = dir.join(NAME);
        let failed = |error: io::Error| Refused::Io { path: path.clone(), error };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(failed)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => {
                return Err(Refused::Taken { dir: dir.to_owned(), pid: pid_in(&mut file) });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        // A name for messages: a disk that is full must not keep the daemon from its journal.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// Whether a process writes in the directory, and its number if it says so.
pub fn holder(dir: &Path) -> Option<Option<u32>> {
    let mut file = File::open(dir.join(NAME)).ok()?;
    let mut lock = whole(libc::F_RDLCK);
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).ok()?;
    (i32::from(lock.l_type) != libc::F_UNLCK).then(|| pid_in(&mut file))
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn whole(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: libc::c_short::try_from(kind).unwrap_or_default(),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
