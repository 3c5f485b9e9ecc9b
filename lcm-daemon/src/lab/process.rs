//! Processes inside of a node's namespace, their output and their end.
//!
//! A process is killed and reaped when its [`Process`] is dropped. That does not happen when this
//! process is killed itself; then the kernel kills the child, because the child asked for it: each
//! of our programs calls [`die_with_parent`] first of all. The kernel counts the *thread* that
//! started a child as its parent, here the node's holder thread, which lives as long as the node.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::error::{Attempt, LabError};
use super::node::NodeHandle;
use super::wait;

/// Environment variable that tells a child which process it must not outlive.
pub const PARENT_VARIABLE: &str = "LCM_LAB_PARENT";

/// Lines of output that an error message quotes.
const LOG_LINES: usize = 30;

/// Bytes at the end of an output file among which the last lines are looked for.
const LOG_TAIL_BYTES: u64 = 16 * 1024;

/// In a program that a lab may start, to be called first of all in `main`: if a lab did start it,
/// asks the kernel to kill this process when the lab ends.
///
/// # Errors
/// If the lab has ended already: the program should exit at once.
pub fn die_with_parent() -> Result<(), LabError> {
    let Ok(parent) = std::env::var(PARENT_VARIABLE) else { return Ok(()) };
    let parent = parent.parse().attempt(|| format!("reading {PARENT_VARIABLE}={parent}"))?;
    crate::io::caps::die_with_parent(parent)
        .attempt(|| format!("tying this process to its parent {parent}"))
}

/// A running (or ended) process in a node.
#[derive(Debug)]
pub struct Process {
    label: String,
    child: Child,
    status: Option<ExitStatus>,
    stdout: PathBuf,
    stderr: PathBuf,
    /// Keeps the holder thread, and thereby the process, alive.
    node: NodeHandle,
}

impl Process {
    /// Starts `command` in the namespace of `node`. Output is appended to `<label>.out` and
    /// `<label>.err`, so that a restarted process keeps the log of its predecessor.
    pub(crate) fn spawn(
        node: &NodeHandle,
        label: &str,
        mut command: Command,
    ) -> Result<Process, LabError> {
        let stdout = node.dir().join(format!("{label}.out"));
        let stderr = node.dir().join(format!("{label}.err"));
        command.stdin(Stdio::null()).stdout(append_to(&stdout)?).stderr(append_to(&stderr)?);
        command.env(PARENT_VARIABLE, std::process::id().to_string());
        let what = format!("running {}", command.get_program().display());
        let child = node.attempt(&what, move || command.spawn())?;
        let label = label.to_owned();
        Ok(Process { label, child, status: None, stdout, stderr, node: node.clone() })
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with its standard output.
    #[must_use]
    pub fn stdout(&self) -> &Path {
        &self.stdout
    }

    /// The file with its standard error.
    #[must_use]
    pub fn stderr(&self) -> &Path {
        &self.stderr
    }

    /// The exit status, if it has ended.
    ///
    /// # Errors
    /// If the kernel cannot tell.
    pub fn status(&mut self) -> Result<Option<ExitStatus>, LabError> {
        if self.status.is_none() {
            self.status =
                self.child.try_wait().attempt(|| format!("asking for {}", self.name()))?;
        }
        Ok(self.status)
    }

    /// Nothing, as long as the process runs.
    ///
    /// # Errors
    /// If it has ended: how, and the end of its output.
    pub fn check(&mut self) -> Result<(), LabError> {
        match self.status()? {
            None => Ok(()),
            Some(status) => Err(LabError::new(format!(
                "{} ended ({status}):\n{}",
                self.name(),
                self.log_tail(LOG_LINES)
            ))),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it still runs after `timeout`: with the end of its output.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus, LabError> {
        let what = format!("the end of {}", self.name());
        let ended = wait::until(timeout, &what, || self.status().transpose());
        ended.map_err(|late| LabError::new(format!("{late}\n{}", self.log_tail(LOG_LINES))))?
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<(), LabError> {
        self.check()?;
        let pid = i32::try_from(self.pid()).attempt(|| format!("signalling {}", self.name()))?;
        kill(Pid::from_raw(pid), signal).attempt(|| format!("sending {signal} to {}", self.name()))
    }

    /// Kills it with SIGKILL and reaps it; nothing if it has ended already.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn kill(&mut self) -> Result<(), LabError> {
        if self.status()?.is_none() {
            self.child.kill().attempt(|| format!("killing {}", self.name()))?;
            let status = self.child.wait().attempt(|| format!("reaping {}", self.name()))?;
            self.status = Some(status);
        }
        Ok(())
    }

    /// Asks it to end with SIGTERM and waits for that.
    ///
    /// # Errors
    /// If it had ended before, or does not end within `timeout`.
    pub fn terminate(&mut self, timeout: Duration) -> Result<ExitStatus, LabError> {
        self.signal(Signal::SIGTERM)?;
        self.wait(timeout)
    }

    /// The last lines of its standard output and its standard error.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let mut text = String::new();
        for path in [&self.stdout, &self.stderr] {
            let tail = tail_of(path, lines).unwrap_or_else(|error| error.to_string());
            if !tail.is_empty() {
                text.push_str(&format!("--- end of {}:\n{tail}\n", path.display()));
            }
        }
        if text.is_empty() { "(it wrote nothing)".to_owned() } else { text }
    }

    fn name(&self) -> String {
        format!("{} (pid {}) in node {}", self.label, self.child.id(), self.node.name())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // There is nobody to tell; a process that cannot be killed is the kernel's.
        let _ = self.kill();
    }
}

/// A program of ours that runs in a node and can be started again.
#[derive(Debug)]
pub struct DaemonProcess {
    node: NodeHandle,
    label: String,
    program: PathBuf,
    arguments: Vec<String>,
    process: Process,
}

impl DaemonProcess {
    /// Starts `program` in `node`; its output goes to `<label>.out` and `<label>.err` in the
    /// node's directory.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn start(
        node: &NodeHandle,
        label: &str,
        program: &Path,
        arguments: &[&str],
    ) -> Result<DaemonProcess, LabError> {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.into()).collect();
        let process = start(node, label, program, &arguments)?;
        Ok(DaemonProcess {
            node: node.clone(),
            label: label.to_owned(),
            program: program.to_owned(),
            arguments,
            process,
        })
    }

