//! The runtime's end of the ledger: hands the engine's records to the writer, and tells the engine
//! what became durable and when nothing can.
//!
//! About once a second it asserts that all meters still run ([`Body::Alive`]): what a crash costs
//! is the time since then.

pub(crate) mod desk;
mod periods;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::oneshot;

use self::desk::{Desk, Found, Job, Work};
use self::periods::Periods;
use crate::config::{Billing, Config, Ledger};
use crate::control::protocol::Reply;
use crate::engine::{AccountError, Engine, Instant, Now, REASON_MAX, RecordId};
use crate::io::clock;
use crate::ledger::journal::{Journal, OpenError, Options};
use crate::ledger::record::{Actor, Body, Period, Stamp, Started};
use crate::ledger::replay::{Account, Standing};
use crate::ledger::verify::{Expected, Walk};
use crate::ledger::writer::{Event, Settings, SubmitError, Unwritten, Writer};
use crate::purse::{Holder, Kept, Terms};

/// Number of a start: no record of the engine has it, so it tells when the start is durable.
const START: u64 = 0;

/// Keeps the books of one daemon; without a directory it keeps none.
pub(crate) struct Bookkeeper {
    books: Option<Books>,
    counts: Counts,
}

struct Books {
    writer: Writer,
    events: UnboundedReceiver<Event>,
    started: Started,
    proof: Duration,
    /// When the next proof is due.
    due: Instant,
    trouble: Trouble,
    past: Past,
    periods: Periods,
    directory: PathBuf,
    /// How bills are made, if they are.
    billing: Option<Billing>,
    desk: Desk,
    /// Who waits for a record to be durable, and what is said then.
    waiting: VecDeque<(RecordId, oneshot::Sender<Reply>, Reply)>,
    /// What operators ordered and the writer did not take: it is done, and is written behind the
    /// next start.
    orders: VecDeque<(RecordId, Body)>,
    /// The last of them, while that start is on its way to the disk.
    behind_start: Option<RecordId>,
}

/// What was charged before this start.
enum Past {
    /// It is read once the books know that this start ends it.
    Waiting,
    Reading(oneshot::Receiver<Result<Before, String>>),
    Known,
}

/// What neighbours owe us, less what we owe them, in ledger units.
type Balances = BTreeMap<IpAddr, i128>;

/// What the books said before this start.
pub(crate) struct Before {
    balances: Balances,
    /// Accounts of customers and neighbours: terms, whether closed, and sums.
    accounts: Vec<((Holder, Terms, bool), Kept)>,
    /// The last period that was closed, 0 if none was.
    period: u64,
}

/// What the bookkeeper waits for.
pub(crate) enum News {
    /// Of the writer.
    Writer(Event),
    /// Of the thread that reads what was written before this start.
    Past(Result<Before, String>),
    /// Of the thread that reads the journal for an order.
    Found(Found),
}

/// Why nothing new is agreed to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Trouble {
    failed: bool,
    slow: bool,
    /// So much waited that records were not taken: the books begin anew once the disk is well.
    overflown: bool,
}

impl Trouble {
    const fn any(self) -> bool {
        self.failed || self.slow || self.overflown
    }
}

/// What the metrics page shows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) failures: u64,
    pub(crate) slow: u64,
    pub(crate) overflows: u64,
    /// Whether what was written before this start does not verify.
    pub(crate) unsound: u64,
    /// Whether consents are taken.
    pub(crate) open: bool,
    /// How long the oldest record has waited for the disk, in seconds.
    pub(crate) waiting_s: u64,
}

impl Bookkeeper {
    /// Opens the journal, if the configuration names one, and writes that the daemon started.
    ///
    /// # Errors
    ///
    /// If the journal cannot be opened, or no thread be started.
    pub(crate) fn open(config: &Config, now: Now) -> Result<Self, String> {
        let counts = Counts { open: true, ..Counts::default() };
        let directory = config.ledger.directory.as_deref();
        let books = directory.map(|directory| Books::open(config, directory, now)).transpose()?;
        Ok(Self { books, counts })
    }

