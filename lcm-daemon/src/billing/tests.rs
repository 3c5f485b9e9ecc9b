//! Journals made up from seeds: however they are cut into periods, and whatever is disputed or given
//! back, bills and credit notes come to what was posted, to the unit.

mod disputes;
mod funds;
mod spans;

use std::collections::BTreeMap;
use std::path::Path;

use rsvp_wire::object::{Filter, Session};

use super::*;
use crate::config::{Billing, Config};
use crate::ledger::journal::{Journal, Options};
use crate::ledger::record::{
    AccountId, Bill, BillOf, Body, Cause, Closed, Consent, Contra, Dispute, Flow, Interruption,
    Meter, Neighbour, Payment, Period, Refund, Runs, Stamp, Started,
};
use crate::ledger::replay::Replay;
use crate::purse::Holder;

/// A cent, in ledger units.
const CENT: i128 = 10_000_000_000_000;

/// What was posted, kept apart from the program's own books.
#[derive(Debug, Clone)]
struct Line {
    record: u64,
    customer: usize,
    rate: u64,
    from_ms: u64,
    to_ms: Option<u64>,
    returned: u128,
    disputed: bool,
}

impl Line {
    fn amount(&self) -> u128 {
        let ms = self.to_ms.map_or(0, |to| to - self.from_ms);
        u128::from(self.rate) * u128::from(ms)
    }

    fn stands(&self) -> i128 {
        (self.amount() - self.returned).cast_signed()
    }
}

struct Play {
    rng: fastrand::Rng,
    dir: tempfile::TempDir,
    journal: Journal,
    replay: Replay,
    billing: Billing,
    at_ms: u64,
    /// By so much the wall clock was set back.
    back_ms: u64,
    run: u8,
    /// The record that began it.
    first: u64,
    period: u64,
    lines: Vec<Line>,
    running: BTreeMap<usize, usize>,
    flow: u64,
}

fn billing() -> Billing {
    let text = "[ledger]\ndirectory = \"/books\"\n[billing]\nprefix = \"P\"\nissuer = [\"A & B\"]\n\
                taxes = [{ name = \"VAT\", percent = \"19\", from = \"2020-01-01\" }]\n";
    Config::parse(text, "test").unwrap().billing.unwrap()
}

fn neighbour(customer: usize) -> Neighbour {
    let last = u8::try_from(customer).unwrap();
    Neighbour { interface: 1, address: [192, 0, 2, last].into() }
}

fn customer(number: usize) -> AccountId {
    AccountId { kind: 1, id: format!("c{number}").into_bytes().into() }
}

