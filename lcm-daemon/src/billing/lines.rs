//! Lines of statements, as they are added up.

use std::collections::HashMap;
use std::net::IpAddr;

use super::book::Row;
use super::pieces::{Piece, RUNS};
use super::{Arose, FlowLine, HopSum, RefundLine, SegmentLine, SessionLine};
use crate::ledger::record::Payment;
use crate::ledger::replay::name;

/// A part of a piece: from its so many-th millisecond on to before another, and why that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) ended: &'static str,
}

impl FlowLine {
    pub(super) fn new(sender: &str, detail: u8) -> Self {
        Self {
            sender: sender.to_owned(),
            ms: 0,
            receiver: 0,
            shared: 0,
            ours: 0,
            refunds: 0,
            total: 0,
            segments: Vec::new(),
            returned: Vec::new(),
            arose: (detail > 1).then(Arose::default),
        }
    }

    /// Adds a part of a piece: to the sums if it is on the statement, and to where charges arose; what
    /// of it was charged to the account.
    pub(super) fn add(&mut self, piece: &Piece, part: Part, detail: u8) -> i128 {
        let ms = part.to.saturating_sub(part.from);
        if ms == 0 {
            return 0;
        }
        let amount = i128::from(piece.rate) * i128::from(ms);
        self.arise(piece.payment, amount);
        if !piece.theirs {
            return 0;
        }
        self.arise_by_hop(piece, part);
        let signed = match piece.payment {
            Payment::ReceiverIn => {
                self.receiver += amount;
                self.ms = self.ms.saturating_add(ms);
                amount
            }
            Payment::SenderIn => {
                self.shared += amount;
                amount
            }
            Payment::ReceiverOut | Payment::SenderOut => {
                self.ours -= amount;
                -amount
            }
        };
        if piece.payment != Payment::ReceiverIn && self.receiver == 0 {
            self.ms = self.ms.saturating_add(ms);
        }
        self.total += signed;
        if detail > 0 {
            let from_ms = piece.from_ms.saturating_add(part.from);
            self.segments.push(SegmentLine {
                record: piece.record,
                payment: name(piece.payment),
                rate: piece.rate,
                from_ms,
                to_ms: from_ms.saturating_add(ms),
                ms,
                amount: signed,
                began: piece.began,
                ended: part.ended,
            });
        }
        if piece.charged { signed } else { 0 }
    }

    fn arise(&mut self, payment: Payment, amount: i128) {
        let Some(arose) = &mut self.arose else { return };
        match payment {
            Payment::ReceiverIn | Payment::SenderIn => arose.received += amount,
            Payment::ReceiverOut | Payment::SenderOut => arose.passed_on += amount,
        }
        arose.here = arose.received - arose.passed_on;
    }

    /// Adds up by hop what receivers pay, or we owe for them.
    fn arise_by_hop(&mut self, piece: &Piece, Part { from, to, .. }: Part) {
        let sign = match piece.payment {
            Payment::ReceiverIn => 1,
            Payment::ReceiverOut => -1,
            Payment::SenderIn | Payment::SenderOut => return,
        };
        let Some(arose) = &mut self.arose else { return };
        let mut add = |hop: Option<IpAddr>, rate: u64, (begin, end): (u64, u64)| {
            let ms = end.min(to).saturating_sub(begin.max(from));
            let amount = i128::from(rate) * i128::from(ms) * sign;
            match arose.hops.iter_mut().find(|known| known.hop == hop) {
                _ if amount == 0 => {}
                Some(known) => known.amount += amount,
                None => arose.hops.push(HopSum { hop, amount }),
            }
        };
        let first = piece.arises.first().map_or(u64::MAX, |(begin, _)| *begin);
        add(None, piece.rate, (0, first));
        for (place, (begin, arises)) in piece.arises.iter().enumerate() {
            let end = piece.arises.get(place + 1).map_or(u64::MAX, |(begin, _)| *begin);
            for (hop, rate) in arises.of_rate(piece.rate) {
                add(hop, rate, (*begin, end));
            }
        }
    }

    /// Adds what was given back of a piece; what of it went to the account.
    pub(super) fn give_back(
        &mut self,
        piece: &Piece,
        amount: i128,
        by: Option<(u64, u64)>,
    ) -> i128 {
        if !piece.theirs || amount == 0 {
            return 0;
        }
        let (record, payment) = (piece.record, name(piece.payment));
        let (by, at_ms) = by.unzip();
        self.returned.push(RefundLine { record, payment, rate: piece.rate, by, at_ms, amount });
        self.refunds += amount;
        self.total += amount;
        if piece.charged { amount } else { 0 }
    }

    /// Adds the rows of a bill that are of a piece; what of them was charged to the account.
    pub(super) fn add_rows(
        &mut self,
        piece: &Piece,
        rows: &HashMap<u64, Vec<Row>>,
        detail: u8,
    ) -> i128 {
        let mut charged = 0;
        for row in rows.get(&piece.record).into_iter().flatten() {
            let ended = if row.to_ms < piece.ms { RUNS } else { piece.ended };
            let part = Part { from: row.from_ms, to: row.to_ms, ended };
            charged += self.add(piece, part, detail);
            let refund = i128::try_from(row.refund).unwrap_or(i128::MAX);
            charged += self.give_back(piece, -refund, None);
        }
        charged
    }
}

impl SessionLine {
    pub(super) fn new(session: &str) -> Self {
        Self {
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

    /// Adds a flow, and keeps it if flows are asked for.
    pub(super) fn take(&mut self, mut line: FlowLine, detail: u8) {
        // Where nobody was told anything, nothing is said.
        if let Some(arose) = &mut line.arose
            && arose.hops.iter().all(|sum| sum.hop.is_none())
        {
            arose.hops.clear();
        }
        self.ms = self.ms.saturating_add(line.ms);
        self.receiver += line.receiver;
        self.sender += line.shared;
        self.ours += line.ours;
        self.refunds += line.refunds;
        self.total += line.total;
        if detail > 0 {
            self.flows.push(line);
        }
    }
}
