//! Runs tests that need namespaces.
//!
//! The standard test harness starts threads before any test runs, and a process with threads cannot
//! enter a user namespace. So these tests are programs of their own (`harness = false`) whose `main`
//! is a call of [`main`], with the usual output and command line.

use std::cell::RefCell;
use std::error::Error;
use std::process::ExitCode;

use lcm_daemon::lab;
use libtest_mimic::{Arguments, Failed, Trial};

/// How a test ends; any error fails it with its text.
pub type TestResult = Result<(), Box<dyn Error>>;

/// A test.
pub type Test = fn() -> TestResult;

thread_local! {
    /// What was found wrong when something was taken down.
    static FAULTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Fails the test that runs on this thread, for what can only be known in a `Drop`.
#[track_caller]
pub fn fault(what: &str) {
    let place = std::panic::Location::caller();
    let told = format!("{FOUND_AT}{}:{}: {what}", place.file(), place.line());
    FAULTS.with_borrow_mut(|faults| faults.push(told));
}

/// Before the place of a [`fault`].
pub(crate) const FOUND_AT: &str = "found at ";

/// Runs a test; it fails by its result or by what was found when it was over.
fn run(test: Test) -> Result<(), Failed> {
    FAULTS.take();
    let result = test().map_err(|error| error.to_string());
    let mut faults = FAULTS.take();
    if let Err(error) = result {
        faults.insert(0, error);
    }
    if faults.is_empty() { Ok(()) } else { Err(Failed::from(faults.join("\n\n"))) }
}

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
            None => run(test),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Guard;

    impl Drop for Guard {
        fn drop(&mut self) {
            fault("seen at the end");
        }
    }

    #[test]
    fn what_is_found_at_the_end_fails_the_test_and_no_other() {
        assert!(run(|| Ok(())).is_ok());
        let passes = || {
            let _guard = Guard;
            Ok(())
        };
        let found = run(passes).unwrap_err();
        let told = |failed: &Failed| failed.message().unwrap_or_default().to_owned();
        assert!(told(&found).starts_with("found at "), "{found:?}");
        assert!(told(&found).ends_with(": seen at the end"), "{found:?}");
        let fails = || {
            let _guard = Guard;
            Err("by itself".into())
        };
        let both = told(&run(fails).unwrap_err());
        assert!(both.starts_with("by itself\n\nfound at "), "{both}");
        assert!(run(|| Ok(())).is_ok());
    }
}
