//! The operator's programs, as processes.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lcm_tests::node;
use serde_json::Value;

use super::play::{Play, program};

/// `lcmctl` with these arguments.
pub(crate) fn lcmctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg(node::CTL).args(arguments).env_remove("LCM_SOCKET").stdin(Stdio::null());
    command
}

/// Standard output as text.
pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("(not UTF-8)")
}

/// `lcmctl` beside a node's daemon.
pub(crate) fn at_node(
    play: &Play,
    name: &str,
    arguments: &[&str],
) -> Result<Command, Box<dyn Error>> {
    let mut command = lcmctl(arguments);
    command.env("LCM_SOCKET", play.stage.socket(name)?);
    Ok(command)
}

/// Runs `lcmctl` beside a node's daemon, to its end.
pub(crate) fn run(play: &Play, name: &str, arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
    Ok(at_node(play, name, arguments)?.output()?)
}

/// Runs `lcmctl`, which must succeed; gives what it printed.
pub(crate) fn succeed(
    play: &Play,
    name: &str,
    arguments: &[&str],
) -> Result<String, Box<dyn Error>> {
    let output = run(play, name, arguments)?;
    if !output.status.success() || !output.stderr.is_empty() {
        let said = text(&output.stderr);
        return Err(format!("lcmctl {arguments:?}: {}: {said}", output.status).into());
    }
    Ok(text(&output.stdout).to_owned())
}

/// Runs `lcmctl … --json`, which must print one JSON value.
pub(crate) fn json(play: &Play, name: &str, arguments: &[&str]) -> Result<Value, Box<dyn Error>> {
    let printed = succeed(play, name, &[arguments, &["--json"]].concat())?;
    Ok(serde_json::from_str(&printed).map_err(|e| format!("{e} in {printed:?}"))?)
}

/// A program that stays and prints lines; killed when dropped.
pub(crate) struct Talker {
    child: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Talker {
    pub(crate) fn start(mut command: Command) -> Result<Talker, Box<dyn Error>> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Ok(Talker { child, lines, heard: Vec::new() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The next line that satisfies.
    pub(crate) fn wait_line(
        &mut self,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String, Box<dyn Error>> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let left = || deadline.saturating_duration_since(Instant::now());
        while let Ok(line) = self.lines.recv_timeout(left()) {
            if wanted(&line) {
                return Ok(line);
            }
            self.heard.push(line);
        }
        Err(format!("{what} was never printed, but {:#?}", self.heard).into())
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