    /// Takes a record of the engine.
    pub(crate) fn record(&mut self, engine: &mut Engine, now: Now, id: RecordId, body: &Body) {
        self.counts.records += 1;
        let Some(books) = &mut self.books else { return engine.handle_recorded(id) };
        if books.trouble.overflown {
            books.keep(id, body);
            return;
        }
        let Err(error) = books.writer.submit(id.0, body) else {
            return books.desk.submitted(id, body);
        };
        // One that is too long is none that anybody can cause: accounts and words are limited.
        tracing::error!(%error, "the ledger cannot take a record; it begins anew when it can");
        if error == SubmitError::Full {
            books.keep(id, body);
        } else {
            books.refuse(id, &error.to_string());
        }
        self.counts.overflows += 1;
        books.trouble.overflown = true;
        engine.books_closed(now);
    }

    /// Waits for news.
    pub(crate) async fn news(&mut self) -> News {
        let Some(books) = &mut self.books else { return pending().await };
        tokio::select! {
            Some(event) = books.events.recv() => News::Writer(event),
            past = books.past.read() => News::Past(past),
            found = books.desk.news() => News::Found(found),
        }
    }

    /// Takes news, and all that came with it.
    pub(crate) fn take(&mut self, engine: &mut Engine, now: Now, news: News) {
        match news {
            News::Writer(event) => self.take_events(engine, now, event),
            News::Past(past) => self.take_past(engine, now, past),
            News::Found(found) => {
                if let Some(books) = &mut self.books {
                    books.settle(engine, now, found);
                }
            }
        }
    }

    fn take_past(&mut self, engine: &mut Engine, now: Now, past: Result<Before, String>) {
        if let Some(books) = &mut self.books {
            books.past = Past::Known;
            books.periods.read(past.as_ref().ok().map(|before| before.period));
            books.close_period(engine, now);
        }
        match past {
            Ok(Before { balances, accounts, .. }) => {
                tracing::info!(neighbours = balances.len(), "the ledger's past is sound");
                engine.carry_in(balances);
                for holder in engine.restore_accounts(now, accounts) {
                    tracing::error!(%holder, "what was paid in cannot be held: it counts as 0");
                }
            }
            Err(error) => {
                self.counts.unsound += 1;
                tracing::error!(
                    error,
                    "the ledger's past is not sound: balances are shown from this start on only; \
                     see `lcmctl ledger verify`; where accounts are kept nobody new is let in"
                );
            }
        }
    }

    fn take_events(&mut self, engine: &mut Engine, now: Now, first: Event) {
        let mut event = Some(first);
        while let Some(news) = event {
            self.take_one(engine, now, news);
            event = self.books.as_mut().and_then(|books| books.events.try_recv().ok());
        }
    }

    fn take_one(&mut self, engine: &mut Engine, now: Now, event: Event) {
        let Some(books) = &mut self.books else { return };
        let before = books.trouble;
        match event {
            Event::Durable(id) => {
                engine.handle_recorded(RecordId(id));
                let orders = books.behind_start.take_if(|_| id == START).unwrap_or_default();
                let durable = RecordId(id).max(orders);
                books.answer(durable);
                books.desk.durable(durable);
                books.desk.work(&books.directory);
                books.read_past();
            }
            Event::PeriodClosed => {
                tracing::info!("a period of the ledger is closed");
                books.periods.closed();
                books.bill();
            }
            Event::Failed { error } => {
                tracing::error!(
                    error,
                    "the ledger cannot be written: new reservations are refused until it can"
                );
                self.counts.failures += 1;
                books.trouble.failed = true;
            }
            Event::Recovered => {
                tracing::info!("the ledger can be written again");
                books.trouble.failed = false;
            }
            Event::Slow => {
                tracing::error!(
                    "the ledger's disk takes too long: new reservations are refused until it is \
                     swift again"
                );
                self.counts.slow += 1;
                books.trouble.slow = true;
            }
            Event::Swift => {
                tracing::info!("the ledger's disk is swift again");
                books.trouble.slow = false;
            }
            Event::KeyRotated(Ok(_)) => tracing::info!("the ledger has another signing key"),
            Event::KeyRotated(Err(error)) => {
                tracing::error!(error, "the ledger's signing key cannot be changed");
            }
        }
        books.begin_anew(engine, now);
        match (before.any(), books.trouble.any()) {
            (false, true) => engine.books_closed(now),
            (true, false) => engine.books_opened(),
            _ => {}
        }
    }

