//! What of the journal is one holder's, in a span.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use super::book::{Row, billed_to};
use super::funds::{Moves, is_charged};
use super::lines::Part;
use super::pieces::{Extent, Piece, RUNS, Refund, Wait};
use super::{Disputed, FlowLine, SessionLine, Statement};
use crate::config::Currency;
use crate::ledger::record::{AccountId, Arises, Body, Cause, Flow, Meter, Runs};
use crate::ledger::replay::{Account, AccountRef, Applied, Posting, Replay};
use crate::ledger::verify::{Expected, Unsound, Walk};
use crate::purse::Holder;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Query {
    /// Whose statement.
    pub holder: Holder,
    /// From when on, in milliseconds since 1970; from the beginning without it.
    pub from_ms: Option<u64>,
    /// Until when; to the end of the last period that was closed without it.
    pub to_ms: Option<u64>,
    /// A period by its number, instead.
    pub period: Option<u64>,
    /// It may reach beyond the last period that was closed.
    pub provisional: bool,
    /// 0: sessions; 1: flows and rates too; 2: where charges arose too.
    pub detail: u8,
}

/// Why there is no statement.
#[derive(Debug)]
pub enum Refused {
    /// The journal is not sound.
    Unsound(Unsound),
    /// The span is not closed.
    Open {
        /// The number of the last period that was closed, and when it ended.
        last: Option<(u64, u64)>,
    },
    /// There is no such period.
    NoSuchPeriod(u64),
    /// It ends before it begins.
    Backwards,
    /// The records of the span were put away.
    PutAway,
    /// The record that says which flow a posting is about was put away by a program that did not
    /// carry it on.
    Nameless {
        /// The flow's number.
        flow: u64,
        /// Record that opened the posting.
        posting: u64,
    },
    /// Nobody of this name ever paid or was paid here.
    Nobody(Holder),
}

impl std::error::Error for Refused {}

impl From<Unsound> for Refused {
    fn from(unsound: Unsound) -> Self {
        Self::Unsound(unsound)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsound(unsound) => write!(f, "{unsound}; no statement is drawn from it"),
            Self::Open { last: None } => f.write_str(
                "no period is closed yet: close one with `lcmctl ledger close-period`, or add \
                 --provisional for what may still change",
            ),
            Self::Open { last: Some((number, at_ms)) } => write!(
                f,
                "the span is not closed: the last period, {number}, ended at {}; close another \
                 with `lcmctl ledger close-period`, end the statement there with --to, or add \
                 --provisional for what may still change",
                super::render::instant(*at_ms)
            ),
            Self::NoSuchPeriod(number) => write!(
                f,
                "period {number} is not closed: close it with `lcmctl ledger close-period`"
            ),
            Self::Backwards => f.write_str("--to lies before --from: exchange them"),
            Self::PutAway => f.write_str(
                "records of this time were put away: draw this from the backup that has them",
            ),
            Self::Nameless { flow, posting } => write!(
                f,
                "posting {posting} is about flow {flow}, and the record that says which that is was put \
                 away: draw the statement from the backup that has it"
            ),
            Self::Nobody(holder) => write!(
                f,
                "{holder} never paid or was paid here: `lcmctl ledger verify --accounts` lists who \
                 did"
            ),
        }
    }
}

/// A flow of one run, in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Names {
    session: String,
    sender: String,
}

/// Which postings are a holder's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those that are billed to it.
    Billed,
    /// All with the neighbour of its address.
    Address,
}

/// What of all that was posted is on a statement.
#[derive(Debug)]
enum Select {
    /// What a period told, by its place.
    Period(usize),
    /// What is dated from an instant to before another.
    Span(u64, u64),
    /// The rows of a bill, by the record that opened the posting; and what was disputed as it was
    /// issued: on no bill, and on one.
    Rows(HashMap<u64, Vec<Row>>, Vec<(u64, i128, i128)>),
}

/// What of all that was posted is on a statement, and which instants it shows.
#[derive(Debug)]
pub(super) struct Cut {
    from_ms: u64,
    to_ms: u64,
    select: Select,
}

