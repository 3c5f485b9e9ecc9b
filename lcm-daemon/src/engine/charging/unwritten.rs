//! Consents that are not durable yet, and what becomes of them where the disk fails.
//!
//! While it does, nobody can open a reservation or approve more than stands: what nobody could
//! prove later is not agreed to. What stands goes on until its approval ends.

use std::collections::VecDeque;

use charging_model::{BranchKey, Payment, Rate};
use rsvp_wire::object::{Filter, Session};

use super::super::Core;
use super::super::Engine;
use super::super::counters::bump;
use super::super::psb::Psb;
use super::super::record::RecordId;
use super::super::session::SessionState;
use super::super::time::Now;
use super::Fault;

/// Consents on their way to the disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unwritten {
    /// The disk failed, or is too slow to be waited for.
    closed: bool,
    queue: VecDeque<Waiting>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) id: RecordId,
    /// Number of the flow.
    pub(super) flow: u64,
    /// What the consent opens; none where more is approved than stood.
    pub(super) opens: Option<Opening>,
}

/// A reservation that a consent opens.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    pub(super) session: Session,
    pub(super) sender: Filter,
    pub(super) payer: BranchKey,
}

impl Unwritten {
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.queue.push_back(waiting);
    }

    /// Records up to `id` are durable.
    pub(crate) fn written(&mut self, id: RecordId) {
        while self.queue.front().is_some_and(|waiting| waiting.id <= id) {
            self.queue.pop_front();
        }
    }

    /// Whether nothing can be written, and so nothing more approved.
    pub(crate) const fn closed(&self) -> bool {
        self.closed
    }

    /// The last record of a flow that waits.
    fn last_of(&self, flow: u64) -> RecordId {
        let last = self.queue.iter().rev().find(|waiting| waiting.flow == flow);
        last.map_or(RecordId::NONE, |waiting| waiting.id)
    }
}

/// What a payer may approve now, of what it offers: while nothing can be written no more than
/// stands.
pub(super) fn acceptable(
    core: &mut Core,
    psb: &Psb,
    key: BranchKey,
    offered: &Payment,
) -> Result<Rate, Fault> {
    if !core.unwritten.closed {
        return Ok(offered.payment);
    }
    let known = psb.flow.as_ref().and_then(|flow| flow.branch(key));
    match known.filter(|branch| branch.instance == offered.instance) {
        Some(branch) => Ok(offered.payment.min(branch.ceiling)),
        None => {
            let fault = Fault::BOOKS_CLOSED;
            bump(&mut core.counters.payments_refused, fault.reason);
            Err(fault)
        }
    }
}

impl Engine {
    /// The disk failed, or takes longer than anybody may be made to wait: reservations whose
    /// consent is not acknowledged are refused (code 02, value 10), and until
    /// [`books_opened`](Self::books_opened) so are new ones.
    pub fn books_closed(&mut self, now: Now) {
        let now = self.enter(now);
        self.core.unwritten.closed = true;
        let queue = std::mem::take(&mut self.core.unwritten.queue);
        let (opening, raising): (VecDeque<_>, _) =
            queue.into_iter().partition(|waiting| waiting.opens.is_some());
        self.core.unwritten.queue = raising;
        let refused: Vec<RecordId> = opening.iter().map(|waiting| waiting.id).collect();
        self.core.outbox.forget_resvs(&refused);
        for opening in opening.into_iter().filter_map(|waiting| waiting.opens) {
            let Some(slot) = self.sessions.find(&opening.session) else { continue };
            self.with_session(slot, |core, session| session.refuse_unwritten(core, now, &opening));
        }
    }

    /// The disk is well again: consents are taken as before.
    pub fn books_opened(&mut self) {
        self.core.unwritten.closed = false;
    }
}

impl SessionState {
    /// Refuses a reservation whose consent could not be written.
    fn refuse_unwritten(&mut self, core: &mut Core, now: Now, opening: &Opening) {
        let Opening { sender, payer: key, .. } = *opening;
        let Some(index) = self.sender(sender) else { return };
        if let Some(psb) = self.senders.get_mut(index) {
            psb.needs = core.unwritten.last_of(psb.number);
        }
        bump(&mut core.counters.payments_refused, Fault::BOOKS_CLOSED.reason);
        self.refuse_existing(core, key, sender, &Fault::BOOKS_CLOSED);
        self.release_payer(core, now, key, sender);
        self.after_all_charging(core, now);
    }
}
