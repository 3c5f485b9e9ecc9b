//! The two programs that are compared.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lcm_tests::node;
use serde_json::Value;

/// Runs `lcmctl decode` on a file.
pub(crate) fn decode(file: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lcm-node"));
    command.arg(node::CTL).arg("decode").args(options).arg(file);
    command.output().expect("lcmctl starts")
}

/// Runs `lcmctl decode -` on bytes.
pub(crate) fn decode_bytes(bytes: &[u8], options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lcm-node"));
    command.arg(node::CTL).args(["decode", "-"]).args(options);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("lcmctl starts");
    let mut input = child.stdin.take().expect("a pipe");
    let bytes = bytes.to_vec();
    // A program that refuses its input does not read it all.
    let writer = std::thread::spawn(move || drop(input.write_all(&bytes)));
    let output = child.wait_with_output().expect("lcmctl ends");
    writer.join().expect("the writer ends");
    output
}

/// The packets that `lcmctl decode --json` makes of a capture, which it has to be able to read.
pub(crate) fn packets(capture: &[u8]) -> Vec<Value> {
    lines(&decode_bytes(capture, &["--json"]))
}

/// The lines of an output that ended well.
pub(crate) fn lines(output: &Output) -> Vec<Value> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    let text = std::str::from_utf8(&output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

/// Runs tshark, which has to be installed.
pub(crate) fn tshark(file: &Path, options: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new("tshark").arg("-nr").arg(file).args(options).output().map_err(|e| {
        format!("tshark, with which the decoder is compared, cannot be started: {e}; on Debian: apt-get install -y tshark")
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("tshark {options:?}: {}: {said}", output.status).into());
    }
    // Errors of a Lua script do not change the exit status.
    if said.contains("Lua") {
        return Err(format!("tshark {options:?}: {said}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
