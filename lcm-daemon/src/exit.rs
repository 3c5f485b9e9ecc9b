//! How the programs end, as scripts and service managers see it.

use std::process::{ExitCode, Termination};

/// The exit status of `lcm-daemon` and `lcmctl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// 0: done what was asked, or ended on request (SIGTERM, SIGINT).
    Ok,
    /// 1: started, and then something failed: a check that did not hold, a socket that the kernel
    /// refused, a daemon that did not answer. Trying again may help.
    Failed,
    /// 2: the command line or the configuration is wrong. Nothing was started, and trying again
    /// without a change will not help. `lcmctl notes compare` ends so, too, where it cannot tell.
    Usage,
}

impl Exit {
    /// The number that the parent process sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_that_the_manual_promises() {
        assert_eq!([Exit::Ok, Exit::Failed, Exit::Usage].map(Exit::code), [0, 1, 2]);
    }
}
