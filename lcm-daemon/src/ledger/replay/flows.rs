//! Flows of a run: the approvals in force for each, and its meters.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::accounts::{AccountRef, NeighbourRef, Sides};
use super::pages::Pages;
use super::posting::TenureRef;
use crate::ledger::record::{Payment, Stamp};

/// The flows that a run has numbered, and the state of those that have any.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Flows {
    /// Announced numbers as ranges, which rise; one range if they are given out in turn.
    announced: Vec<(u64, u64)>,
    busy: Pages<Flow>,
    /// Flows in which something came to rest since the last proof.
    idle: Vec<u64>,
}

/// A flow in which something is approved, or runs. With one next hop nothing of it stands elsewhere
/// in memory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Flow {
    pub(super) grants: SmallVec<[Grant; 2]>,
    pub(super) meters: SmallVec<[Line; 2]>,
}

/// An approval in force.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Grant {
    /// The payer of a consent, the payee of an offer.
    pub(super) with: NeighbourRef,
    /// Ours, upstream; otherwise a next hop's.
    pub(super) offer: bool,
    pub(super) instance: u32,
    /// The account that is debited.
    pub(super) account: AccountRef,
    pub(super) tenure: TenureRef,
    pub(super) ceiling: u64,
    /// When the instance began.
    pub(super) since_ms: u64,
}

/// A meter with what it has done last.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) payment: Payment,
    pub(super) running: bool,
    /// Stopped because its approval lapsed: a gap may be billed yet.
    pub(super) lapsed: bool,
    pub(super) with: NeighbourRef,
    pub(super) sides: Sides,
    pub(super) tenure: TenureRef,
    /// Number of the record that opened the segment.
    pub(super) number: u64,
    /// The rate that runs, or ran last.
    pub(super) rate: u64,
    /// The rate that ran before the meter stopped last, by a lapse or in its sleep: a gap costs no
    /// more.
    pub(super) gap_rate: u64,
    /// When the segment opened.
    pub(super) from: Stamp,
    /// Until when the meter was billed before that.
    pub(super) billed_ms: u64,
}

fn is_announced(ranges: &[(u64, u64)], flow: u64) -> bool {
    let later = ranges.partition_point(|(first, _)| *first <= flow);
    let range = later.checked_sub(1).and_then(|place| ranges.get(place));
    range.is_some_and(|(_, last)| flow <= *last)
}

impl Flow {
    pub(super) fn grant(&self, with: NeighbourRef, offer: bool) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.with == with && grant.offer == offer)
    }

    pub(super) fn meter(&mut self, payment: Payment, with: NeighbourRef) -> Option<&mut Line> {
        self.meters.iter_mut().find(|line| line.payment == payment && line.with == with)
    }

    /// Takes an approval away.
    pub(super) fn revoke(&mut self, with: NeighbourRef, offer: bool) -> Option<Grant> {
        let place = self.grants.iter().position(|g| g.with == with && g.offer == offer)?;
        Some(self.grants.swap_remove(place))
    }

    /// Drops the meters that rest, for which nothing is approved, and that can bill nothing twice:
    /// all that they billed lies before `proved_ms`, and nothing opens before that any more. True
    /// if no other rests. `ended` is told what they rested on, and until when they billed.
    fn tidy(&mut self, proved_ms: u64, ended: &mut Vec<(TenureRef, u64)>) -> bool {
        let Self { grants, meters } = self;
        let mut all = true;
        meters.retain(|line| {
            let approved = grants.iter().any(|grant| grant.with == line.with);
            if line.running || line.lapsed || approved {
                return true;
            }
            let kept = line.billed_ms > proved_ms;
            if !kept {
                ended.push((line.tenure, line.billed_ms));
            }
            all &= !kept;
            kept
        });
        all
    }
}

impl Flows {
    /// Announces a flow; the highest number so far if this one does not rise above it.
    pub(super) fn announce(&mut self, flow: u64) -> Result<(), u64> {
        match self.announced.last_mut() {
            Some((_, last)) if flow <= *last => Err(*last),
            Some((_, last)) if flow - 1 == *last => {
                *last = flow;
                Ok(())
            }
            _ => {
                self.announced.push((flow, flow));
                Ok(())
            }
        }
    }

    /// The state of a flow, if it was announced.
    pub(super) fn get(&mut self, flow: u64) -> Option<&mut Flow> {
        let Self { announced, busy, .. } = self;
        busy.slot(flow, || is_announced(announced, flow))
    }

    /// Notes that something of a flow came to rest.
    pub(super) fn rests(&mut self, flow: u64) {
        self.idle.push(flow);
    }

    /// Forgets what rests, as far as it cannot be billed twice; what it rested on, and until when
    /// it billed.
    pub(super) fn tidy(&mut self, proved_ms: u64) -> Vec<(TenureRef, u64)> {
        let Self { busy, idle, .. } = self;
        let mut ended = Vec::new();
        idle.retain(|number| {
            let Some(flow) = busy.get_mut(*number) else { return false };
            let all = flow.tidy(proved_ms, &mut ended);
            if flow.grants.is_empty() && flow.meters.is_empty() {
                busy.remove(*number);
            }
            !all
        });
        ended
    }

    /// All flows that have state, in the order of their numbers; none is left.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = (u64, Flow)> + use<> {
        std::mem::take(self).busy.into_sorted()
    }

    /// Goes through what grants and meters rest on.
    pub(super) fn each_tenure(&mut self, mut change: impl FnMut(&mut TenureRef)) {
        for flow in self.busy.values_mut() {
            flow.grants.iter_mut().for_each(|grant| change(&mut grant.tenure));
            flow.meters.iter_mut().for_each(|line| change(&mut line.tenure));
        }
    }

    /// All flows that have state.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Flow)> {
        self.busy.iter()
    }
}
