//! The one error of the lab: what was tried, what came back, what to do.

use std::fmt;
use std::io;

/// Something that the lab could not do.
///
/// The text names what was tried and the kernel's answer, and, where it is known, what the operator
/// can do about it.
#[derive(Debug)]
pub struct LabError {
    what: String,
    cause: Option<String>,
    advice: Option<String>,
}

impl LabError {
    /// An error that is its own explanation.
    pub fn new(what: impl Into<String>) -> LabError {
        LabError { what: what.into(), cause: None, advice: None }
    }

    /// `what` was tried and failed because of `cause`.
    pub fn caused(what: impl Into<String>, cause: impl fmt::Display) -> LabError {
        LabError { what: what.into(), cause: Some(cause.to_string()), advice: None }
    }

    /// The same error, told as the reason why something larger failed.
    #[must_use]
    pub fn context(self, what: impl Into<String>) -> LabError {
        let advice = self.advice.clone();
        LabError { advice, ..LabError::caused(what, LabError { advice: None, ..self }) }
    }

    /// The same error with a sentence on what to do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> LabError {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LabError {}

impl From<io::Error> for LabError {
    fn from(error: io::Error) -> LabError {
        LabError::new(error.to_string())
    }
}

impl From<nix::Error> for LabError {
    fn from(error: nix::Error) -> LabError {
        io::Error::from(error).into()
    }
}

/// Adds what was tried to any error.
pub(crate) trait Attempt<T> {
    /// Turns an error into a [`LabError`] that begins with `what`.
    fn attempt(self, what: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T, E: fmt::Display> Attempt<T> for Result<T, E> {
    fn attempt(self, what: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|error| LabError::caused(what(), error))
    }
}