impl Play {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Options::default()).unwrap();
        let mut play = Self {
            rng: fastrand::Rng::with_seed(seed),
            journal,
            dir,
            replay: Replay::default(),
            billing: billing(),
            at_ms: 1_000,
            back_ms: 0,
            run: 0,
            first: 0,
            period: 0,
            lines: Vec::new(),
            running: BTreeMap::new(),
            flow: 0,
        };
        play.start();
        play
    }

    /// By the wall clock it is 2026 all the time.
    fn stamp(&self) -> Stamp {
        Stamp { at_ms: self.at_ms, wall_ms: 1_780_000_000_000 + self.at_ms - self.back_ms }
    }

    fn write(&mut self, body: &Body) -> u64 {
        let number = self.journal.append(body).unwrap();
        self.journal.sync().unwrap();
        self.catch_up(number, body);
        number
    }

    /// Keys and heads come on their own.
    fn catch_up(&mut self, number: u64, body: &Body) {
        while self.replay.last() + 1 < number {
            let head =
                Body::Head(crate::ledger::record::Head { signature: [[0; 32]; 2], wall_ms: 0 });
            self.replay.apply(self.replay.last() + 1, &head).unwrap();
        }
        self.replay.apply(number, body).unwrap();
    }

    /// A daemon starts; what ran before ends at the last proof, which is now.
    fn start(&mut self) {
        for (_, line) in std::mem::take(&mut self.running) {
            self.lines[line].to_ms = Some(self.at_ms);
        }
        self.run += 1;
        let stamp = self.stamp();
        self.first = self.write(&Body::Started(Started {
            node: "P".to_owned(),
            program: "test".to_owned(),
            boot: [7; 16],
            currency: 978,
            hold_ms: 0,
            stamp,
        }));
        self.flow = 0;
        for number in 0..3 {
            self.flow += 1;
            let session = Session::new([192, 0, 2, 200].into(), 17, 5_000 + number);
            let sender = Filter::port([192, 0, 2, 100].into(), 4_000);
            let flow = self.flow;
            self.write(&Body::Flow(Flow::new(flow, session, sender)));
        }
    }

    fn prove(&mut self) {
        let stamp = self.stamp();
        self.write(&Body::Alive(stamp));
    }

    /// A customer's rate changes, or it stops.
    fn turn(&mut self) {
        let who = self.rng.usize(0..3);
        let meter =
            Meter { flow: who as u64 + 1, payment: Payment::ReceiverIn, neighbour: neighbour(who) };
        let at_ms = self.at_ms;
        if let Some(line) = self.running.remove(&who) {
            self.lines[line].to_ms = Some(at_ms);
        }
        let stops = self.rng.bool();
        let rate = if stops {
            0
        } else {
            self.rng.u64(1..[50_000_000, 3_000_000_000, 3_000_000_000_000][who])
        };
        if rate > 0 {
            self.write(&Body::Consent(Consent {
                at_ms,
                flow: meter.flow,
                payer: meter.neighbour,
                account: customer(who),
                ceiling: rate,
                epoch: 1,
                sequence: 1,
                instance: 1,
                tariff: 1,
                digest: [0; 16],
            }));
        }
        let cause = if stops { Cause::Ended } else { Cause::Terms };
        let record = self.write(&Body::Runs(Runs { at_ms, meter, rate, cause }));
        if rate > 0 {
            let (customer, from_ms) = (who, at_ms);
            let line =
                Line { record, customer, rate, from_ms, to_ms: None, returned: 0, disputed: false };
            self.running.insert(who, self.lines.len());
            self.lines.push(line);
        }
    }

    /// A line that has come to something, by chance.
    fn posted(&mut self) -> Option<usize> {
        let posted: Vec<usize> =
            (0..self.lines.len()).filter(|line| self.lines[*line].amount() > 0).collect();
        self.rng.choice(&posted).copied()
    }

    fn correct(&mut self) {
        let Some(line) = self.posted() else { return };
        let Line { record: of, disputed, .. } = self.lines[line];
        let left = self.lines[line].stands().unsigned_abs();
        let (by, reason, wall_ms) = ("root".to_owned(), "noise".to_owned(), self.stamp().wall_ms);
        if self.rng.u8(0..3) == 0 {
            self.refund(self.lines[line].customer);
        } else if self.rng.bool() {
            let open = !disputed;
            self.lines[line].disputed = open;
            self.write(&Body::Dispute(Dispute { of, open, by, reason, wall_ms }));
        } else if left > 0 {
            let amount = if self.rng.bool() { left } else { self.rng.u128(1..=left) };
            self.lines[line].returned += amount;
            self.write(&Body::Contra(Contra { of, amount, by, reason, wall_ms }));
        }
    }

    /// A grant gives back some of what a customer's meter came to in this run, the newest first.
    fn refund(&mut self, who: usize) {
        let first = self.first;
        let own =
            |line: &&mut Line| line.customer == who && line.record > first && line.to_ms.is_some();
        let left = self.lines.iter_mut().filter(own).map(|line| line.stands().unsigned_abs());
        let left = left.sum::<u128>();
        if left == 0 {
            return;
        }
        let amount = self.rng.u128(1..=left);
        let mut rest = amount;
        for line in self.lines.iter_mut().rev().filter(own) {
            let part = line.stands().unsigned_abs().min(rest);
            line.returned += part;
            rest -= part;
        }
        let meter =
            Meter { flow: who as u64 + 1, payment: Payment::ReceiverIn, neighbour: neighbour(who) };
        let (at_ms, why) = (self.at_ms, Interruption::Refused);
        self.write(&Body::Refund(Refund { at_ms, meter, ms: 1, amount, why }));
    }

    fn close(&mut self) {
        self.prove();
        self.period += 1;
        let period = Period { number: self.period, stamp: self.stamp() };
        self.write(&Body::Period(period));
    }

    fn issue(&mut self) {
        self.journal.sync().unwrap();
        let (all, _) = draw(self.dir.path(), &self.billing, "root", self.stamp().wall_ms).unwrap();
        for bill in all {
            self.write(&Body::Bill(Box::new(bill)));
        }
        self.journal.sync().unwrap();
        let (again, _) = draw(self.dir.path(), &self.billing, "root", 1).unwrap();
        assert!(again.is_empty(), "issued twice: {again:?}");
    }

    fn end_period(&mut self) {
        self.close();
        self.issue();
    }

    fn step(&mut self) {
        self.at_ms += self.rng.u64(1..40_000);
        match self.rng.u8(0..16) {
            0..8 => self.turn(),
            8..11 => self.prove(),
            11..13 => self.correct(),
            13 => {
                self.prove();
                self.start();
            }
            14 => self.close(),
            _ => {
                self.close();
                self.issue();
            }
        }
    }

    /// All disputes end, all stops, and what is left is billed.
    fn end(&mut self) {
        for who in 0..3 {
            if let Some(line) = self.running.remove(&who) {
                let meter = Meter {
                    flow: who as u64 + 1,
                    payment: Payment::ReceiverIn,
                    neighbour: neighbour(who),
                };
                self.lines[line].to_ms = Some(self.at_ms);
                let at_ms = self.at_ms;
                self.write(&Body::Runs(Runs { at_ms, meter, rate: 0, cause: Cause::Ended }));
                let (flow, payer) = (meter.flow, meter.neighbour);
                self.write(&Body::Closed(Closed { at_ms, flow, payer, orderly: true }));
            }
        }
        let wall_ms = self.stamp().wall_ms;
        for line in 0..self.lines.len() {
            let Line { record: of, disputed, .. } = self.lines[line];
            if disputed {
                let (by, reason) = (String::new(), String::new());
                self.write(&Body::Dispute(Dispute { of, open: false, by, reason, wall_ms }));
                self.lines[line].disputed = false;
            }
        }
        self.close();
        self.issue();
    }
}

