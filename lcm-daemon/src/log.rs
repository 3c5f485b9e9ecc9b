//! Logging: events of `tracing`, one line each, on standard error.
//!
//! Standard error is what service managers keep and containers show; there is no log file to
//! rotate. Under systemd's journal the time stamp is left to the journal.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogLevel;

/// Environment variable whose filter directives (`warn,lcm_daemon::engine=trace`) take the place
/// of the configured level.
pub const FILTER_VARIABLE: &str = "LCM_LOG";

/// Set by systemd where standard error is the journal (systemd.exec(5)).
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";
/// Asks programs not to colour their output (no-color.org).
const NO_COLOUR_VARIABLE: &str = "NO_COLOR";

/// Why logging could not be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogError {
    /// The filter directives cannot be understood.
    Filter {
        /// The variable's content.
        directives: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Logging was set up before in this process.
    Twice,
}

impl std::error::Error for LogError {}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Filter { directives, reason } => write!(
                f,
                "{FILTER_VARIABLE}={directives:?}: {reason}; write a level (error, warn, info, \
                 debug, trace) or directives such as warn,lcm_daemon::engine=debug"
            ),
            LogError::Twice => f.write_str("logging is already set up in this process"),
        }
    }
}

/// Where the log goes and how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    colours: bool,
    times: bool,
}

/// Starts logging events of `level` and above, or those that the environment variable `LCM_LOG`
/// selects. To be called once, before anything is logged.
///
/// # Errors
///
/// If the variable's directives make no sense, or logging is set up already.
pub fn init(level: LogLevel) -> Result<(), LogError> {
    let directives = std::env::var(FILTER_VARIABLE).ok();
    let filter = filter(level, directives.as_deref())?;
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let look = Look {
        colours: io::stderr().is_terminal() && !set(NO_COLOUR_VARIABLE),
        times: !set(JOURNAL_VARIABLE),
    };
    subscriber(filter, look, io::stderr).try_init().map_err(|_| LogError::Twice)
}

fn filter(level: LogLevel, directives: Option<&str>) -> Result<EnvFilter, LogError> {
    match directives.map(str::trim).filter(|directives| !directives.is_empty()) {
        None => Ok(EnvFilter::new(level.name())),
        Some(directives) => EnvFilter::try_new(directives).map_err(|error| LogError::Filter {
            directives: directives.to_owned(),
            reason: error.to_string(),
        }),
    }
}

fn subscriber<W>(
    filter: EnvFilter,
    look: Look,
    writer: W,
) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(look.colours)
        .with_writer(writer);
    if look.times { Box::new(builder.finish()) } else { Box::new(builder.without_time().finish()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, directives: Option<&str>, look: Look) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let filter = filter(level, directives).unwrap();
        tracing::subscriber::with_default(subscriber(filter, look, move || writer.clone()), || {
            tracing::warn!(price = 40, "warned");
            tracing::info!("informed");
            tracing::debug!("debugged");
        });
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const PLAIN: Look = Look { colours: false, times: false };

    #[test]
    fn the_level_decides_what_is_logged() {
        let lines = |level| logged(level, None, PLAIN).lines().count();
        assert_eq!(lines(LogLevel::Error), 0);
        assert_eq!(lines(LogLevel::Warn), 1);
        assert_eq!(lines(LogLevel::Info), 2);
        assert_eq!(lines(LogLevel::Debug), 3);
    }

    #[test]
    fn the_variable_overrides_the_level() {
        assert_eq!(logged(LogLevel::Trace, Some("error"), PLAIN), "");
        assert_eq!(logged(LogLevel::Error, Some("off,no_such=trace"), PLAIN), "");
        assert_eq!(logged(LogLevel::Warn, Some(" "), PLAIN).lines().count(), 1);
    }

    #[test]
    fn a_line_has_no_colours_and_no_time_unless_asked() {
        let plain = logged(LogLevel::Warn, None, PLAIN);
        assert!(plain.trim_start().starts_with("WARN") && plain.contains("price=40"), "{plain}");
        assert!(!plain.contains('\u{1b}'), "{plain}");
        assert!(logged(LogLevel::Warn, None, Look { colours: true, ..PLAIN }).contains('\u{1b}'));
        let timed = logged(LogLevel::Warn, None, Look { times: true, ..PLAIN });
        assert!(timed.starts_with("20"), "{timed}");
    }

    #[test]
    fn bad_directives_are_quoted() {
        let error = filter(LogLevel::Info, Some("lcm_daemon=loud")).unwrap_err();
        assert!(error.to_string().contains("lcm_daemon=loud"), "{error}");
    }
}