impl Cut {
    /// The rows of a bill, or of a credit note.
    pub(super) fn rows(
        (from_ms, to_ms): (u64, u64),
        rows: Vec<Row>,
        disputed: Vec<(u64, i128, i128)>,
    ) -> Self {
        let mut by_record: HashMap<u64, Vec<Row>> = HashMap::new();
        for row in rows {
            by_record.entry(row.record).or_default().push(row);
        }
        Self { from_ms, to_ms, select: Select::Rows(by_record, disputed) }
    }
}

#[derive(Debug)]
pub(super) struct Gathered {
    whose: Whose,
    names: HashMap<u64, Rc<Names>>,
    flows: BTreeMap<Rc<Names>, BTreeMap<u64, Piece>>,
    /// The flow of each piece.
    of: HashMap<u64, Rc<Names>>,
    /// Pieces of which something is not told yet.
    fresh: BTreeSet<u64>,
    began: HashMap<u64, &'static str>,
    running: HashSet<Meter>,
    reasons: BTreeMap<u64, String>,
    periods: Vec<Extent>,
    /// What was put away: the last period of it, and when that ended.
    before: (u64, u64),
    /// By the wall clock, the last end of anything.
    latest_ms: u64,
    node: String,
    known: bool,
    /// A flow that no record names, and a posting of it.
    nameless: Option<(u64, u64)>,
    moves: Moves,
    /// Where the charges of each meter arise since the segment that runs began, or before.
    arises: HashMap<Meter, Vec<Rc<Arises>>>,
}

/// Draws the statement that is asked for.
///
/// # Errors
/// If the journal is not sound, or the span is not closed.
pub fn gather(dir: &Path, query: &Query) -> Result<Statement, Refused> {
    gather_of(dir, query, Whose::Billed)
}

pub(super) fn gather_of(dir: &Path, query: &Query, whose: Whose) -> Result<Statement, Refused> {
    let mut walk = Walk::new(dir, Expected::default())?;
    let mut all = Gathered::new(walk.flows(), walk.replay(), query, whose);
    while let Some((number, body, applied)) = walk.step()? {
        all.take_record(walk.replay(), query, number, &body, &applied);
    }
    let verified = walk.end()?;
    let replay = &verified.replay;
    all.take_running(replay, query);
    let (cut, provisional) = all.cut(query, replay)?;
    all.named()?;
    if !all.known && !all.moves.any() {
        return Err(Refused::Nobody(query.holder.clone()));
    }
    Ok(all.statement(query, replay, &cut, provisional))
}

impl Gathered {
    /// Begins with books, and flows named before: what runs was told up to here.
    pub(super) fn new(flows: &[Flow], replay: &Replay, query: &Query, whose: Whose) -> Self {
        let ended = replay.period_ended();
        let before = ended.map_or((0, 0), |(number, moment)| (number, moment.stamp.wall_ms));
        let mut new = Self {
            whose,
            names: flows.iter().map(|flow| (flow.flow, Rc::new(named(flow)))).collect(),
            flows: BTreeMap::new(),
            of: HashMap::new(),
            fresh: BTreeSet::new(),
            // Why it began was put away.
            began: replay.open().map(|open| (open.number, "earlier")).collect(),
            running: replay.open().map(|open| open.meter).collect(),
            reasons: BTreeMap::new(),
            periods: Vec::new(),
            before,
            latest_ms: 0,
            node: String::new(),
            known: false,
            nameless: None,
            moves: Moves::new(replay, &query.holder),
            arises: HashMap::new(),
        };
        new.take_open(replay, query);
        new.fresh.clear();
        let pieces = new.flows.values_mut().flat_map(BTreeMap::values_mut);
        pieces.for_each(Piece::told_before);
        new
    }