/// What a customer's bills come to, and what is left over.
fn billed(book: &Book, holder: &Holder) -> (i128, i128, Vec<Bill>) {
    let of = book.issued().iter().map(|issued| &issued.bill);
    let bills: Vec<Bill> = of.filter(|bill| bill.holder == *holder).cloned().collect();
    let net: i128 = bills.iter().map(|bill| bill.net).sum();
    (net, bills.last().map_or(0, |bill| bill.carried_out), bills)
}

fn numbers_have_no_gaps(book: &Book, prefix: &str) {
    for credit in [false, true] {
        let of = book.issued().iter().map(|issued| &issued.bill);
        let numbers: Vec<u64> = of
            .filter(|bill| bill.series.credit == credit && bill.number > 0)
            .inspect(|bill| assert_eq!(bill.series.prefix, prefix))
            .map(|bill| bill.number)
            .collect();
        let wanted: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, wanted);
    }
}

fn shown_as_issued(dir: &Path, book: &Book) {
    for issued in book.issued().iter().filter(|issued| issued.bill.number > 0) {
        let number = issued.bill.to_string();
        let (statement, shown) = super::issued(dir, &number, 1).unwrap();
        let lines: i128 = statement.sessions.iter().map(|line| line.total).sum();
        assert_eq!(lines, issued.bill.exact, "{number}: its lines come to it");
        assert_eq!((shown.net, shown.gross), (issued.bill.net, issued.bill.gross));
        assert!(text(&statement, &shown).contains(&number));
        let of_flows = statement.sessions.iter().flat_map(|session| &session.flows);
        let segments: i128 = of_flows.flat_map(|f| &f.segments).map(|s| s.amount).sum();
        let refunds: i128 = statement.sessions.iter().map(|line| line.refunds).sum();
        assert_eq!(segments + refunds, lines, "{number}");
    }
}