    /// Why nothing can be ordered about accounts now, if nothing can.
    pub(crate) fn shut(&self) -> Option<&'static str> {
        let Some(books) = &self.books else {
            return Some("this daemon keeps no ledger, and so no accounts: see [ledger] directory");
        };
        let shut =
            "the ledger cannot be written at present: see the daemon's log, then repeat this";
        books.trouble.any().then_some(shut)
    }

    /// Replies once a record is durable.
    pub(crate) fn wait_for(&mut self, record: RecordId, reply: oneshot::Sender<Reply>) {
        match &mut self.books {
            Some(books) => books.waiting.push_back((record, reply, Reply::Done)),
            None => drop(reply.send(Reply::Done)),
        }
    }

    /// Has an order done that needs the journal of `directory` to be looked at.
    pub(crate) fn order(&mut self, directory: &Path, job: Job) {
        let kept = self.books.as_ref().map(|books| books.directory.as_path());
        let known = self.books.as_ref().is_some_and(|books| matches!(books.past, Past::Known));
        let why = periods::other_books(kept, directory).or(self.shut().map(str::to_owned));
        let unread = "what was written before this start is still being read: repeat this in a \
                      moment; if it stays so, see `lcmctl ledger verify`";
        let why = why.or((!known).then(|| unread.to_owned()));
        let bytes = match &job.work {
            Work::Correct { reason, .. } => reason.len(),
            Work::Issue(_) => 0,
        };
        let long = (bytes > REASON_MAX).then(|| AccountError::LongReason { bytes }.to_string());
        if let Some(why) = why.or(long) {
            let _ = job.reply.send(Reply::Error(why));
        } else if let Some(books) = &mut self.books {
            books.desk.ask(job);
            books.desk.work(&books.directory);
        }
    }

    /// Has bills and credit notes issued that are due.
    pub(crate) fn issue(&mut self, directory: &Path, by: &Actor, reply: oneshot::Sender<Reply>) {
        let billing = self.books.as_ref().and_then(|books| books.billing.clone());
        let Some(billing) = billing else {
            let why = "this daemon issues no bills: add [billing], with the taxes that are due, to \
                       its configuration, and send it SIGHUP";
            let _ = reply.send(Reply::Error(why.to_owned()));
            return;
        };
        let by = by.clone();
        self.order(directory, Job { work: Work::Issue(billing), by, reply });
    }

    /// Bills are made like this from now on.
    pub(crate) fn set_billing(&mut self, billing: Option<Billing>) {
        if let Some(books) = &mut self.books {
            books.billing = billing;
        }
    }

    /// When the next proof is due; none if nobody could be charged, and nothing was lost.
    pub(crate) fn due(&self, engine: &Engine) -> Option<Instant> {
        let due = |books: &&Books| books.trouble.overflown || !engine.is_idle();
        self.books.as_ref().filter(due).map(|books| books.due)
    }

    /// Writes that all that runs is approved, if that is due; whatever was due by now must have
    /// been done. Books that lost records are begun anew instead: where nothing waits for the disk
    /// the writer has no news by which they would be.
    pub(crate) fn prove(&mut self, engine: &mut Engine, now: Now) {
        if self.books.as_ref().is_some_and(|books| now.at >= books.due) {
            self.prove_now(engine, now);
        }
    }

    /// As [`prove`](Self::prove), though it is not due: a period holds all that ran in it.
    fn prove_now(&mut self, engine: &mut Engine, now: Now) {
        let Some(books) = &mut self.books else { return };
        books.due = now.at + crate::engine::Span::from_millis(millis(books.proof));
        if books.trouble.overflown {
            if books.begin_anew(engine, now) {
                engine.books_opened();
            }
            return;
        }
        let at = engine.poll_timeout().map_or(now.at, |next| next.min(now.at));
        let alive = Body::Alive(Stamp { at_ms: at.as_millis(), wall_ms: clock::unix_ms() });
        if books.writer.note(&alive).is_ok() {
            self.counts.records += 1;
        }
    }

    /// Closes a period of the ledger in `directory` for an operator, and replies when that is
    /// durable.
    pub(crate) fn close_period(
        &mut self,
        engine: &mut Engine,
        now: Now,
        (directory, by): (&Path, &Actor),
        reply: oneshot::Sender<Reply>,
    ) {
        let kept = self.books.as_ref().map(|books| books.directory.as_path());
        if let Some(why) = periods::other_books(kept, directory) {
            let _ = reply.send(Reply::Error(why));
            return;
        }
        self.prove_now(engine, now);
        if let Some(books) = &mut self.books {
            books.periods.ask(by, reply, books.trouble.any());
            books.close_period(engine, now);
        }
    }

    /// Writes that the daemon stops, and waits until all is durable.
    pub(crate) fn stop(&mut self, engine: &mut Engine, now: Now) -> Result<(), Unwritten> {
        let Some(mut books) = self.books.take() else { return Ok(()) };
        let stamp = Stamp { at_ms: now.at.as_millis(), wall_ms: clock::unix_ms() };
        let _ = books.writer.note(&Body::Stopped(stamp));
        books.writer.stop()?;
        while let Ok(event) = books.events.try_recv() {
            if let Event::Durable(id) = event {
                engine.handle_recorded(RecordId(id));
            }
        }
        Ok(())
    }

    /// What was counted.
    pub(crate) fn counts(&self) -> Counts {
        let Some(books) = &self.books else { return self.counts };
        let waiting = books.writer.waiting().unwrap_or_default();
        Counts { open: !books.trouble.any(), waiting_s: waiting.as_secs(), ..self.counts }
    }
}