    /// Takes a record and what it came to; the books stand behind it.
    pub(super) fn take_record(
        &mut self,
        replay: &Replay,
        query: &Query,
        number: u64,
        body: &Body,
        applied: &Applied,
    ) {
        let ended = ended(body);
        for posting in applied.postings() {
            self.post(replay, query, posting, ended);
        }
        if let Body::Refund(refund) = body {
            let at_ms = replay.dated(refund.at_ms).map_or(0, |stamp| stamp.wall_ms);
            for (of, amount) in applied.returned() {
                self.give_back((number, *of), at_ms, *amount);
            }
        }
        if let Body::Period(period) = body {
            let from_ms = self.last().1;
            // Where the clock was set back it ends a millisecond after it began.
            let to_ms = period.stamp.wall_ms.max(from_ms.saturating_add(1));
            self.take_open(replay, query);
            self.tell(Extent { number: period.number, from_ms, to_ms });
        }
        self.note(query, number, body);
    }

    /// Takes what runs, up to the last instant that is proved, and tells what no period did.
    pub(super) fn take_running(&mut self, replay: &Replay, query: &Query) {
        self.take_open(replay, query);
        let (number, from_ms) = self.last();
        let number = number.saturating_add(1);
        self.tell(Extent { number, from_ms, to_ms: u64::MAX });
    }

    /// Whether all flows of what was taken are known by name.
    pub(super) fn named(&self) -> Result<(), Refused> {
        match self.nameless {
            Some((flow, posting)) => Err(Refused::Nameless { flow, posting }),
            None => Ok(()),
        }
    }

    /// The last period that ended, and when.
    fn last(&self) -> (u64, u64) {
        self.periods.last().map_or(self.before, |period| (period.number, period.to_ms))
    }

    /// When a period ended, by the wall clock.
    pub(super) fn ended_ms(&self, number: u64) -> Option<u64> {
        let (put_away, ended_ms) = self.before;
        let known = self.periods.iter().find(|period| period.number == number);
        let ended = known.map(|period| period.to_ms);
        ended.or((put_away > 0 && put_away == number).then_some(ended_ms))
    }

    fn take_open(&mut self, replay: &Replay, query: &Query) {
        for open in replay.open() {
            let ms = u64::try_from(open.amount / u128::from(open.rate.max(1))).unwrap_or(u64::MAX);
            let began = self.began.get(&open.number).copied().unwrap_or("terms");
            let span = (open.from.wall_ms, ms);
            let piece = Piece::new(open.number, open.meter.payment, open.rate, span, (began, RUNS));
            let piece = self.arisen(piece, &open.meter, open.from.at_ms);
            self.take(replay, query, open.meter.flow, (open.debit, open.credit), piece);
        }
    }

    fn post(&mut self, replay: &Replay, query: &Query, posting: &Posting, ended: &'static str) {
        let began = match posting.gap {
            true => "gap after a lapse",
            false => self.began.remove(&posting.number).unwrap_or("terms"),
        };
        let ms = posting.to.at_ms.saturating_sub(posting.from.at_ms);
        let (payment, span) = (posting.meter.payment, (posting.from.wall_ms, ms));
        let piece = Piece::new(posting.number, payment, posting.rate, span, (began, ended));
        let piece = self.arisen(piece, &posting.meter, posting.from.at_ms);
        self.take(replay, query, posting.meter.flow, (posting.debit, posting.credit), piece);
    }

    /// Forgets what was told of a meter before what was told last, as a segment begins.
    fn told_before(&mut self, runs: &Runs) {
        let Some(told) = self.arises.get_mut(&runs.meter) else { return };
        let later = told.iter().rposition(|arises| arises.at_ms <= runs.at_ms).unwrap_or(0);
        told.drain(..later);
    }

    /// A piece with what was told of where it arises.
    fn arisen(&self, mut piece: Piece, meter: &Meter, from_ms: u64) -> Piece {
        let told = self.arises.get(meter).into_iter().flatten();
        let since = |arises: &Rc<Arises>| (arises.at_ms.saturating_sub(from_ms), Rc::clone(arises));
        piece.arises.extend(told.map(since));
        piece
    }

