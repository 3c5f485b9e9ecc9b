//! What is due by the clock.

use super::super::psb::Psb;
use super::super::session::SessionState;
use super::super::time::Now;
use super::super::{Engine, charging};
use super::PeerKey;

impl Engine {
    /// Sends again, refreshes by number, acknowledges and greets what is due.
    pub(crate) fn reduce_due(&mut self, now: Now) {
        if !self.core.outbox.reduce.active {
            return;
        }
        let super::super::Core { outbox, counters, .. } = &mut self.core;
        outbox.retransmit(counters, now.at);
        outbox.refresh_batches(counters, now.at);
        let reduce = &mut outbox.reduce;
        while let Some(first) = reduce.later.first_entry().filter(|it| it.key().0 <= now.at) {
            let (key, ack) = first.remove();
            reduce.answer(key, ack);
        }
        let fallen = outbox.greet_due(counters, now.at);
        let sessions = &self.sessions;
        self.core.outbox.reduce.sweep(|slot| sessions.get(slot));
        for key in fallen {
            self.peer_fell_silent(now, key);
        }
    }

    /// What a neighbour that does not answer had said to stand stands no more: nobody below pays for
    /// it, long before 2H have passed (T12).
    fn peer_fell_silent(&mut self, now: Now, (_, address): PeerKey) {
        let behind = |state: &&SessionState| {
            state.senders.iter().any(|psb| psb.phop_address() == Some(address))
        };
        let slots: Vec<usize> = self.sessions.iter().filter(behind).map(|it| it.slot).collect();
        for slot in slots {
            self.with_session(slot, |core, state| {
                let ours = |psb: &&mut Psb| psb.phop_address() == Some(address);
                for psb in state.senders.iter_mut().filter(ours) {
                    charging::silent(core, now, psb);
                }
                state.after_all_charging(core, now);
            });
        }
    }
}
