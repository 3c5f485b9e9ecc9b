//! Orders that need the whole journal to be looked at before they can be written: about postings,
//! and bills.
//!
//! ```text
//!  order ─▶ all records by then durable ─▶ a thread verifies the journal ─▶ what the order comes to
//!                                                                            └─▶ records, reply
//! ```
//!
//! One at a time. What was found holds as long as no record of [`stirs`] was written since; then it
//! is looked again.

use std::collections::VecDeque;
use std::future::pending;
use std::path::Path;

use tokio::sync::oneshot;

use super::Books;
use crate::billing::draw;
use crate::config::Billing;
use crate::control::protocol::Reply;
use crate::engine::{Engine, Now, RecordId};
use crate::io::clock;
use crate::ledger::amend::{Corrected, Correction, Ordered, correct};
use crate::ledger::record::{Action, Actor, Bill, Body, Meter, Operator};
use crate::ledger::replay::{GivenBack, Replay};
use crate::ledger::verify::{Expected, Unsound, Walk};
use crate::purse::amount_text;

/// Orders that may wait.
const QUEUE_MAX: usize = 64;

/// How often it is looked again for one order.
const TRIES: u32 = 8;

/// An order.
#[derive(Debug)]
pub(crate) struct Job {
    /// What is to be done.
    pub(crate) work: Work,
    /// Who said so.
    pub(crate) by: Actor,
    /// Who waits.
    pub(crate) reply: oneshot::Sender<Reply>,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// Something about a posting.
    Correct {
        /// The record that opened it.
        of: u64,
        /// What is to become of it.
        correction: Correction,
        /// Why.
        reason: String,
    },
    /// Bills and credit notes are to be issued.
    Issue(Billing),
}

/// What a thread found in the journal.
#[derive(Debug)]
pub(crate) enum Finding {
    /// Its books; and which posting it is, if it was metered since the last start.
    Books(Box<Replay>, Option<(Meter, u64)>),
    /// What is to be issued.
    Bills(Vec<Bill>),
}

/// The same, or why there is none.
pub(crate) type Found = Result<Finding, String>;

/// Orders, and what is known about the first of them.
#[derive(Debug, Default)]
pub(super) struct Desk {
    queue: VecDeque<Job>,
    /// The record that must be durable before the journal is looked at.
    after: Option<RecordId>,
    looking: Option<oneshot::Receiver<Found>>,
    /// What is being found may not hold any more.
    stirred: bool,
    tries: u32,
    submitted: RecordId,
    durable: RecordId,
}

/// Whether a record changes what an order about a posting comes to.
fn stirs(body: &Body) -> bool {
    match body {
        Body::Contra(_) | Body::Refund(_) | Body::Dispute(_) | Body::Started(_) | Body::Bill(_) => {
            true
        }
        Body::Operator(Operator { action, .. }) => {
            matches!(action, Action::Open { .. } | Action::Close { .. })
        }
        _ => false,
    }
}

impl Desk {
    /// Takes an order.
    pub(super) fn ask(&mut self, job: Job) {
        if self.queue.len() >= QUEUE_MAX {
            let _ = job.reply.send(Reply::Error("too many orders wait: repeat this later".into()));
            return;
        }
        self.queue.push_back(job);
    }

    /// Notes that a record was handed to the writer.
    pub(super) fn submitted(&mut self, id: RecordId, body: &Body) {
        self.submitted = self.submitted.max(id);
        self.stirred |= stirs(body);
    }

    /// Notes that records are durable.
    pub(super) fn durable(&mut self, id: RecordId) {
        self.durable = self.durable.max(id);
    }