    /// Takes a piece, or what it has come to since. Those of others show where charges arose.
    fn take(
        &mut self,
        replay: &Replay,
        query: &Query,
        flow: u64,
        sides: (AccountRef, AccountRef),
        mut piece: Piece,
    ) {
        self.latest_ms = self.latest_ms.max(piece.from_ms.saturating_add(piece.ms));
        let record = piece.record;
        if let Some(names) = self.of.get(&record) {
            let known = self.flows.get_mut(names).and_then(|pieces| pieces.get_mut(&record));
            if let Some(known) = known {
                (known.ms, known.ended) = (piece.ms, piece.ended);
                known.arises = piece.arises;
                self.fresh.insert(record);
            }
            return;
        }
        if let Some(owes) = self.theirs(replay, query, sides, record) {
            self.known = true;
            (piece.theirs, piece.owes) = (true, owes);
            piece.charged = owes && is_charged(replay, &query.holder, sides.0, record);
        } else if query.detail < 2 {
            return;
        }
        let Some(names) = self.names.get(&flow) else {
            self.nameless.get_or_insert((flow, record));
            return;
        };
        self.of.insert(record, Rc::clone(names));
        self.fresh.insert(record);
        self.flows.entry(Rc::clone(names)).or_default().insert(record, piece);
    }

    /// Whether a posting is on the statement, and if so, whether they pay it.
    fn theirs(
        &mut self,
        replay: &Replay,
        query: &Query,
        (debit, credit): (AccountRef, AccountRef),
        record: u64,
    ) -> Option<bool> {
        for (place, owes) in [(debit, true), (credit, false)] {
            let Some(account) = replay.account(place) else { continue };
            let address = is_of(&query.holder, account);
            self.known |= address;
            let theirs = match self.whose {
                Whose::Address => address,
                Whose::Billed => billed_to(replay, account, record).as_ref() == Some(&query.holder),
            };
            if theirs {
                return Some(owes);
            }
        }
        None
    }

    /// A period ends: what was not told before is told in it.
    fn tell(&mut self, period: Extent) {
        let place = self.periods.len();
        self.periods.push(period);
        self.moves.tell(place);
        for record in std::mem::take(&mut self.fresh) {
            let Some(names) = self.of.get(&record) else { continue };
            let pieces = self.flows.get_mut(names);
            let Some(piece) = pieces.and_then(|pieces| pieces.get_mut(&record)) else { continue };
            let disputed = self.reasons.get(&record);
            piece.tell(place, disputed);
            if disputed.is_some() {
                self.fresh.insert(record);
            }
        }
    }

    fn note(&mut self, query: &Query, number: u64, body: &Body) {
        match body {
            Body::Started(started) => {
                self.names.clear();
                self.running.clear();
                self.arises.clear();
                self.node.clone_from(&started.node);
            }
            Body::Flow(flow) => drop(self.names.insert(flow.flow, Rc::new(named(flow)))),
            Body::Runs(runs) if runs.rate > 0 => {
                self.told_before(runs);
                let new = self.running.insert(runs.meter);
                self.began.insert(number, if new { "began" } else { "rate changed" });
            }
            Body::Runs(runs) => drop(self.running.remove(&runs.meter)),
            Body::Contra(contra) => {
                self.give_back((number, contra.of), contra.wall_ms, contra.amount)
            }
            Body::Dispute(dispute) => {
                if dispute.open {
                    self.reasons.insert(dispute.of, dispute.reason.clone());
                } else {
                    self.reasons.remove(&dispute.of);
                }
                self.fresh.insert(dispute.of);
            }
            Body::Arises(arises) if query.detail > 1 => {
                self.arises.entry(arises.meter).or_default().push(Rc::new(arises.clone()));
            }
            Body::Operator(operator) => self.moves.note(number, operator, &query.holder),
            Body::Consent(consent) => {
                let payer = Account::Neighbour(consent.payer, Some(consent.account.clone()));
                self.known |= is_of(&query.holder, &payer);
            }
            _ => {}
        }
    }

    /// Notes what is given back of a posting.
    fn give_back(&mut self, (record, of): (u64, u64), at_ms: u64, amount: u128) {
        let pieces = self.of.get(&of).and_then(|names| self.flows.get_mut(names));
        let Some(piece) = pieces.and_then(|pieces| pieces.get_mut(&of)) else { return };
        let amount = i128::try_from(amount).unwrap_or(i128::MAX);
        let amount = if piece.owes { -amount } else { amount };
        piece.refunds.push(Refund { record, at_ms, amount, period: None, seen: None });
        // A span ends before its last instant.
        self.latest_ms = self.latest_ms.max(at_ms.saturating_add(1));
        self.fresh.insert(of);
    }