#[test]
fn bills_over_any_periods_come_to_what_was_posted_less_than_half_a_cent_aside() {
    let (mut credits, mut carried_forward, mut bills_of_several) = (0, 0, 0);
    for seed in 0..24 {
        let mut play = Play::new(seed);
        for _ in 0..play.rng.usize(5..120) {
            play.step();
        }
        // What comes to nothing to be paid is carried on.
        play.end();
        let (book, replay) = bills(play.dir.path()).unwrap();
        assert!(book.to_bill().is_empty() && book.to_credit().is_empty(), "seed {seed}");
        numbers_have_no_gaps(&book, "P");
        for who in 0..3 {
            let holder = Holder::Customer(customer(who));
            let (net, left, bills) = billed(&book, &holder);
            let posted: i128 =
                play.lines.iter().filter(|l| l.customer == who).map(Line::stands).sum();
            assert_eq!(net * CENT + left, posted, "seed {seed}, customer {who}");
            assert!(left.abs() * 2 <= CENT, "seed {seed}: {left} is left over");
            assert_eq!(replay.carried(&holder), left);
            credits += bills.iter().filter(|bill| bill.series.credit).count();
            carried_forward += bills.iter().filter(|bill| bill.number == 0).count();
            let mut last = 0;
            for bill in &bills {
                let tax = half_even(bill.net * 190_000, 1_000_000);
                assert_eq!(bill.gross, bill.net + tax, "the tax is rounded once a bill");
                if let BillOf::Period(period) = bill.of {
                    bills_of_several += usize::from(period > last + 1);
                    last = period;
                }
            }
        }
        if seed % 10 == 0 {
            shown_as_issued(play.dir.path(), &book);
        }
    }
    let seen = (credits, carried_forward, bills_of_several);
    assert!(credits > 5 && carried_forward > 5 && bills_of_several > 5, "{seen:?}");
}

#[test]
fn what_is_disputed_is_in_no_bill_until_it_stands() {
    let mut play = Play::new(1);
    while play.posted().is_none() {
        play.at_ms += 10_000;
        play.turn();
    }
    let line = play.posted().unwrap();
    let Line { record: of, customer: who, .. } = play.lines[line];
    let amount = play.lines[line].stands();
    let order = |open| Dispute { of, open, by: "r".into(), reason: "r".into(), wall_ms: 1 };
    play.write(&Body::Dispute(order(true)));
    play.end_period();
    let holder = Holder::Customer(customer(who));
    let sum = |play: &Play| {
        let (book, _) = bills(play.dir.path()).unwrap();
        let (net, left, _) = billed(&book, &holder);
        net * CENT + left
    };
    let without = sum(&play);
    play.write(&Body::Dispute(order(false)));
    // Time stood still: nothing else is on the next bill.
    play.end_period();
    assert_eq!(sum(&play) - without, amount);
}

#[test]
fn a_crash_between_number_and_print_leaves_no_gap_and_nothing_twice() {
    let mut play = Play::new(5);
    for _ in 0..60 {
        play.at_ms += 30_000;
        play.turn();
    }
    play.end_period();
    for _ in 0..60 {
        play.at_ms += 30_000;
        play.turn();
    }
    play.close();
    play.journal.sync().unwrap();
    let (all, _) = draw(play.dir.path(), &play.billing, "root", play.stamp().wall_ms).unwrap();
    assert!(all.len() > 1, "{all:?}");
    for written in 0..=all.len() {
        // A power cut leaves a beginning of what was to be written.
        let copy = tempfile::tempdir().unwrap();
        crate::ledger::backup::backup(play.dir.path(), copy.path()).unwrap();
        let mut journal = Journal::open(copy.path(), Options::default()).unwrap();
        for bill in all.iter().take(written) {
            journal.append(&Body::Bill(Box::new(bill.clone()))).unwrap();
        }
        journal.sync().unwrap();
        drop(journal);
        let rest = issue(copy.path(), &play.billing, "root", play.stamp().wall_ms).unwrap();
        let again: Vec<&Bill> = all.iter().take(written).chain(&rest).collect();
        assert_eq!(again, all.iter().collect::<Vec<_>>(), "after {written}");
        assert!(issue(copy.path(), &play.billing, "root", 1).unwrap().is_empty());
    }
}

#[test]
fn a_bill_of_another_amount_than_its_postings_is_found_out() {
    let mut play = Play::new(5);
    for _ in 0..20 {
        play.at_ms += 30_000;
        play.turn();
    }
    play.close();
    play.journal.sync().unwrap();
    let (mut all, _) = draw(play.dir.path(), &play.billing, "root", 1).unwrap();
    let bill = &mut all[0];
    (bill.exact, bill.carried_out) = (bill.exact + 1, bill.carried_out + 1);
    let body = Body::Bill(Box::new(bill.clone()));
    play.write(&body);
    play.journal.sync().unwrap();
    let refused = bills(play.dir.path()).unwrap_err();
    assert!(matches!(refused, NotIssued::Mismatch(_)), "{refused}");
}
