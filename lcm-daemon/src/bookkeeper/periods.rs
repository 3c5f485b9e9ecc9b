//! Periods that are closed on request while the daemon runs, one at a time.

use std::path::Path;

use tokio::sync::oneshot;

use crate::control::protocol::Reply;
use crate::ledger::record::Actor;

/// The periods of the books.
#[derive(Debug, Default)]
pub(super) struct Periods {
    last: Last,
    /// Who asked for one, and waits for it.
    asked: Option<(Actor, oneshot::Sender<Reply>)>,
    /// Number of the period that was handed to the writer.
    under_way: Option<u64>,
}

/// The last period that was closed.
#[derive(Debug, Default, Clone, Copy)]
enum Last {
    /// What was written before this start is being read.
    #[default]
    Unread,
    /// It does not verify, so nobody knows.
    Unsound,
    /// 0 if none was.
    Known(u64),
}

impl Periods {
    /// Takes a request; what speaks against it is answered at once.
    pub(super) fn ask(&mut self, by: &Actor, reply: oneshot::Sender<Reply>, trouble: bool) {
        let refused = match self.last {
            Last::Unsound => "the ledger does not verify: see `lcmctl ledger verify`",
            _ if self.asked.is_some() => "another period is being closed",
            _ if trouble => "the ledger cannot be written at present: see the daemon's log",
            _ => {
                self.asked = Some((by.clone(), reply));
                return;
            }
        };
        let _ = reply.send(Reply::Error(refused.to_owned()));
    }

    /// Notes what the books before this start say; `None` if they do not verify.
    pub(super) fn read(&mut self, last: Option<u64>) {
        self.last = last.map_or(Last::Unsound, Last::Known);
        if last.is_none() {
            self.refuse("the ledger does not verify: see `lcmctl ledger verify`");
        }
    }

    /// The number of the period that is to be written now.
    pub(super) fn due(&self) -> Option<u64> {
        match self.last {
            Last::Known(last) if self.asked.is_some() && self.under_way.is_none() => {
                last.checked_add(1)
            }
            _ => None,
        }
    }

    /// Notes that a period was handed to the writer; who asked for it.
    pub(super) fn submitted(&mut self, number: u64) -> Option<Actor> {
        self.last = Last::Known(number);
        self.under_way = Some(number);
        self.asked.as_ref().map(|(by, _)| by.clone())
    }

    /// Answers that it will not be.
    pub(super) fn refuse(&mut self, why: &str) {
        if let Some((_, reply)) = self.asked.take() {
            let _ = reply.send(Reply::Error(why.to_owned()));
        }
    }

    /// Answers that the period is durable.
    pub(super) fn closed(&mut self) {
        if let (Some(number), Some((_, reply))) = (self.under_way.take(), self.asked.take()) {
            let _ = reply.send(Reply::Period(number));
        }
    }
}

/// What speaks against closing a period of `asked` where the books are kept in `kept`.
pub(super) fn other_books(kept: Option<&Path>, asked: &Path) -> Option<String> {
    let Some(kept) = kept else { return Some("this daemon keeps no ledger".to_owned()) };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    (real(kept) != real(asked)).then(|| {
        format!(
            "this daemon keeps its ledger in {}, not in {}: name the control socket of the daemon \
             that keeps that one with --socket",
            kept.display(),
            asked.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(periods: &mut Periods, trouble: bool) -> oneshot::Receiver<Reply> {
        let (reply, answer) = oneshot::channel();
        periods.ask(&Actor { uid: 7, name: String::new() }, reply, trouble);
        answer
    }

    #[test]
    fn periods_are_numbered_on_from_what_was_read_one_at_a_time() {
        let mut periods = Periods::default();
        let mut first = ask(&mut periods, false);
        assert_eq!(periods.due(), None, "nobody knows its number yet");
        assert!(matches!(ask(&mut periods, false).try_recv(), Ok(Reply::Error(_))));
        periods.read(Some(4));
        assert_eq!(periods.due(), Some(5));
        assert_eq!(periods.submitted(5).map(|by| by.uid), Some(7));
        assert_eq!(periods.due(), None);
        assert!(first.try_recv().is_err(), "it is not durable");
        periods.closed();
        assert_eq!(first.try_recv(), Ok(Reply::Period(5)));
        let _second = ask(&mut periods, false);
        assert_eq!(periods.due(), Some(6));
    }

    #[test]
    fn no_period_is_closed_in_books_that_do_not_verify_or_cannot_be_written() {
        let mut periods = Periods::default();
        let mut waiting = ask(&mut periods, false);
        periods.read(None);
        assert!(matches!(waiting.try_recv(), Ok(Reply::Error(_))));
        assert!(matches!(ask(&mut periods, false).try_recv(), Ok(Reply::Error(_))));
        periods.read(Some(0));
        assert!(matches!(ask(&mut periods, true).try_recv(), Ok(Reply::Error(_))));
        assert_eq!(periods.due(), None);
    }

    #[test]
    fn another_directory_is_another_daemons() {
        let here = Path::new("/");
        assert_eq!(other_books(Some(here), Path::new("/usr/..")), None);
        assert!(other_books(Some(here), Path::new("/usr")).is_some());
        assert!(other_books(None, here).is_some());
    }
}