    /// What is asked for, and whether it may change.
    fn cut(&self, query: &Query, replay: &Replay) -> Result<(Cut, bool), Refused> {
        let (put_away, begins_ms) = self.before;
        let closed = self.periods.split_last().map_or(&[][..], |(_, closed)| closed);
        if let Some(number) = query.period {
            if number <= put_away {
                return Err(Refused::PutAway);
            }
            let found = closed.iter().position(|period| period.number == number);
            let place = found.ok_or(Refused::NoSuchPeriod(number))?;
            let Some(period) = closed.get(place) else { return Err(Refused::NoSuchPeriod(number)) };
            let Extent { from_ms, to_ms, .. } = *period;
            return Ok((Cut { from_ms, to_ms, select: Select::Period(place) }, false));
        }
        let last = closed.last().map(|last| (last.number, last.to_ms));
        let last = last.or((put_away > 0).then_some(self.before));
        let closed_ms = last.map_or(0, |(_, at_ms)| at_ms);
        // By the wall clock a segment may end a millisecond after the stamp that proves it.
        let proved = replay.proved().map_or(0, |moment| moment.stamp.wall_ms);
        let proved = proved.max(self.latest_ms).max(closed_ms);
        let to_ms = query.to_ms.unwrap_or(if query.provisional { proved } else { closed_ms });
        let from_ms = query.from_ms.unwrap_or(0);
        if to_ms < from_ms {
            return Err(Refused::Backwards);
        }
        if (last.is_none() || to_ms > closed_ms) && !query.provisional {
            return Err(Refused::Open { last });
        }
        if put_away > 0 && from_ms < begins_ms {
            return Err(Refused::PutAway);
        }
        let all = query.provisional && query.to_ms.is_none();
        let until = if all { u64::MAX } else { to_ms };
        let select = Select::Span(from_ms, until);
        Ok((Cut { from_ms, to_ms, select }, all || to_ms > closed_ms))
    }

    pub(super) fn statement(
        self,
        query: &Query,
        replay: &Replay,
        cut: &Cut,
        provisional: bool,
    ) -> Statement {
        let mut sessions: BTreeMap<String, SessionLine> = BTreeMap::new();
        let (mut disputed, mut charged) = (Vec::new(), 0);
        for (names, pieces) in &self.flows {
            let mut line = FlowLine::new(&names.sender, query.detail);
            for piece in pieces.values() {
                charged += self.add_piece(&mut line, piece, cut, query.detail);
                let waits = self.waits(piece, cut).filter(|_| piece.theirs);
                disputed.extend(waits.map(|Wait { amount, earlier, reason }| {
                    let (record, session) = (piece.record, names.session.clone());
                    Disputed { record, session, amount, earlier, reason }
                }));
            }
            if line.ms == 0 && line.returned.is_empty() {
                continue;
            }
            let session = sessions.entry(names.session.clone());
            session.or_insert_with(|| SessionLine::new(&names.session)).take(line, query.detail);
        }
        let until_ms = match cut.select {
            Select::Span(_, until_ms) => until_ms,
            Select::Period(_) | Select::Rows(..) => cut.to_ms,
        };
        let pieces = self.flows.values().flat_map(BTreeMap::values);
        let funds = self.moves.over((cut.from_ms, until_ms), pieces, &self.periods);
        let currency = replay.currency().and_then(Currency::from_numeric);
        Statement {
            account: query.holder.to_string(),
            node: self.node,
            currency: currency.map_or_else(String::new, |known| known.alphabetic().to_owned()),
            digits: currency.map_or(2, Currency::digits),
            from_ms: cut.from_ms,
            to_ms: cut.to_ms,
            period: query.period,
            provisional,
            sessions: sessions.into_values().collect(),
            disputed,
            charged,
            funds,
            through_record: replay.last(),
            document: None,
        }
    }