    /// Has the journal looked at for the first order, if that is due.
    pub(super) fn work(&mut self, directory: &Path) {
        if self.looking.is_some() {
            return;
        }
        let Some(Job { work, by, .. }) = self.queue.front() else { return };
        let (work, by) = (work.clone(), name(by));
        let after = *self.after.get_or_insert_with(|| {
            self.stirred = false;
            self.submitted
        });
        if self.durable < after {
            return;
        }
        let (sender, receiver) = oneshot::channel();
        let directory = directory.to_owned();
        let find = move || {
            let _ = sender.send(look(&directory, &work, &by));
        };
        self.looking = Some(receiver);
        if let Err(error) = std::thread::Builder::new().name("desk".to_owned()).spawn(find) {
            tracing::error!(%error, "no thread to read the ledger with");
        }
    }

    /// Waits for what is found.
    pub(super) async fn news(&mut self) -> Found {
        match &mut self.looking {
            Some(looking) => {
                let gone = |_| Err("the thread that read the ledger ended".to_owned());
                looking.await.unwrap_or_else(gone)
            }
            None => pending().await,
        }
    }

    /// The first order, if what was found of it holds.
    fn settle(&mut self, found: Found) -> Option<(Job, Found)> {
        self.looking = None;
        self.after = None;
        self.tries += 1;
        if self.stirred && self.tries < TRIES {
            return None;
        }
        let found = if self.stirred {
            Err("the ledger changes too often at present: repeat this".to_owned())
        } else {
            found
        };
        self.tries = 0;
        Some((self.queue.pop_front()?, found))
    }
}

impl Books {
    /// Writes what an order comes to, by what was found in the journal.
    pub(super) fn settle(&mut self, engine: &mut Engine, now: Now, found: Found) {
        let Some((job, found)) = self.desk.settle(found) else {
            return self.desk.work(&self.directory);
        };
        let reply = job.reply;
        match found.and_then(|finding| done(engine, now, (job.work, &job.by), finding)) {
            Ok((Some(record), said)) => self.waiting.push_back((record, reply, Reply::Said(said))),
            Ok((None, said)) => drop(reply.send(Reply::Said(said))),
            Err(why) => drop(reply.send(Reply::Error(why))),
        }
        self.desk.work(&self.directory);
    }
}

/// What an order comes to, by the journal.
fn look(directory: &Path, work: &Work, by: &str) -> Found {
    match work {
        Work::Correct { of, .. } => {
            let books = look_for(directory, *of);
            books.map_err(|unsound| format!("{unsound}; nothing was written"))
        }
        Work::Issue(billing) => {
            let drawn = draw(directory, billing, by, clock::unix_ms());
            drawn.map(|(bills, _)| Finding::Bills(bills)).map_err(|error| error.to_string())
        }
    }
}

/// The books, and a posting in them.
fn look_for(directory: &Path, of: u64) -> Result<Finding, Unsound> {
    let mut walk = Walk::new(directory, Expected::default())?;
    let mut piece = None;
    while let Some((_, body, applied)) = walk.step()? {
        applied.postings().for_each(|posting| GivenBack::seen(&mut piece, of, posting));
        if matches!(body, Body::Started(_)) {
            piece = None;
        }
    }
    Ok(Finding::Books(Box::new(walk.end()?.replay), piece))
}

/// Has the engine write what was found; the last record, and what to say when it is durable.
fn done(
    engine: &mut Engine,
    now: Now,
    (work, by): (Work, &Actor),
    finding: Finding,
) -> Result<(Option<RecordId>, String), String> {
    match (work, finding) {
        (Work::Correct { of, correction, reason }, Finding::Books(mut replay, piece)) => {
            let ordered = Ordered { by: name(by), reason, wall_ms: clock::unix_ms() };
            let corrected = correct(&mut replay, of, &correction, &ordered);
            let mut corrected = corrected.map_err(|fault| fault.what.advice())?;
            if let Some((_, to)) = &mut corrected.contra {
                to.piece = piece;
            }
            let said = said(of, &corrected);
            Ok((write(engine, now, corrected), said))
        }
        (Work::Issue(_), Finding::Bills(bills)) => {
            let said = numbers(&bills);
            let last = bills.into_iter().map(|bill| engine.issue(bill)).last();
            Ok((last, said))
        }
        _ => Err("what was found is not what was asked for".to_owned()),
    }
}