impl Books {
    fn open(config: &Config, directory: &Path, now: Now) -> Result<Self, String> {
        let Ledger { hold_s, proof_ms, segment_bytes, .. } = config.ledger;
        let options = Options { segment_bytes, ..Options::default() };
        let journal =
            Journal::open(directory, options).map_err(|error| named(directory, &error))?;
        let last = journal.last();
        tracing::info!(
            directory = %directory.display(),
            records = last.number,
            orderly = last.orderly,
            "the ledger is open"
        );
        if let Some(torn) = &last.torn {
            tracing::error!(
                record = torn.number,
                bytes = torn.bytes,
                kept_in = %torn.file.display(),
                "the end of the ledger was torn; it was not acknowledged, and is put aside"
            );
        }
        let boot = clock::boot_id().map_err(|error| error.to_string())?;
        let started = Started {
            node: config.daemon.name.clone(),
            program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            boot: boot.to_be_bytes(),
            currency: config.charging.as_ref().map_or(0, |charging| charging.currency.numeric()),
            hold_ms: u64::from(hold_s).saturating_mul(1_000),
            stamp: Stamp { at_ms: 0, wall_ms: 0 },
        };
        let (sender, events) = mpsc::unbounded_channel();
        let writer = Writer::start(journal, Settings::default(), sender)
            .map_err(|error| format!("cannot start the ledger's thread: {error}"))?;
        let proof = Duration::from_millis(proof_ms.into());
        let trouble = Trouble::default();
        let mut books = Self {
            writer,
            events,
            started,
            proof,
            due: now.at,
            trouble,
            past: Past::Waiting,
            periods: Periods::default(),
            directory: directory.to_owned(),
            billing: config.billing.clone(),
            desk: Desk::default(),
            waiting: VecDeque::new(),
            orders: VecDeque::new(),
            behind_start: None,
        };
        books.start(now).map_err(|error| format!("the ledger takes no record: {error}"))?;
        Ok(books)
    }

    fn answer(&mut self, durable: RecordId) {
        while self.waiting.front().is_some_and(|(record, ..)| *record <= durable) {
            if let Some((_, reply, said)) = self.waiting.pop_front() {
                let _ = reply.send(said);
            }
        }
    }

    /// Keeps what an operator ordered, if a record that is not taken is that.
    fn keep(&mut self, id: RecordId, body: &Body) {
        if matches!(body, Body::Operator(_) | Body::Contra(_) | Body::Dispute(_)) {
            self.orders.push_back((id, body.clone()));
        }
    }

    /// Tells whoever waits for a record that it will never be durable.
    fn refuse(&mut self, record: RecordId, why: &str) {
        let Some(at) = self.waiting.iter().position(|(waits, ..)| *waits == record) else { return };
        if let Some((_, reply, _)) = self.waiting.remove(at) {
            let _ = reply.send(Reply::Error(format!("the ledger cannot take this: {why}")));
        }
    }

