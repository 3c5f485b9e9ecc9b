//! A disk that is slow, or whose syncs fail: the thread of a real daemon that writes the journal is
//! stopped at each sync, as a debugger does it, for as long as the disk would take, or the sync is
//! taken from it and an error given instead. Nothing else of the daemon is held up.

use std::error::Error;
use std::fs;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The thread that writes the journal.
const THREAD: &str = "journal";

/// What becomes of a sync.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sync {
    /// It takes so long.
    Takes(Duration),
    /// It is not done, and fails with EIO.
    Fails,
}

/// A daemon's disk, well again when this is dropped.
pub(crate) struct Tamper {
    well: Arc<Well>,
    tracer: Option<JoinHandle<nix::Result<()>>>,
}

/// Whether the disk is well again.
#[derive(Debug, Default)]
struct Well {
    is: Mutex<bool>,
    again: Condvar,
}

impl Well {
    /// Waits until the disk is well, but no longer than this; whether it is.
    fn within(&self, most: Duration) -> bool {
        let is = self.is.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.again.wait_timeout_while(is, most, |is| !*is);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Tamper {
    /// Every sync of this process' journal is as `sync` says from now on.
    pub(crate) fn with(process: u32, sync: Sync) -> Result<Self, Box<dyn Error>> {
        let writer = writer_of(process)?;
        let well = Arc::new(Well::default());
        let of_tracer = Arc::clone(&well);
        let tracer = thread::spawn(move || trace(writer, sync, &of_tracer));
        Ok(Self { well, tracer: Some(tracer) })
    }

    /// The disk is well again.
    pub(crate) fn end(mut self) -> Result<(), Box<dyn Error>> {
        self.heal()
    }

    fn heal(&mut self) -> Result<(), Box<dyn Error>> {
        *self.well.is.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.well.again.notify_all();
        match self.tracer.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(traced)) => Ok(traced?),
            Some(Err(_)) => Err("the tracing thread panicked".into()),
        }
    }
}

impl Drop for Tamper {
    fn drop(&mut self) {
        let _ = self.heal();
    }
}

fn writer_of(process: u32) -> Result<Pid, Box<dyn Error>> {
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = thread?;
        if fs::read_to_string(thread.path().join("comm"))?.trim() == THREAD {
            return Ok(Pid::from_raw(thread.file_name().to_string_lossy().parse()?));
        }
    }
    Err(format!("process {process} has no thread {THREAD:?}").into())
}

/// Stops a thread at each of its system calls, and tampers with those that sync, until the disk is
/// well. The thread makes some at least once a second, for the proof.
fn trace(writer: Pid, sync: Sync, well: &Well) -> nix::Result<()> {
    ptrace::seize(writer, Options::PTRACE_O_TRACESYSGOOD)?;
    ptrace::interrupt(writer)?;
    let mut failing = false;
    loop {
        let status = waitpid(writer, Some(WaitPidFlag::__WALL))?;
        if matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
            return Ok(());
        }
        if let WaitStatus::PtraceSyscall(_) = status {
            let enters = ptrace::syscall_info(writer)?.op == libc::PTRACE_SYSCALL_INFO_ENTRY;
            match sync {
                Sync::Takes(time) if enters && is_sync(writer)? => {
                    well.within(time);
                }
                Sync::Fails if enters && is_sync(writer)? => {
                    instead_of_call(writer)?;
                    failing = true;
                }
                Sync::Fails if !enters && std::mem::take(&mut failing) => give_error(writer)?,
                _ => {}
            }
        }
        if !failing && well.within(Duration::ZERO) {
            return ptrace::detach(writer, None);
        }
        match status {
            // A signal that came is passed on.
            WaitStatus::Stopped(_, signal) => ptrace::syscall(writer, signal)?,
            _ => ptrace::syscall(writer, None)?,
        }
    }
}

fn is_sync(writer: Pid) -> nix::Result<bool> {
    let call = ptrace::getregs(writer)?.orig_rax;
    Ok([libc::SYS_fdatasync, libc::SYS_fsync].map(|call| call as u64).contains(&call))
}

/// A system call that does not exist does nothing.
fn instead_of_call(writer: Pid) -> nix::Result<()> {
    let registers = ptrace::getregs(writer)?;
    ptrace::setregs(writer, libc::user_regs_struct { orig_rax: u64::MAX, ..registers })
}

fn give_error(writer: Pid) -> nix::Result<()> {
    let registers = ptrace::getregs(writer)?;
    let rax = i64::from(-libc::EIO) as u64;
    ptrace::setregs(writer, libc::user_regs_struct { rax, ..registers })
}