    /// Adds what of a piece is on the statement; what of that was charged to the account.
    fn add_piece(&self, line: &mut FlowLine, piece: &Piece, cut: &Cut, detail: u8) -> i128 {
        let (from, to, ended) = match &cut.select {
            Select::Rows(rows, _) if piece.theirs => return line.add_rows(piece, rows, detail),
            Select::Rows(..) => self.spanned(piece, (cut.from_ms, cut.to_ms)),
            Select::Period(place) => piece.in_period(*place),
            Select::Span(from_ms, to_ms) => self.spanned(piece, (*from_ms, *to_ms)),
        };
        let mut charged = line.add(piece, Part { from, to, ended }, detail);
        for refund in piece.refunds.iter().filter(|refund| self.counts(refund, cut)) {
            let by = Some((refund.record, refund.at_ms));
            charged += line.give_back(piece, refund.amount, by);
        }
        charged
    }

    /// What of a piece is told and dated in a span, and why it had ended by then.
    fn spanned(&self, piece: &Piece, (from_ms, to_ms): (u64, u64)) -> (u64, u64, &'static str) {
        let to = piece.before(to_ms, &self.periods);
        let ended = if to < piece.ms { RUNS } else { piece.ended };
        (piece.before(from_ms, &self.periods), to, ended)
    }

    fn counts(&self, refund: &Refund, cut: &Cut) -> bool {
        let Some(place) = refund.period else { return false };
        match cut.select {
            Select::Period(wanted) => place == wanted,
            Select::Span(from_ms, to_ms) => self
                .periods
                .get(place)
                .is_some_and(|period| (from_ms..to_ms).contains(&period.dated(refund.at_ms))),
            Select::Rows(..) => false,
        }
    }

    /// What is disputed at the end of the last period that is on the statement, or as the bill is
    /// issued.
    fn waits(&self, piece: &Piece, cut: &Cut) -> Option<Wait> {
        let last = match &cut.select {
            Select::Period(place) => Some(*place),
            Select::Span(_, to_ms) => self.periods.iter().rposition(|p| p.from_ms < *to_ms),
            Select::Rows(_, disputed) => {
                let known = disputed.iter().find(|(record, ..)| *record == piece.record);
                let reason = self.reasons.get(&piece.record).cloned().unwrap_or_default();
                return known.map(|(_, amount, earlier)| Wait {
                    amount: *amount,
                    earlier: *earlier,
                    reason,
                });
            }
        };
        piece.waits.iter().find(|(place, _)| Some(*place) == last).map(|(_, wait)| wait.clone())
    }
}

/// Why a record ends the segments that it closes.
fn ended(body: &Body) -> &'static str {
    match body {
        Body::Runs(runs) => match runs.cause {
            Cause::Terms if runs.rate > 0 => "rate changed",
            Cause::Terms => "not billed",
            Cause::Lapsed => "approval lapsed",
            Cause::Ended => "ended",
            Cause::Exhausted => "money used up",
        },
        Body::Started(_) => "crash",
        Body::Stopped(_) => "stop",
        _ => "gap",
    }
}

fn named(flow: &Flow) -> Names {
    let session = flow.session().map(|session| {
        let to = std::net::SocketAddr::new(session.destination, session.destination_port);
        match session.protocol {
            17 => format!("udp:{to}"),
            6 => format!("tcp:{to}"),
            other => format!("{other}:{to}"),
        }
    });
    let sender = flow.sender().map(|sender| sender.to_string());
    Names {
        session: session.unwrap_or_else(|_| "unknown".to_owned()),
        sender: sender.unwrap_or_else(|_| "unknown".to_owned()),
    }
}

/// Whether an account of the journal is a holder's.
fn is_of(holder: &Holder, account: &Account) -> bool {
    match (holder, account) {
        (Holder::Neighbour(address), Account::Neighbour(neighbour, _)) => {
            neighbour.address == *address
        }
        (Holder::Customer(own), Account::Neighbour(_, Some(named))) => {
            let named: &AccountId = named;
            own == named
        }
        _ => false,
    }
}