    /// Writes a start, and behind it what operators ordered that was not taken.
    fn start(&mut self, now: Now) -> Result<(), SubmitError> {
        self.started.stamp = Stamp { at_ms: now.at.as_millis(), wall_ms: clock::unix_ms() };
        let start = Body::Started(self.started.clone());
        let bodies = std::iter::once(&start).chain(self.orders.iter().map(|(_, body)| body));
        self.writer.submit_all(START, bodies)?;
        self.desk.submitted(RecordId(START), &start);
        for (id, body) in self.orders.drain(..) {
            self.desk.submitted(id, &body);
            self.behind_start = Some(id);
        }
        Ok(())
    }

    /// Reads what was charged before this start, in a thread of its own.
    fn read_past(&mut self) {
        let Past::Waiting = &self.past else { return };
        let (directory, stamp) = (self.directory.clone(), self.started.stamp);
        let (sender, receiver) = oneshot::channel();
        let thread = std::thread::Builder::new().name("past".to_owned());
        let spawned = thread.spawn(move || {
            let _ = sender.send(past(&directory, stamp));
        });
        self.past = Past::Reading(receiver);
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread to read the ledger with");
        }
    }

    /// Writes the end of the period that was asked for, once its number is known, and who asked.
    fn close_period(&mut self, engine: &mut Engine, now: Now) {
        let Some(number) = self.periods.due() else { return };
        let stamp = Stamp { at_ms: now.at.as_millis(), wall_ms: clock::unix_ms() };
        match self.writer.note(&Body::Period(Period { number, stamp })) {
            Ok(()) => {
                if let Some(by) = self.periods.submitted(number) {
                    let did = format!("closed period {number} of the ledger");
                    engine.operator_did(&by, stamp.wall_ms, did);
                }
            }
            Err(error) => self.periods.refuse(&error.to_string()),
        }
    }

    /// A period is closed, and its bills are issued.
    fn bill(&mut self) {
        let Some(billing) = self.billing.clone() else { return };
        let by = Actor { uid: nix::unistd::geteuid().as_raw(), name: "lcm-daemon".to_owned() };
        // Nobody waits: the log and `lcmctl bill list` tell.
        let (reply, _) = oneshot::channel();
        self.desk.ask(Job { work: Work::Issue(billing), by, reply });
        self.desk.work(&self.directory);
    }

    /// Begins the books anew if some records were lost and the disk is well: what ran then counts
    /// up to the last proof, and what runs is declared anew. False if nothing came of it.
    fn begin_anew(&mut self, engine: &mut Engine, now: Now) -> bool {
        let only_overflown = Trouble { overflown: true, ..Trouble::default() };
        if self.trouble != only_overflown || self.start(now).is_err() {
            return false;
        }
        self.trouble.overflown = false;
        engine.declare(now);
        true
    }
}

impl Past {
    async fn read(&mut self) -> Result<Before, String> {
        match self {
            Self::Reading(result) => match result.await {
                Ok(past) => past,
                Err(_) => Err("the thread that read it ended".to_owned()),
            },
            _ => pending().await,
        }
    }
}

/// Replays the journal up to the start at `until`, which closes what ran before.
fn past(directory: &Path, until: Stamp) -> Result<Before, String> {
    let mut walk = Walk::new(directory, Expected::default()).map_err(|e| e.to_string())?;
    loop {
        match walk.step().map_err(|e| e.to_string())? {
            Some((_, Body::Started(started), _)) if started.stamp == until => break,
            Some(_) => {}
            None => return Err("the record of this start is not in it".to_owned()),
        }
    }
    let mut balances = Balances::new();
    for (account, received) in walk.replay().accounts() {
        if let Account::Neighbour(neighbour, _) = account {
            let owed = balances.entry(neighbour.address).or_default();
            *owed = received.checked_neg().and_then(|paid| owed.checked_add(paid)).unwrap_or(*owed);
        }
    }
    let standings = walk.replay().standings();
    let of = |(holder, known): (&Holder, &Standing)| {
        ((holder.clone(), known.terms.clone(), known.closed), known.kept)
    };
    let accounts = standings.map(of).collect();
    Ok(Before { balances, accounts, period: walk.replay().last_period().unwrap_or_default() })
}

fn named(directory: &Path, error: &OpenError) -> String {
    format!("ledger.directory = {:?}: {error}", directory.display().to_string())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
