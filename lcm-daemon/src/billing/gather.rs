//! What of the journal is one holder's, in a span.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use super::book::Row;
use super::{Arose, Disputed, FlowLine, SegmentLine, SessionLine, Statement};
use crate::config::Currency;
use crate::ledger::record::{AccountId, Body, Cause, Payment};
use crate::ledger::replay::{Account, AccountRef, Applied, Posting, Replay, name};
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
                "the records of this span were put away: draw the statement from the backup that \
                 has them",
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

/// A segment that closed, or runs.
#[derive(Debug, Clone)]
struct Piece {
    record: u64,
    payment: Payment,
    rate: u64,
    from_ms: u64,
    ms: u64,
    theirs: bool,
    began: &'static str,
    ended: &'static str,
}

#[derive(Debug, Default)]
struct FlowSums {
    pieces: Vec<Piece>,
    /// Posting, instant by the wall clock, and amount.
    refunds: Vec<(u64, u64, u128)>,
}

/// What of all that was posted is on a statement.
#[derive(Debug)]
pub(super) struct Cut {
    from_ms: u64,
    to_ms: u64,
    /// Of a bill its very rows, by the record that opened the posting.
    rows: Option<HashMap<u64, Vec<Row>>>,
}

impl Cut {
    /// What lies in a span.
    fn span((from_ms, to_ms): (u64, u64)) -> Self {
        Self { from_ms, to_ms, rows: None }
    }

    /// The rows of a bill.
    pub(super) fn rows((from_ms, to_ms): (u64, u64), rows: Vec<Row>) -> Self {
        let mut by_record: HashMap<u64, Vec<Row>> = HashMap::new();
        for row in rows {
            by_record.entry(row.record).or_default().push(row);
        }
        Self { from_ms, to_ms, rows: Some(by_record) }
    }
}

#[derive(Debug, Default)]
pub(super) struct Gathered {
    names: HashMap<u64, Names>,
    flows: BTreeMap<Names, FlowSums>,
    /// The flow of each posting of the holder, and what it came to.
    of: BTreeMap<u64, (Names, bool)>,
    began: HashMap<u64, &'static str>,
    running: HashMap<crate::ledger::record::Meter, ()>,
    reasons: BTreeMap<u64, String>,
    periods: Vec<(u64, u64)>,
    node: String,
    known: bool,
}

/// Draws the statement that is asked for.
///
/// # Errors
/// If the journal is not sound, or the span is not closed.
pub fn gather(dir: &Path, query: &Query) -> Result<Statement, Refused> {
    let first = crate::ledger::backup::segments(dir).ok().and_then(|all| all.first().copied());
    let mut walk = Walk::new(dir, Expected::default())?;
    let mut all = Gathered::default();
    while let Some((number, body, applied)) = walk.step()? {
        all.take_record(walk.replay(), query, number, &body, &applied);
    }
    let verified = walk.end()?;
    let replay = &verified.replay;
    all.take_running(replay, query);
    let (from_ms, to_ms, provisional) = all.span(query, replay)?;
    if first.is_some_and(|first| first > 1) && query.from_ms.is_none() && query.period.is_none() {
        return Err(Refused::PutAway);
    }
    if !all.known {
        return Err(Refused::Nobody(query.holder.clone()));
    }
    Ok(all.statement(query, replay, &Cut::span((from_ms, to_ms)), provisional))
}

impl Gathered {
    /// Takes a record and what it came to; the books stand behind it.
    pub(super) fn take_record(
        &mut self,
        replay: &Replay,
        query: &Query,
        number: u64,
        body: &Body,
        applied: &Applied,
    ) {
        let ended = self.ended(body);
        for posting in applied.postings() {
            self.post(replay, query, posting, ended);
        }
        if let Body::Refund(refund) = body {
            let wall_ms = replay.dated(refund.at_ms).map_or(0, |stamp| stamp.wall_ms);
            for (of, amount) in applied.returned() {
                self.give_back(*of, wall_ms, *amount);
            }
        }
        self.note(query, number, body);
    }

