//! Blockade state: a reservation that was refused upstream must not stand in the way of smaller
//! ones that would be admitted (RFC 2205 section 3.5, "killer reservations").

use rsvp_wire::object::{Filter, FlowSpec};

use super::flowspec::{larger, lower_bound, merge};
use super::session::SessionState;
use super::time::{Instant, Now, Span};

/// Refresh periods for which a blockade lasts: Kb, for which RFC 2205 section 3.5 names no value.
/// It must be longer than the time in which the refused reservation comes again.
const BLOCKADE_PERIODS: u64 = 2;

/// Blockade state block of one sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blockade {
    /// What was refused: Qb.
    pub(crate) flowspec: FlowSpec,
    pub(crate) until: Instant,
}

impl Blockade {
    pub(crate) fn new(flowspec: FlowSpec, now: Now, refresh_ms: u32) -> Self {
        // 1.5 R is the longest gap between refreshes.
        let span = Span::from_millis(BLOCKADE_PERIODS * u64::from(refresh_ms) * 3 / 2);
        Self { flowspec, until: now.at + span }
    }

    /// True if a reservation for `flowspec` is held back: Qb is not strictly larger than it.
    fn holds_back(&self, flowspec: FlowSpec) -> bool {
        !larger(self.flowspec, flowspec)
    }
}

impl SessionState {
    /// What all reservations for one sender together ask of the previous hop: the least upper
    /// bound of those that are not blockaded, or if all are, the greatest lower bound.
    pub(crate) fn merged(&self, sender: Filter) -> Option<FlowSpec> {
        let psb = self.sender(sender).and_then(|index| self.senders.get(index));
        let blockade = psb.and_then(|psb| psb.blockade.as_ref());
        let flowspecs = || self.reservations_for(sender).map(|rsb| rsb.flowspec);
        if let Some(blockade) = blockade {
            let free = flowspecs().filter(|flowspec| !blockade.holds_back(*flowspec));
            if let Some(upper) = fold(free, merge) {
                return Some(upper);
            }
            return fold(flowspecs(), lower_bound);
        }
        fold(flowspecs(), merge)
    }

    /// True if every reservation for this sender is blockaded.
    pub(crate) fn all_blockaded(&self, index: usize) -> bool {
        let Some(psb) = self.senders.get(index) else { return false };
        let Some(blockade) = &psb.blockade else { return false };
        self.reservations_for(psb.sender).all(|rsb| blockade.holds_back(rsb.flowspec))
    }
}

fn fold(
    mut flowspecs: impl Iterator<Item = FlowSpec>,
    with: impl Fn(FlowSpec, FlowSpec) -> Option<FlowSpec>,
) -> Option<FlowSpec> {
    let first = flowspecs.next()?;
    flowspecs.try_fold(first, with)
}
