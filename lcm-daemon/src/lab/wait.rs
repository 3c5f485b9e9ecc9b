//! Waiting for a state by asking for it again and again.

use std::fmt;
use std::time::{Duration, Instant};

/// First pause between two questions; it doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// Longest pause between two questions.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// The state did not come about in time.
#[derive(Debug)]
pub struct Timeout {
    /// What was waited for.
    pub what: String,
    /// For how long.
    pub timeout: Duration,
    /// What the last probe saw, if it said so.
    pub last_seen: Option<String>,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} did not happen within {:?}", self.what, self.timeout)?;
        match &self.last_seen {
            Some(state) => write!(f, "; last seen: {state}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Timeout {}

impl From<Timeout> for super::LabError {
    fn from(timeout: Timeout) -> super::LabError {
        super::LabError::new(timeout.to_string())
    }
}

/// What a probe of [`until`] may answer.
pub trait Seen<T> {
    /// The state that was waited for, or else what was seen instead, if it can be told.
    fn seen(self) -> Result<T, Option<String>>;
}

impl<T> Seen<T> for Option<T> {
    fn seen(self) -> Result<T, Option<String>> {
        self.ok_or(None)
    }
}

impl<T, E: fmt::Display> Seen<T> for Result<T, E> {
    fn seen(self) -> Result<T, Option<String>> {
        self.map_err(|error| Some(error.to_string()))
    }
}

/// Calls `probe` until it gives `Some` or `Ok`, at most for `timeout`; at least once.
///
/// # Errors
/// [`Timeout`] with the last `Err` that the probe gave.
pub fn until<T, S: Seen<T>>(
    timeout: Duration,
    what: &str,
    mut probe: impl FnMut() -> S,
) -> Result<T, Timeout> {
    let deadline = Instant::now() + timeout;
    let mut pause = SHORTEST_PAUSE;
    let mut last_seen = None;
    loop {
        // The deadline is read before the probe, so that a slow machine still gets a last look.
        let late = Instant::now() >= deadline;
        match probe().seen() {
            Ok(state) => return Ok(state),
            Err(seen) => last_seen = seen.or(last_seen),
        }
        if late {
            return Err(Timeout { what: what.to_owned(), timeout, last_seen });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_state_is_reported() {
        let mut count = 0;
        let result: Result<(), Timeout> = until(Duration::from_millis(5), "three", || {
            count += 1;
            Err(format!("count {count}"))
        });
        let text = result.unwrap_err().to_string();
        assert!(text.contains(&format!("count {count}")), "{text}");
        assert!(text.starts_with("three did not happen within"), "{text}");
    }

    #[test]
    fn a_state_that_is_there_needs_no_time() {
        assert_eq!(until(Duration::ZERO, "now", || Some(7)).unwrap(), 7);
    }
}