    /// Takes what runs, up to the last instant that is proved.
    pub(super) fn take_running(&mut self, replay: &Replay, query: &Query) {
        for open in replay.open() {
            let posting = Piece {
                record: open.number,
                payment: open.meter.payment,
                rate: open.rate,
                from_ms: open.from.wall_ms,
                ms: u64::try_from(open.amount / u128::from(open.rate.max(1))).unwrap_or(u64::MAX),
                theirs: false,
                began: self.began.get(&open.number).copied().unwrap_or("terms"),
                ended: "runs",
            };
            self.take(replay, query, open.meter.flow, (open.debit, open.credit), posting);
        }
    }

    /// Why a record ends the segments that it closes.
    fn ended(&self, body: &Body) -> &'static str {
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

    fn note(&mut self, query: &Query, number: u64, body: &Body) {
        match body {
            Body::Started(started) => {
                self.names.clear();
                self.running.clear();
                self.node.clone_from(&started.node);
            }
            Body::Flow(flow) => {
                let session = flow.session().map(|session| {
                    let to =
                        std::net::SocketAddr::new(session.destination, session.destination_port);
                    let protocol = match session.protocol {
                        17 => "udp".to_owned(),
                        6 => "tcp".to_owned(),
                        other => other.to_string(),
                    };
                    format!("{protocol}:{to}")
                });
                let sender = flow.sender().map(|sender| sender.to_string());
                let names = Names {
                    session: session.unwrap_or_else(|_| "unknown".to_owned()),
                    sender: sender.unwrap_or_else(|_| "unknown".to_owned()),
                };
                self.names.insert(flow.flow, names);
            }
            Body::Runs(runs) if runs.rate > 0 => {
                let before = self.running.insert(runs.meter, ());
                let began = if before.is_some() { "rate changed" } else { "began" };
                self.began.insert(number, began);
            }
            Body::Runs(runs) => drop(self.running.remove(&runs.meter)),
            Body::Contra(contra) => {
                self.give_back(contra.of, contra.wall_ms, contra.amount);
            }
            Body::Dispute(dispute) if dispute.open => {
                self.reasons.insert(dispute.of, dispute.reason.clone());
            }
            Body::Dispute(dispute) => drop(self.reasons.remove(&dispute.of)),
            Body::Period(period) => self.periods.push((period.number, period.stamp.wall_ms)),
            _ => {}
        }
        if let Body::Consent(consent) = body {
            let payer = Account::Neighbour(consent.payer, Some(consent.account.clone()));
            self.known |= is_of(&query.holder, &payer);
        }
    }

    fn give_back(&mut self, of: u64, wall_ms: u64, amount: u128) {
        if let Some((names, _)) = self.of.get(&of) {
            let flow = self.flows.entry(names.clone()).or_default();
            flow.refunds.push((of, wall_ms, amount));
        }
    }

    fn post(&mut self, replay: &Replay, query: &Query, posting: &Posting, ended: &'static str) {
        let began = match posting.gap {
            true => "gap after a lapse",
            false => self.began.remove(&posting.number).unwrap_or("terms"),
        };
        let piece = Piece {
            record: posting.number,
            payment: posting.meter.payment,
            rate: posting.rate,
            from_ms: posting.from.wall_ms,
            ms: posting.to.at_ms.saturating_sub(posting.from.at_ms),
            theirs: false,
            began,
            ended,
        };
        self.take(replay, query, posting.meter.flow, (posting.debit, posting.credit), piece);
    }

    /// Takes a piece of any holder: what all of a flow paid shows where its charges arose.
    fn take(
        &mut self,
        replay: &Replay,
        query: &Query,
        flow: u64,
        (debit, credit): (AccountRef, AccountRef),
        mut piece: Piece,
    ) {
        let Some(names) = self.names.get(&flow).cloned() else { return };
        let is_theirs = |place| replay.account(place).is_some_and(|a| is_of(&query.holder, a));
        let sums = self.flows.entry(names.clone()).or_default();
        if is_theirs(debit) || is_theirs(credit) {
            self.known = true;
            piece.theirs = true;
            let owes = is_theirs(debit);
            self.of.insert(piece.record, (names, owes));
        }
        sums.pieces.push(piece);
    }