    /// Starts it again with the same arguments; kills it first if it runs.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn restart(&mut self) -> Result<(), LabError> {
        self.process.kill()?;
        self.process = start(&self.node, &self.label, &self.program, &self.arguments)?;
        Ok(())
    }

    /// Waits until `probe` finds the program ready.
    ///
    /// # Errors
    /// If the program ends or `timeout` passes before: with the end of its output.
    pub fn wait_ready<T, S: wait::Seen<T>>(
        &mut self,
        timeout: Duration,
        mut probe: impl FnMut() -> S,
    ) -> Result<T, LabError> {
        let what = format!("{} in node {} becoming ready", self.label, self.node.name());
        let process = &mut self.process;
        // Ok(Err(..)) stops the waiting at once when the program is dead.
        let ready = wait::until(timeout, &what, || match probe().seen() {
            Ok(value) => Ok(Ok(value)),
            Err(seen) => match process.check() {
                Ok(()) => Err(seen.unwrap_or_else(|| "not ready".to_owned())),
                Err(ended) => Ok(Err(ended)),
            },
        });
        ready.map_err(|late| {
            LabError::new(format!("{late}\n{}", self.process.log_tail(LOG_LINES)))
        })?
    }

    /// The node it runs in.
    #[must_use]
    pub fn node(&self) -> &NodeHandle {
        &self.node
    }

    /// The process as it is now.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The process as it is now, to signal it or to ask for its status.
    #[must_use]
    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it with SIGKILL and reaps it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn kill(&mut self) -> Result<(), LabError> {
        self.process.kill()
    }

    /// Asks it to end with SIGTERM and waits for that.
    ///
    /// # Errors
    /// If it had ended before, or does not end within `timeout`.
    pub fn terminate(&mut self, timeout: Duration) -> Result<ExitStatus, LabError> {
        self.process.terminate(timeout)
    }
}

fn start(
    node: &NodeHandle,
    label: &str,
    program: &Path,
    arguments: &[String],
) -> Result<Process, LabError> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(node.dir());
    Process::spawn(node, label, command)
}

fn append_to(path: &Path) -> Result<File, LabError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.attempt(|| format!("opening {}", path.display()))
}

fn tail_of(path: &Path, lines: usize) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let last: Vec<&str> = text.lines().rev().take(lines).collect();
    Ok(last.into_iter().rev().collect::<Vec<_>>().join("\n"))
}
