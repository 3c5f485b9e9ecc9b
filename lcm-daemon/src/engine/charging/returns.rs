//! What can be given back of payments where refunds are granted, as the journal counts it: so that
//! the balances in memory are those of the journal, whatever was given back by hand before.
//!
//! A grant gives back the newest pieces of a meter first. What an operator gave back of them already
//! is not given back again, and each piece goes back to the account that it was charged to
//! (`ledger/replay/posting.rs` does the same with the records).

use std::collections::BTreeMap;
use std::net::IpAddr;

use charging_model::Span;

use crate::ledger::record::{Gap, Meter, Neighbour, Payment, Runs};

/// An account among all, by its place.
pub(crate) type Place = Option<usize>;

/// Meters of flows whose next hops are granted anything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Returns {
    lines: BTreeMap<Meter, Line>,
}

/// One meter.
#[derive(Debug, Clone, Default)]
struct Line {
    /// The rate that runs, since when, and from which account.
    runs: Option<(u64, u64, Place)>,
    /// What it came to, in the order in which it came to its end.
    pieces: Vec<Piece>,
}

/// A posting.
#[derive(Debug, Clone)]
struct Piece {
    from_ms: u64,
    to_ms: u64,
    left: u128,
    /// Given back by hand, and by no grant since.
    by_hand: u128,
    place: Place,
}

/// What is given back by a grant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// How much of it was not given back by hand before.
    pub(super) amount: u128,
    /// To which accounts.
    pub(super) parts: Vec<(u128, Place)>,
    /// What no piece is known for.
    pub(super) rest: u128,
}

impl Line {
    fn close(&mut self, at_ms: u64) {
        let Some((rate, from_ms, place)) = self.runs.take() else { return };
        self.push(rate, (from_ms, at_ms), place);
    }

    fn push(&mut self, rate: u64, (from_ms, to_ms): (u64, u64), place: Place) {
        let left = u128::from(rate) * u128::from(to_ms.saturating_sub(from_ms));
        if left > 0 {
            self.pieces.push(Piece { from_ms, to_ms, left, by_hand: 0, place });
        }
    }
}

fn first(flow: u64) -> Meter {
    let neighbour = Neighbour { interface: 0, address: IpAddr::from([0, 0, 0, 0]) };
    Meter { flow, payment: Payment::ReceiverIn, neighbour }
}

impl Returns {
    /// A meter turned, and is paid from this account. What came to its end longer than `kept` ago
    /// can be given back by no grant.
    pub(super) fn turned(&mut self, runs: &Runs, place: Place, kept: Span) {
        let Runs { at_ms, meter, rate, .. } = *runs;
        self.forget_older(meter.flow, at_ms.saturating_sub(kept.0));
        if rate == 0 && !self.lines.contains_key(&meter) {
            return;
        }
        let line = self.lines.entry(meter).or_default();
        line.close(at_ms);
        line.runs = (rate > 0).then_some((rate, at_ms, place));
    }

    /// A meter that is known goes on, paid from this account.
    pub(crate) fn goes_on(&mut self, runs: &Runs, place: Place) {
        if self.lines.contains_key(&runs.meter) {
            self.turned(runs, place, Span(u64::MAX));
        }
    }

    /// A gap was billed to this account.
    pub(super) fn billed(&mut self, gap: &Gap, place: Place) {
        let line = self.lines.entry(gap.meter).or_default();
        line.push(gap.rate, (gap.from_ms, gap.to_ms), place);
    }

    /// An operator gave back so much of the piece that began at an instant.
    pub(crate) fn by_hand(&mut self, (meter, from_ms): (Meter, u64), amount: u128) {
        let Some(line) = self.lines.get_mut(&meter) else { return };
        if let Some(piece) = line.pieces.iter_mut().find(|piece| piece.from_ms == from_ms) {
            piece.left = piece.left.saturating_sub(amount);
            piece.by_hand = piece.by_hand.saturating_add(amount);
        }
    }

    /// A grant gives back so much of what a meter came to.
    pub(super) fn granted(&mut self, meter: &Meter, amount: u128) -> Given {
        let mut given = Given { rest: amount, ..Given::default() };
        let pieces = self.lines.get_mut(meter).into_iter().flat_map(|line| &mut line.pieces);
        for piece in pieces.rev() {
            if given.rest == 0 {
                break;
            }
            let part = piece.left.min(given.rest);
            piece.left -= part;
            given.rest -= part;
            let known = piece.by_hand.min(given.rest);
            piece.by_hand -= known;
            given.rest -= known;
            if part > 0 {
                given.amount += part;
                given.parts.push((part, piece.place));
            }
        }
        given.amount += given.rest;
        given
    }

    /// A flow is gone.
    pub(super) fn forget(&mut self, flow: u64) {
        if !self.lines.is_empty() {
            self.of_flow(flow).into_iter().for_each(|meter| drop(self.lines.remove(&meter)));
        }
    }

    /// Books begin anew: what was metered before stands in others.
    pub(super) fn forget_all(&mut self) {
        self.lines.clear();
    }

    fn of_flow(&self, flow: u64) -> Vec<Meter> {
        let of_flow = self.lines.range(first(flow)..).map(|(meter, _)| *meter);
        of_flow.take_while(|meter| meter.flow == flow).collect()
    }

    fn forget_older(&mut self, flow: u64, oldest_ms: u64) {
        if self.lines.is_empty() || oldest_ms == 0 {
            return;
        }
        for meter in self.of_flow(flow) {
            let Some(line) = self.lines.get_mut(&meter) else { continue };
            line.pieces.retain(|piece| piece.to_ms >= oldest_ms);
            if line.runs.is_none() && line.pieces.is_empty() {
                self.lines.remove(&meter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::record::Cause;

    fn line(turns: &[(u64, u64, Place)]) -> (Returns, Meter) {
        let (mut returns, meter) = (Returns::default(), first(7));
        for (at_ms, rate, place) in turns {
            let runs = Runs { at_ms: *at_ms, meter, rate: *rate, cause: Cause::Terms };
            returns.turned(&runs, *place, Span(1_000));
        }
        (returns, meter)
    }

    #[test]
    fn the_newest_goes_back_first_and_what_an_operator_gave_back_not_again() {
        let (mut returns, meter) = line(&[(0, 2, Some(1)), (100, 3, Some(2)), (200, 0, None)]);
        returns.by_hand((meter, 100), 250);
        let given = returns.granted(&meter, 350);
        // 50 are left of the newer piece, 250 of it are known, and so 50 are of the older one.
        let parts = vec![(50, Some(2)), (50, Some(1))];
        assert_eq!(given, Given { amount: 100, parts, rest: 0 });
        let given = returns.granted(&meter, 160);
        assert_eq!(given, Given { amount: 160, parts: vec![(150, Some(1))], rest: 10 });
    }

    #[test]
    fn what_nobody_can_give_back_any_more_is_forgotten() {
        let (mut returns, meter) = line(&[(0, 2, None), (100, 0, None), (1_100, 3, None)]);
        assert_eq!(returns.lines[&meter].pieces.len(), 1);
        let stop = Runs { at_ms: 1_101, meter, rate: 0, cause: Cause::Terms };
        returns.turned(&stop, None, Span(1_000));
        assert_eq!(returns.lines[&meter].pieces.len(), 1, "the last millisecond");
        returns.turned(&Runs { at_ms: 3_000, ..stop }, None, Span(1_000));
        assert!(returns.lines.is_empty());
    }
}