    /// The span that is asked for, and whether it may change.
    fn span(&self, query: &Query, replay: &Replay) -> Result<(u64, u64, bool), Refused> {
        let last = self.periods.last().copied();
        if let Some(number) = query.period {
            let found = self.periods.iter().find(|(known, _)| *known == number);
            let (_, to_ms) = *found.ok_or(Refused::NoSuchPeriod(number))?;
            let before =
                self.periods.iter().find(|(known, _)| known.checked_add(1) == Some(number));
            return Ok((before.map_or(0, |(_, at)| *at), to_ms, false));
        }
        let proved = replay.proved().map_or(0, |moment| moment.stamp.wall_ms);
        let closed = last.map_or(0, |(_, at_ms)| at_ms);
        // By the wall clock a segment may end a millisecond after the stamp that proves it.
        let pieces = self.flows.values().flat_map(|sums| &sums.pieces);
        let ended = pieces.map(|piece| piece.from_ms.saturating_add(piece.ms)).max();
        // What is given back stands as soon as it is written; a span ends before its last instant.
        let refunds = self.flows.values().flat_map(|sums| &sums.refunds);
        let returned = refunds.map(|(_, at_ms, _)| at_ms.saturating_add(1)).max();
        let proved = proved.max(ended.unwrap_or(0)).max(returned.unwrap_or(0));
        let to_ms = query.to_ms.unwrap_or(if query.provisional { proved } else { closed });
        let from_ms = query.from_ms.unwrap_or(0);
        if to_ms < from_ms {
            return Err(Refused::Backwards);
        }
        if (last.is_none() || to_ms > closed) && !query.provisional {
            return Err(Refused::Open { last });
        }
        Ok((from_ms, to_ms, to_ms > closed))
    }

    pub(super) fn statement(
        self,
        query: &Query,
        replay: &Replay,
        cut: &Cut,
        provisional: bool,
    ) -> Statement {
        let Cut { from_ms, to_ms, .. } = *cut;
        let mut sessions: BTreeMap<String, SessionLine> = BTreeMap::new();
        let mut disputed = Vec::new();
        for (names, sums) in &self.flows {
            let mut line = flow_line(names, query.detail);
            if let Some(rows) = &cut.rows {
                add_rows(&mut line, &sums.pieces, rows, query.detail);
            }
            let spanned = cut.rows.is_none();
            for piece in sums.pieces.iter().filter(|_| spanned) {
                let Some((from, ms)) = clip(piece, from_ms, to_ms) else { continue };
                let amount = i128::from(piece.rate) * i128::from(ms);
                arise(&mut line, piece.payment, amount);
                if !piece.theirs {
                    continue;
                }
                if let Some(reason) = self.reasons.get(&piece.record) {
                    let (session, reason) = (names.session.clone(), reason.clone());
                    disputed.push(Disputed { record: piece.record, session, amount, reason });
                    continue;
                }
                add(&mut line, piece, (from, ms, amount), query.detail);
            }
            for (of, at_ms, amount) in sums.refunds.iter().filter(|_| spanned) {
                let in_span = (from_ms..to_ms).contains(at_ms) && !self.reasons.contains_key(of);
                let owes = self.of.get(of).is_some_and(|(_, owes)| *owes);
                if in_span {
                    let amount = i128::try_from(*amount).unwrap_or(i128::MAX);
                    let amount = if owes { -amount } else { amount };
                    line.refunds += amount;
                    line.total += amount;
                }
            }
            if line.ms == 0 && line.refunds == 0 {
                continue;
            }
            let key = names.session.clone();
            let session = sessions.entry(key).or_insert_with(|| session_line(&names.session));
            session.ms = session.ms.saturating_add(line.ms);
            session.receiver += line.receiver;
            session.sender += line.shared;
            session.ours += line.ours;
            session.refunds += line.refunds;
            session.total += line.total;
            if query.detail > 0 {
                session.flows.push(line);
            }
        }
        let currency = replay.currency().and_then(Currency::from_numeric);
        Statement {
            account: query.holder.to_string(),
            node: self.node,
            currency: currency.map_or_else(String::new, |known| known.alphabetic().to_owned()),
            digits: currency.map_or(2, Currency::digits),
            from_ms,
            to_ms,
            period: query.period,
            provisional,
            sessions: sessions.into_values().collect(),
            disputed,
            through_record: replay.last(),
            document: None,
        }
    }
}

