//! A neighbour that has lost what it was told, by its epoch (section 4.2) or by Hello.

use super::super::Engine;
use super::super::counters::bump;
use super::super::session::SessionState;
use super::super::time::{Now, Span};
use super::PeerKey;

/// Sessions whose state is told anew within a second.
const SESSIONS_PER_S: u64 = 2_000;

impl Engine {
    /// A neighbour has begun anew: what it was told is told again, soon and spread over a time that
    /// neither side feels. What it had told is left to be refreshed or to end by itself.
    pub(super) fn peer_restarted(&mut self, now: Now, key: PeerKey) {
        bump(&mut self.core.counters.reduction, "neighbour_restarted");
        let Some(peer) = self.core.outbox.reduce.peers.get_mut(&key) else { return };
        peer.generation = peer.generation.wrapping_add(1);
        peer.states.clear();
        peer.acks.clear();
        let mut concerned = Vec::new();
        for state in self.sessions.iter_mut() {
            let (path, resv) = state.forget_numbers(&self.core, key);
            if path || resv {
                concerned.push((state.slot, path, resv));
            }
        }
        let steps = 1_000_000 / SESSIONS_PER_S;
        for (count, (slot, path, resv)) in (0_u64..).zip(concerned) {
            self.with_session(slot, |core, state| {
                let r = core.interfaces.refresh_ms(core.config.rsvp.refresh_ms, now.at);
                let most = u64::from(r).saturating_mul(500);
                let soon = now.at + Span::from_micros((count * steps).min(most));
                if path {
                    state.path_refresh = state.path_refresh.min(soon);
                }
                if resv {
                    state.resv_refresh = state.resv_refresh.min(soon);
                }
            });
        }
    }
}

impl SessionState {
    /// Forgets the numbers of a neighbour's messages; returns whether PATHs and whether RESVs of
    /// ours go there.
    fn forget_numbers(&mut self, core: &super::super::Core, key: PeerKey) -> (bool, bool) {
        let (mut path, mut resv) = (false, false);
        for index in 0..self.senders.len() {
            let Some(psb) = self.senders.get_mut(index) else { continue };
            if psb.phop_address() == Some(key.1) {
                psb.heard_by = None;
                resv = true;
            }
            let Some(psb) = self.senders.get(index) else { continue };
            path |= psb.outgoing.iter().any(|interface| {
                super::super::path::next_hop(core, self.session, psb, *interface) == Some(key.1)
            });
        }
        for rsb in self.reservations.iter_mut().filter(|rsb| rsb.next_hop == key.1) {
            rsb.numbers.forget(&[]);
            path = true;
        }
        (path && !self.senders.is_empty(), resv && !self.reservations.is_empty())
    }
}
