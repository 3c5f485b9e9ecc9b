//! Runs tests that need namespaces.
//!
//! The standard test harness starts threads before any test runs, and a process with threads cannot
//! enter a user namespace. So these tests are programs of their own (`harness = false`) whose `main`
//! is a call of [`main`], with the usual output and command line.

use std::error::Error;
use std::process::ExitCode;

use lcm_daemon::lab;
use libtest_mimic::{Arguments, Failed, Trial};

/// How a test ends; any error fails it with its text.
pub type TestResult = Result<(), Box<dyn Error>>;

/// A test.
pub type Test = fn() -> TestResult;

/// Prepares the process for [`lab::Network`] and runs the tests that the command line selects, in
/// parallel. Where the machine cannot give namespaces every test fails with the reason; none is
/// skipped.
///
/// To be returned from `main`, before which no thread may be started.
#[must_use]
pub fn main(tests: &[(&str, Test)]) -> ExitCode {
    let arguments = Arguments::from_args();
    let entered = if arguments.list { Ok(()) } else { lab::enter(&[]) };
    let refusal = entered.err().map(|error| error.to_string());
    let trials = tests.iter().map(|&(name, test)| {
        let refusal = refusal.clone();
        Trial::test(name, move || match refusal {
            Some(reason) => Err(Failed::from(format!(
                "this machine cannot give the namespaces that the test needs: {reason}"
            ))),
            None => test().map_err(|error| Failed::from(error.to_string())),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