fn flow_line(names: &Names, detail: u8) -> FlowLine {
    FlowLine {
        sender: names.sender.clone(),
        ms: 0,
        receiver: 0,
        shared: 0,
        ours: 0,
        refunds: 0,
        total: 0,
        segments: Vec::new(),
        arose: (detail > 1).then(Arose::default),
    }
}

fn session_line(session: &str) -> SessionLine {
    SessionLine {
        session: session.to_owned(),
        ms: 0,
        receiver: 0,
        sender: 0,
        ours: 0,
        refunds: 0,
        total: 0,
        flows: Vec::new(),
    }
}

/// The part of a piece in a span: its beginning by the wall clock, and its milliseconds.
fn clip(piece: &Piece, from_ms: u64, to_ms: u64) -> Option<(u64, u64)> {
    // By the clock that does not jump, from the beginning on: parts of adjacent spans add up.
    let before = |instant: u64| instant.saturating_sub(piece.from_ms).min(piece.ms);
    let (skipped, until) = (before(from_ms), before(to_ms));
    let ms = until.saturating_sub(skipped);
    (ms > 0).then_some((piece.from_ms.saturating_add(skipped), ms))
}

fn arise(line: &mut FlowLine, payment: Payment, amount: i128) {
    let Some(arose) = &mut line.arose else { return };
    match payment {
        Payment::ReceiverIn | Payment::SenderIn => arose.received += amount,
        Payment::ReceiverOut | Payment::SenderOut => arose.passed_on += amount,
    }
    arose.here = arose.received - arose.passed_on;
}

fn add(line: &mut FlowLine, piece: &Piece, (from_ms, ms, amount): (u64, u64, i128), detail: u8) {
    let signed = match piece.payment {
        Payment::ReceiverIn => {
            line.receiver += amount;
            line.ms = line.ms.saturating_add(ms);
            amount
        }
        Payment::SenderIn => {
            line.shared += amount;
            amount
        }
        Payment::ReceiverOut | Payment::SenderOut => {
            line.ours -= amount;
            -amount
        }
    };
    if piece.payment != Payment::ReceiverIn && line.receiver == 0 {
        line.ms = line.ms.saturating_add(ms);
    }
    line.total += signed;
    if detail > 0 {
        line.segments.push(SegmentLine {
            record: piece.record,
            payment: name(piece.payment),
            rate: piece.rate,
            from_ms,
            to_ms: from_ms.saturating_add(ms),
            ms,
            amount: signed,
            began: piece.began,
            ended: piece.ended,
        });
    }
}

/// Adds the rows of a bill that are of a flow.
fn add_rows(line: &mut FlowLine, pieces: &[Piece], rows: &HashMap<u64, Vec<Row>>, detail: u8) {
    for piece in pieces {
        for row in rows.get(&piece.record).into_iter().flatten() {
            let ms = row.to_ms.saturating_sub(row.from_ms);
            if ms > 0 {
                let from_ms = piece.from_ms.saturating_add(row.from_ms);
                let amount = i128::from(piece.rate) * i128::from(ms);
                add(line, piece, (from_ms, ms, amount), detail);
            }
            let refund = i128::try_from(row.refund).unwrap_or(i128::MAX);
            line.refunds -= refund;
            line.total -= refund;
        }
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