/// Who ordered something, in the journal.
fn name(by: &Actor) -> String {
    if by.name.is_empty() { by.uid.to_string() } else { by.name.clone() }
}

/// What was issued, in words.
pub(crate) fn numbers(bills: &[Bill]) -> String {
    let numbers: Vec<String> =
        bills.iter().filter(|bill| bill.number > 0).map(Bill::to_string).collect();
    match numbers.as_slice() {
        [] => "nothing is to be issued: close a period first, with `lcmctl ledger close-period`, \
               or wait until there is something to pay"
            .to_owned(),
        numbers => format!("issued {}", numbers.join(", ")),
    }
}

/// Has the engine write it; the last record.
fn write(engine: &mut Engine, now: Now, corrected: Corrected) -> Option<RecordId> {
    let given = corrected.contra.map(|(contra, to)| engine.give_back(now, contra, &to));
    corrected.dispute.map(|dispute| engine.dispute(dispute)).or(given)
}

/// What was done, in words.
pub(crate) fn said(of: u64, corrected: &Corrected) -> String {
    let mut words = Vec::new();
    if let Some((contra, to)) = &corrected.contra {
        let amount = amount_text(i128::try_from(contra.amount).unwrap_or(i128::MAX));
        let whom = match (&to.holder, to.to_them) {
            (Some(holder), _) => holder.to_string(),
            (None, true) => format!("neighbour {}", to.neighbour.address),
            (None, false) => "us".to_owned(),
        };
        words.push(format!("{amount} of posting {of} is given back to {whom}"));
    }
    if let Some(dispute) = &corrected.dispute {
        let state = if dispute.open { "disputed" } else { "disputed no more" };
        words.push(format!("posting {of} is {state}"));
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::record::Dispute;

    fn job() -> (Job, oneshot::Receiver<Reply>) {
        let (reply, answer) = oneshot::channel();
        let by = Actor { uid: 0, name: "root".to_owned() };
        let work = Work::Correct { of: 1, correction: Correction::Dispute, reason: String::new() };
        (Job { work, by, reply }, answer)
    }

    fn dispute() -> Body {
        let (by, reason) = (String::new(), String::new());
        Body::Dispute(Dispute { of: 1, open: true, by, reason, wall_ms: 0 })
    }

    #[test]
    fn the_journal_is_looked_at_once_all_is_durable_and_again_if_it_was_stirred() {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = Desk::default();
        desk.submitted(RecordId(5), &dispute());
        desk.durable(RecordId(4));
        desk.ask(job().0);
        desk.work(dir.path());
        assert!(desk.looking.is_none(), "a record is not durable");
        desk.durable(RecordId(5));
        desk.work(dir.path());
        assert!(desk.looking.is_some());
        desk.submitted(RecordId(6), &dispute());
        assert!(desk.settle(Err(String::new())).is_none(), "it may not hold any more");
        desk.durable(RecordId(6));
        desk.work(dir.path());
        assert!(desk.looking.is_some());
        let (_, found) = desk.settle(Err("empty".to_owned())).unwrap();
        assert_eq!(found.unwrap_err(), "empty");
        assert!(desk.queue.is_empty());
    }

    #[test]
    fn no_more_orders_wait_than_there_is_room_for() {
        let mut desk = Desk::default();
        let mut answers: Vec<_> = (0..=QUEUE_MAX)
            .map(|_| {
                let (job, answer) = job();
                desk.ask(job);
                answer
            })
            .collect();
        let last = answers.pop().unwrap().try_recv();
        assert!(matches!(last, Ok(Reply::Error(why)) if why.contains("repeat")));
        assert!(answers[0].try_recv().is_err());
    }
}
